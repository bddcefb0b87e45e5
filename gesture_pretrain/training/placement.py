"""Placement of a model on its device, with distributed wrapper and compilation."""

import torch
from mmengine.model import BaseModel, MMDistributedDataParallel, is_model_wrapper
from timm.layers import convert_sync_batchnorm
from torch import nn

from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.options import TrainingOptions


def set_backends(options: TrainingOptions) -> None:
    """Set torch's process-wide switches for determinism, cuDNN and float32 matrix products."""
    benchmark = options.cudnn_benchmark
    torch.backends.cudnn.benchmark = not options.deterministic if benchmark is None else benchmark
    torch.backends.cudnn.deterministic = options.deterministic
    torch.use_deterministic_algorithms(options.deterministic)
    torch.set_float32_matmul_precision(options.float32_matmul_precision)


def place_model(model: BaseModel, device: torch.device, options: TrainingOptions) -> nn.Module:
    """Move a model to its device, wrap it for several processes, and compile it if requested.

    Raises:
        ValueError: An option is not supported for this model on this device.
    """
    refuse_nondeterministic(model, device, options)
    model = model.to(device)
    if rank_and_world_size()[1] > 1:
        if options.sync_bn:
            model = synchronise_batch_norm(model, device)
        model = MMDistributedDataParallel(
            model,
            device_ids=[device.index] if device.type == "cuda" else None,
            # training does not use running statistics; validation uses those of the first process
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )
    if options.compile is not None:
        compile_network(unwrapped(model), options.compile)
    return model


def refuse_nondeterministic(
    model: nn.Module, device: torch.device, options: TrainingOptions
) -> None:
    """Raise ValueError if the model has no deterministic backward on CUDA but the run requires it.

    Such a model names the operation in `nondeterministic_on_cuda`.
    """
    operation = getattr(model, "nondeterministic_on_cuda", None)
    if options.deterministic and device.type == "cuda" and operation is not None:
        raise ValueError(
            f"training.deterministic is not possible with {type(model).__name__} on CUDA: "
            f"{operation} has no deterministic backward there. Leave it off, or train on the CPU."
        )


def freeze_batch_norm(model: nn.Module) -> None:
    """Make batch norm use and keep its stored statistics, including in training mode."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
            module.train = lambda mode=True, module=module: module


def synchronise_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """Convert batch norm to statistics over all processes.

    timm's conversion preserves the activation inside timm's `BatchNormAct2d`; torch's own does not.

    Raises:
        ValueError: The device is not CUDA.
    """
    if device.type != "cuda":
        raise ValueError("training.sync_bn needs CUDA. Leave it off, or use freeze_bn.")
    return convert_sync_batchnorm(model)


def compile_network(model: nn.Module, mode: str) -> None:
    """Compile the model's `network`, or its `backbone` if it has none, in place.

    Tensor names do not change. A copy of the model (the weight average) is not compiled. All
    batches of a run have the same shape, so it is compiled once for training and once for
    validation.
    """
    network = getattr(model, "network", None)
    if network is None:
        network = model.backbone
    network.compile(mode=None if mode == "default" else mode, dynamic=False)
    torch._dynamo.config.suppress_errors = False  # raise if compilation fails


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside its distributed wrapper."""
    return model.module if is_model_wrapper(model) else model


def evaluated_model(runner) -> nn.Module:
    """Return the model that is validated and exported: the weight average if there is one."""
    average = runner.weight_average
    return unwrapped(runner.model) if average is None else average.module


def same_buffers_everywhere(model: nn.Module) -> None:
    """Broadcast the buffers of the first process, which are the ones that are saved."""
    if rank_and_world_size()[1] > 1:
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
