"""Options that change the speed or the memory of a run and not its numbers."""

import copy
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from tiny_run import tiny_sections
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from adapters.targets import find_pose_target
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.training.loaders import LARGEST_EVALUATED, own_batches
from gesture_pretrain.training.runs.device_peak import peak_tflops
from gesture_pretrain.training.runs.speed import training_flops
from gesture_pretrain.training.runs.stopped import NonFiniteLoss
from gesture_pretrain.training.step.activation_checkpointing import checkpoint_activations
from gesture_pretrain.training.step.ema import WeightAverage
from gesture_pretrain.training.step.exact_sum import exact_sums
from gesture_pretrain.training.step.optimizer import FiniteOptimWrapper


def weights(runner) -> dict:
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def trained(out, index, **changes):
    runner = build_runner(out=out, **tiny_sections(index, **changes))
    runner.train()
    return runner


# -- the check that does not wait ------------------------------------------------------------------


def layer_and_wrapper(*, deferred, clip=1.0):
    torch.manual_seed(0)
    layer = nn.Linear(3, 1)
    clip_grad = None if clip is None else {"max_norm": clip}
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    settings = {"device_type": "cpu", "autocast": False, "clip_grad": clip_grad}
    return layer, FiniteOptimWrapper(optimizer=optimizer, deferred=deferred, **settings)


def test_deferred_steps_are_the_others():
    layers = []
    for deferred in (False, True):
        layer, wrapper = layer_and_wrapper(deferred=deferred)
        for k in range(5):
            wrapper.update_params(layer(torch.full((2, 3), 1.0 + k)).square().sum())
            assert wrapper.broken is None
        layers.append(layer)
    assert torch.equal(layers[0].weight, layers[1].weight)


@pytest.mark.parametrize("deferred", [False, True])
@pytest.mark.parametrize(
    "loss, clip, broken",
    [
        (lambda out: out.sum() * float("nan"), 1.0, "loss"),
        (lambda out: out.sum() + float("inf"), None, "loss"),
        (lambda out: (out - out).abs().sqrt().sum(), 1.0, "gradient"),
    ],
)
def test_no_step_on_what_is_not_finite(deferred, loss, clip, broken):
    layer, wrapper = layer_and_wrapper(deferred=deferred, clip=clip)
    wrapper.update_params(layer(torch.ones(2, 3)).square().sum())
    before = copy.deepcopy((layer.state_dict(), wrapper.state_dict()["state"]))
    wrapper.update_params(loss(layer(torch.ones(2, 3))))
    assert wrapper.broken == broken
    after = layer.state_dict(), wrapper.state_dict()["state"]
    assert all(torch.equal(before[0][name], after[0][name]) for name in before[0])
    for number, moments in before[1].items():
        assert all(torch.equal(moments[name], after[1][number][name]) for name in moments)
    wrapper.update_params(layer(torch.ones(2, 3)).square().sum())
    assert wrapper.broken is None and not torch.equal(before[0]["weight"], layer.weight)


def test_deferred_needs_a_fused_optimiser():
    optimizer = torch.optim.AdamW(nn.Linear(1, 1).parameters(), fused=False)
    with pytest.raises(ValueError, match=r"optimizer\.fused=true"):
        FiniteOptimWrapper(device_type="cpu", autocast=False, optimizer=optimizer, deferred=True)


