"""Options that change the speed or the memory of a run and not its numbers."""

import copy
import json
import time

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from tiny_run import tiny_sections
from torch import nn

from gesture_pretrain.data.samples.loaders import LARGEST_EVALUATED, own_batches
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.processes import exact_sums
from gesture_pretrain.training.ema import WeightAverage
from gesture_pretrain.training.optimizer import FiniteOptimWrapper
from gesture_pretrain.training.stopped import NonFiniteLoss


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
    settings = {"device": torch.device("cpu"), "clip_grad": clip_grad}
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
        FiniteOptimWrapper(device=torch.device("cpu"), optimizer=optimizer, deferred=True)


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


def test_impossible_options_are_named(tmp_path, tiny_index):
    for training, said in (
        ({"compile": "fast"}, "training.compile is 'fast'; it must be 'default'"),
        ({"float32_matmul_precision": "tf32"}, "'highest', 'high' or 'medium'"),
        ({"sync_bn": True, "freeze_bn": True}, "one of them off"),
        ({"deterministic": True, "cudnn_benchmark": True}, "cudnn_benchmark"),
        ({"timeout_s": 0}, "training.timeout_s is 0; it must be above 0"),
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
        average.update()
        decay = min(0.5, (1 + k) / (10 + k))
        expected.lerp_(module.weight.detach(), 1 - decay)
    assert torch.equal(average.module.weight, expected)
    assert average.module.num_batches_tracked == 6


# -- speed -----------------------------------------------------------------------------------------


def test_time_spent_waiting_for_data_is_logged(tmp_path, tiny_index):
    runner = build_runner(out=tmp_path, **tiny_sections(tiny_index, training={"log_every": 12}))
    inner = runner.train_loop._batches

    def slowly():
        for batch in inner():
            time.sleep(0.2)
            yield batch

    runner.train_loop._batches = slowly
    runner.train()
    text = (tmp_path / "metrics.jsonl").read_text()
    line = next(json.loads(line) for line in text.splitlines() if "data_wait" in line)
    waited_s = line["data_wait_fraction"] * 8 * 12 / line["images_per_s"]
    assert waited_s >= 12 * 0.2


@pytest.mark.parametrize("clip_norm, expected", [(1e-6, 1.0), (1e6, 0.0), (None, None)])
def test_fraction_of_clipped_steps_is_logged(tmp_path, tiny_index, clip_norm, expected):
    changes = {"schedule": {"iterations": 2}, "data": {"val_split": None}}
    trained(tmp_path, tiny_index, training={"clip_norm": clip_norm}, **changes)
    line = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert line.get("train_clipped_fraction") == expected


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
