"""What several processes and CUDA change in a model, as far as a CPU can tell."""

import copy

import pytest
import timm
import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.placement import (
    refuse_nondeterministic,
    set_backends,
    synchronise_batch_norm,
)

CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize("arch", ["efficientnet_b0", "regnety_002", "resnetv2_50", "densenet121"])
def test_sync_bn_keeps_the_output_bit_for_bit(arch):
    """torch's own conversion lost the activations inside of timm's BatchNormAct2d."""
    torch.manual_seed(0)
    model = timm.create_model(arch, num_classes=3).eval()
    for module in model.modules():  # statistics of a network that was trained
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    converted = synchronise_batch_norm(copy.deepcopy(model), CUDA).eval()
    assert any(isinstance(m, nn.SyncBatchNorm) for m in converted.modules())
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(converted(image), model(image))


def test_sync_bn_needs_cuda():
    with pytest.raises(ValueError, match="CUDA"):
        synchronise_batch_norm(nn.BatchNorm2d(3), torch.device("cpu"))
    assert isinstance(convert_sync_batchnorm(nn.BatchNorm2d(3)), nn.SyncBatchNorm)


class Sampler(nn.Module):
    nondeterministic_on_cuda = "grid_sample"


def test_deterministic_is_refused_before_the_first_backward_that_cannot_be():
    deterministic = TrainingOptions(deterministic=True)
    with pytest.raises(ValueError, match="deterministic.*Sampler.*grid_sample"):
        refuse_nondeterministic(Sampler(), CUDA, deterministic)
    refuse_nondeterministic(Sampler(), torch.device("cpu"), deterministic)
    refuse_nondeterministic(Sampler(), CUDA, TrainingOptions())
    refuse_nondeterministic(nn.Identity(), CUDA, deterministic)


@pytest.fixture
def backends():
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, torch.get_float32_matmul_precision()
    yield cudnn
    cudnn.benchmark, cudnn.deterministic = before[:2]
    torch.set_float32_matmul_precision(before[2])
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "options, benchmark",
    [({}, True), ({"deterministic": True}, False), ({"cudnn_benchmark": False}, False)],
)
def test_named_options_reach_torch(backends, options, benchmark):
    set_backends(TrainingOptions(float32_matmul_precision="high", **options))
    assert backends.benchmark == benchmark
    assert backends.deterministic == options.get("deterministic", False)
    assert torch.get_float32_matmul_precision() == "high"