class Break(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        runner.optim_wrapper.deferred = True
        if batch_idx == 7:
            self.rows = data_batch.row.tolist()
            weight = next(runner.model.network.heads.parameters())
            self.weight, self.kept = weight, weight.detach().clone()
            weight.data[:] = float("nan")
        elif batch_idx == 8:
            self.weight.data.copy_(self.kept)


@pytest.mark.parametrize("log_every, seen_in", [(100, 8), (1, 7)])
def test_deferred_run_names_the_broken_iteration_and_resumes(
    tmp_path, tiny_index, log_every, seen_in
):
    changes = {"checkpoint_every": 3, "log_every": log_every}
    sections = tiny_sections(tiny_index, training=changes, data={"val_split": None})
    hook = Break()
    runner = build_runner(out=tmp_path, hooks=[hook], **sections)
    with pytest.raises(NonFiniteLoss, match="loss is not finite: .* at iteration 7 ") as error:
        runner.train()
    assert str(hook.rows) in str(error.value) and runner.iter == seen_in
    assert not any("NaN" in path.read_text() for path in tmp_path.glob("metrics.jsonl"))
    resumed = build_runner(out=tmp_path, resume=True, **sections)
    resumed.train()
    assert resumed.iter == 12


def test_deferred_run_is_the_other(tmp_path, tiny_index):
    class Defer(Hook):
        def before_train(self, runner):
            runner.optim_wrapper.deferred = True

    plain = trained(tmp_path / "plain", tiny_index)
    deferred = build_runner(out=tmp_path / "d", hooks=[Defer()], **tiny_sections(tiny_index))
    deferred.train()
    a, b = weights(plain), weights(deferred)
    assert all(torch.equal(a[name], b[name]) for name in a)


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arch", ["test_resnet", "test_efficientnet", "test_vit", "hrnet_w18_small"]
)
def test_checkpointed_activations_change_no_number(arch):
    size_px = build_backbone(
        arch, size_px=64 if arch.startswith("hrnet") else 160
    ).input_spec.size_px
    image = torch.randn(2, 3, size_px, size_px, generator=torch.Generator().manual_seed(0))
    results = []
    for forgetful in (False, True):
        backbone = build_backbone(arch, size_px=size_px).train()
        names = list(backbone.state_dict())
        if forgetful:
            assert checkpoint_activations(backbone) >= 2
            backbone = copy.deepcopy(backbone)  # a copy computes with its own weights
            assert list(backbone.state_dict()) == names
        saved = [0]

        def note(tensor, saved=saved):
            saved[0] += tensor.numel()
            return tensor

        torch.manual_seed(0)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss = backbone(image).pooled.square().sum()
        kept = saved[0]
        loss.backward()
        gradients = {name: p.grad for name, p in backbone.named_parameters()}
        results.append((loss, gradients, backbone.state_dict(), kept))
    (loss, gradients, state, kept), (again, gradients_again, state_again, kept_again) = results
    assert torch.equal(loss, again)
    for name, value in gradients.items():
        other = gradients_again[name]
        assert (value is None) == (other is None) and (value is None or torch.equal(value, other))
    assert all(torch.equal(state[name], state_again[name]) for name in state)  # batch norm, too
    assert kept_again < 0.7 * kept


def test_run_with_checkpointed_activations_is_the_run_without(tmp_path, tiny_index):
    runs = [
        trained(
            tmp_path / str(on),
            tiny_index,
            training={"checkpoint_activations": on, "ema_decay": 0.9},
        )
        for on in (False, True)
    ]
    a, b = map(weights, runs)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert runs[0].last_metrics == runs[1].last_metrics


def test_backbone_without_blocks_is_named():
    backbone = build_backbone("test_resnet", size_px=32)
    backbone.net = nn.Conv2d(3, 4, 1)
    with pytest.raises(ValueError, match="test_resnet has no sequence of blocks"):
        checkpoint_activations(backbone)


# -- compiling -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_compiled_run_is_the_run_without_up_to_rounding(tmp_path, tiny_index):
    changes = {"schedule": {"iterations": 3}, "heads": {"dropout": 0.0}}
    losses = []
    for mode in (None, "default"):
        training = {"compile": mode, "ema_decay": 0.9, "log_every": 3}
        runner = trained(tmp_path / str(mode), tiny_index, training=training, **changes)
        losses.append(runner.last_losses["loss"])
        assert not any("_orig_mod" in name for name in runner.model.state_dict())
    # other fusions round otherwise; AdamW's first steps go by the gradient's sign
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_compile_modes_are_named(tmp_path, tiny_index):
    for training, said in (
        ({"compile": "fast"}, "training.compile is 'fast'; possible: none, default"),
        ({"compile": "default", "checkpoint_activations": True}, "Leave one of them off"),
        ({"timeout_s": 0}, "training.timeout_s must be above 0"),
    ):
        with pytest.raises(ValueError, match=said):
            build_runner(out=tmp_path, **tiny_sections(tiny_index, training=training))


# -- weight average --------------------------------------------------------------------------------


def test_average_is_that_of_the_formula():
    module = nn.BatchNorm1d(2)
    average = WeightAverage(module, 0.5)
    expected = module.weight.detach().clone()
    for k in range(6):
        module.weight.data += 1.0
        module.num_batches_tracked += 1
        average.update(module)
        decay = min(0.5, (1 + k) / (10 + k))
        expected.lerp_(module.weight.detach(), 1 - decay)
    assert torch.equal(average.module.weight, expected)
    assert average.module.num_batches_tracked == 6


# -- speed -----------------------------------------------------------------------------------------


