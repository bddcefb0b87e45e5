"""Checks that need a GPU. Each raises AssertionError or returns what it measured."""

import copy
from pathlib import Path

import torch
from mmengine.hooks import Hook
from torch.nn.functional import cosine_similarity

from adapters.token_fusion.grid import VolumeGrid
from adapters.token_fusion.joint_tokens import sample_at_joints
from gesture_pretrain.commands.benchmarks.gpu_networks import (
    Sizes,
    build_network,
    of_size,
    step_of,
    wrapper_of,
)
from gesture_pretrain.files import temporary_folder
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.training.ema import WeightAverage
from gesture_pretrain.training.placement import compile_network

BATCH = 8
# bfloat16 keeps 8 bits; a sum of many roundings in a deep network stays well inside of these
LOSS_TOLERANCE, GRADIENT_COSINE = 0.05, 0.9


def no_host_waits(name: str, index: Path, sizes: Sizes, device: torch.device) -> str:
    """A step with its checks, clipping and weight average never makes the host wait."""
    if device.type != "cuda":
        return "not checked: there is no CUDA device"
    model, batch = build_network(name, index, sizes)
    model = model.to(device)
    average = WeightAverage(model, 0.99)
    step = step_of(model, wrapper_of(model, device, "bf16"), of_size(batch, BATCH, device))
    for _ in range(2):  # the first steps allocate and choose algorithms
        step()
        average.update()
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
        average.update()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "no operation waits"


def bf16_is_fp32(name: str, index: Path, sizes: Sizes, device: torch.device) -> dict:
    """Loss and gradient in bfloat16 equal those in float32 up to rounding."""
    model, batch = build_network(name, index, sizes)
    model = model.to(device).eval()
    data = model.data_preprocessor(of_size(batch, BATCH, device), True)
    found = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            loss, _ = model.parse_losses(model(**data, mode="loss"))
        loss.backward()
        gradients = [p.grad.flatten().double() for p in model.parameters() if p.grad is not None]
        found.append((float(loss), torch.cat(gradients)))
    (loss, gradient), (rounded, rounded_gradient) = found
    relative = abs(rounded - loss) / abs(loss)
    cosine = float(cosine_similarity(gradient, rounded_gradient, dim=0))
    assert relative < LOSS_TOLERANCE, f"the loss is {relative:.3f} of itself off"
    assert cosine > GRADIENT_COSINE, f"the gradients' cosine is {cosine:.3f}"
    return {"loss_relative_difference": relative, "gradient_cosine": cosine}


def nan_is_no_step(name: str, index: Path, sizes: Sizes, device: torch.device) -> str:
    """An injected NaN changes neither weights nor moments, is reported, and has no later effect."""
    model, batch = build_network(name, index, sizes)
    model = model.to(device)
    wrapper = wrapper_of(model, device, "bf16" if device.type == "cuda" else "fp32")
    step = step_of(model, wrapper, of_size(batch, BATCH, device))
    step()
    weights = {k: p.detach().clone() for k, p in model.named_parameters()}
    moments = copy.deepcopy(wrapper.state_dict()["state"])
    hook = model.backbone.register_forward_pre_hook(lambda _, inputs: (inputs[0] * float("nan"),))
    step()
    hook.remove()
    assert wrapper.verdict.read() == "loss", wrapper.verdict.read()
    assert all(torch.equal(weights[k], p) for k, p in model.named_parameters())
    for key, values in wrapper.state_dict()["state"].items():
        assert all(torch.equal(moments[key][k], v) for k, v in values.items())
    return f"deferred: {wrapper.deferred}"


def compiled_is_eager(name: str, index: Path, sizes: Sizes, device: torch.device) -> dict:
    """The compiled network gives the loss of the eager one, in float32."""
    losses = []
    for mode in (None, "default"):
        model, batch = build_network(name, index, sizes)
        model = model.to(device).eval()  # the same dropout masks: none
        if mode is not None:
            compile_network(model, mode)
        data = model.data_preprocessor(of_size(batch, BATCH, device), True)
        loss, _ = model.parse_losses(model(**data, mode="loss"))
        loss.backward()
        losses.append(float(loss.detach()))
    relative = abs(losses[1] - losses[0]) / abs(losses[0])
    assert relative < 1e-2, f"the compiled loss is {relative:.2e} off"
    return {"loss_relative_difference": relative}


def channels_last_sampling(device: torch.device) -> dict:
    """Sampling gives the same values from channels-last and from channels-first features."""
    from eanet.rotation_net import sample_joint_features

    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4, 32, 8, 8, generator=generator).to(device)
    cells = 7 * torch.rand(4, 21, 2, generator=generator).to(device)
    ordered = features.contiguous(memory_format=torch.channels_last).requires_grad_()
    apart = 0.0
    for sample in (
        sample_joint_features,
        lambda f, c: sample_at_joints(f, c, VolumeGrid(cells=8, depth_cells=8)),
    ):
        result = sample(ordered, cells)
        result.sum().backward()
        apart = max(apart, float((result - sample(features, cells)).abs().max()))
    assert apart < 1e-5, f"samples are {apart:.1e} apart"
    return {"largest_difference": apart}


class _Stop(Hook):
    """End a run as a kill would."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 4:
            raise KeyboardInterrupt


def resumed_is_whole(index: Path, device: torch.device) -> str:
    """A deterministic run that is interrupted and resumed equals a whole one bit for bit."""
    sections = {
        "data": {"index": str(index), "batch_size": 8, "workers": 0, "val_split": None},
        "backbone": {"arch": "test_resnet", "size_px": 64},
        "schedule": {"iterations": 6, "warmup_iterations": 2},
        "training": {"checkpoint_every": 3, "deterministic": True, "ema_decay": 0.9},
        "device": str(device),
        "progress": False,
    }
    with temporary_folder() as folder:
        whole, cut = folder / "whole", folder / "cut"
        first = build_runner(out=whole, **sections)
        first.train()
        try:
            build_runner(out=cut, hooks=[_Stop()], **sections).train()
        except KeyboardInterrupt:
            pass
        second = build_runner(out=cut, resume=True, **sections)
        second.train()
    left, right = first.model.state_dict(), second.model.state_dict()
    differing = [name for name in left if not torch.equal(left[name], right[name])]
    torch.use_deterministic_algorithms(False)
    assert not differing, f"{len(differing)} tensors differ, the first is {differing[0]}"
    return f"{len(left)} tensors equal"
