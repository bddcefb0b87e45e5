"""Options of the training loop: the config section `training`."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from gesture_pretrain.precision import PRECISIONS
from gesture_pretrain.schema import section

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")
MATMUL_PRECISIONS = ("highest", "high", "medium")


@section
class TrainingOptions:
    """Options of the training loop.

    Attributes:
        precision: "auto" (bf16 where CUDA supports it, else fp32), "fp32", "bf16" or "fp16".
        clip_norm: Maximum L2 norm of the gradient; None for no clipping. The fraction of clipped
            steps is logged.
        ema_decay: Decay of the weight average; None for no average. The average, if any, is
            validated and exported.
        channels_last: Use channels-last memory order for weights and images, which speeds up
            convolutions on most devices.
        sync_bn: Compute batch-norm statistics over all processes (CUDA only). Every layer makes the
            host wait for the device, so this is useful only with few images per process.
        freeze_bn: Use and keep the initial batch-norm statistics.
        checkpoint_every: Iterations between checkpoints; None for one per epoch.
        keep_checkpoints: Number of checkpoints to keep.
        validate_every: Iterations between validations; None for one per epoch.
        log_every: Iterations between lines of metrics.jsonl.
        threads: CPU threads of torch; None for torch's default.
        deterministic: Refuse operations without a deterministic implementation on CUDA. The CPU is
            always deterministic.
        cudnn_benchmark: Let cuDNN time its algorithms and use the fastest one. Default: yes, unless
            `deterministic`.
        float32_matmul_precision: "highest", or "high" for TF32 in float32 matrix products on CUDA,
            or "medium" for bfloat16.
        accumulate: Number of parts into which each process splits its part of a batch. The gradient
            is that of the whole batch, see `accumulated_step`.
        compile: None, or a mode of torch.compile for the network ("default", "reduce-overhead" for
            CUDA graphs, "max-autotune"). Compiling takes minutes.
        timeout_s: Time that a process waits for the others before the run is aborted, s.
    """

    precision: Literal[PRECISIONS] = "auto"
    clip_norm: PositiveFloat | None = 1.0
    ema_decay: float | None = None
    channels_last: bool = False
    sync_bn: bool = False
    freeze_bn: bool = False
    checkpoint_every: PositiveInt | None = None
    keep_checkpoints: PositiveInt = 2
    validate_every: PositiveInt | None = None
    log_every: PositiveInt = 10
    threads: PositiveInt | None = None
    deterministic: bool = False
    cudnn_benchmark: bool | None = None
    float32_matmul_precision: Literal[MATMUL_PRECISIONS] = "highest"
    accumulate: PositiveInt = 1
    compile: Literal[(*COMPILE_MODES, None)] = None
    timeout_s: PositiveFloat = 600.0

    def __post_init__(self):
        if self.sync_bn and self.freeze_bn:
            raise ValueError(
                "sync_bn and freeze_bn are mutually exclusive, because frozen "
                "batch norm has no statistics to synchronise. Turn one of them off."
            )
        if self.deterministic and self.cudnn_benchmark:
            raise ValueError(
                "cudnn_benchmark chooses algorithms by their run time, which is not "
                "deterministic. Turn it or deterministic off."
            )