def test_speed_of_a_run_is_written_and_shown(tmp_path, tiny_index, capsys):
    changes = {"log_every": 4, "peak_tflops": 0.5}
    runner = trained(tmp_path, tiny_index, training=changes, progress=True)
    lines = [json.loads(line) for line in (tmp_path / "speed.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [4, 8, 12]
    flops = training_flops(runner.model, next(iter(runner.data.train)))
    for line in lines:
        assert 0 <= line["data_wait_share"] < 1 and line["peak_memory_mb"] > 10
        expected = line["images_per_s"] * flops / 0.5e12
        assert line["flop_utilisation"] == pytest.approx(expected, rel=1e-9)
    printed = capsys.readouterr().out
    assert "Speed: " in printed and "of the time waiting for data" in printed


def test_unknown_peak_is_said(tmp_path, tiny_index, capsys):
    trained(tmp_path, tiny_index, training={"log_every": 4}, progress=True)
    assert "FLOP utilisation unknown (training.peak_tflops" in capsys.readouterr().out
    line = (tmp_path / "speed.jsonl").read_text().splitlines()[0]
    assert json.loads(line)["flop_utilisation"] is None


def test_slow_data_are_seen_as_waiting(tmp_path, tiny_index):
    class Slow(torch.utils.data.DataLoader):
        pass

    runner = build_runner(out=tmp_path, **tiny_sections(tiny_index, training={"log_every": 12}))
    inner = runner.train_loop._batches

    def slowly():
        import time

        for batch in inner():
            time.sleep(0.2)
            yield batch

    runner.train_loop._batches = slowly
    runner.train()
    line = json.loads((tmp_path / "speed.jsonl").read_text().splitlines()[-1])
    waited_s = line["data_wait_share"] * 8 * 11 / line["images_per_s"]
    assert waited_s >= 11 * 0.2  # the 11 iterations after the first


def test_flops_of_a_layer_are_counted_by_hand():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False))

    class Batch:
        image = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)

    forward = 2 * 3 * 4 * 9 * 8 * 8
    # the image needs no gradient, so backward computes that of the weights only
    assert training_flops(Model(), Batch) == 2 * forward


@pytest.mark.slow
@pytest.mark.parametrize("name", ["token_fusion", "eanet"])
def test_flops_of_a_pose_network_are_three_times_its_forward(name):
    target = find_pose_target(name)
    hands = {side: load_hand_model(side, path="open") for side in ("right", "left")}
    options = target.options("tiny")
    network = build_backbone("test_resnet", size_px=64)
    model = target.build_model(network, seed=0, hand_models=hands, **options)
    image = torch.zeros(1, 3, 64, 64)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.network(image)
    counted = training_flops(model, SimpleNamespace(image=image))
    # backward is two products for each of forward's, but for the image, which needs no gradient,
    # and what no output depends on
    assert 2.5 * counter.get_total_flops() < counted < 3 * counter.get_total_flops()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "name, precision, expected",
    [
        ("NVIDIA H100 80GB HBM3", "bf16", 989.0),
        ("NVIDIA H100 PCIe", "bf16", 756.0),
        ("NVIDIA A100-SXM4-80GB", "fp32", 19.5),
        ("NVIDIA A10", "fp16", 125.0),
        ("NVIDIA A100X", "bf16", None),
        ("CPU", "fp32", None),
    ],
)
def test_peak_by_name(name, precision, expected):
    assert peak_tflops(name, precision) == expected


# -- shared evaluation -----------------------------------------------------------------------------


@pytest.mark.parametrize("count, world_size", [(16, 1), (17, 2), (3, 4), (300, 3)])
def test_every_sample_is_in_one_batch_of_one_process(count, world_size):
    alone = own_batches(count, 500, 0, 1)
    shared = [own_batches(count, 500, rank, world_size) for rank in range(world_size)]
    assert sorted(sum(shared, []), key=lambda b: b.start) == alone
    assert [i for batch in alone for i in batch] == list(range(count))
    assert max(map(len, alone)) <= LARGEST_EVALUATED


def test_sums_do_not_depend_on_the_order():
    values = np.random.default_rng(0).normal(size=(1000, 2)) * [1, 1e9]
    assert exact_sums(values, 2) == exact_sums(values[::-1], 2)
    assert values.sum(0).tolist() != values[::-1].cumsum(0)[-1].tolist()  # plain sums do
    assert exact_sums(None, 2) == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"\(N, 3\)"):
        exact_sums(values, 3)
