"""How the loop of a run works, apart from what it trains on: the section `training`."""

from dataclasses import dataclass

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")
MATMUL_PRECISIONS = ("highest", "high", "medium")
_AT_LEAST_ONE = (
    "checkpoint_every",
    "keep_checkpoints",
    "validate_every",
    "log_every",
    "accumulate",
    "threads",
)


@dataclass(frozen=True)
class TrainingOptions:
    """How the loop works, apart from what it trains on.

    Attributes:
        precision: "auto" (bf16 where CUDA supports it, else fp32), "fp32", "bf16" or "fp16".
        clip_norm: The gradient's L2 norm is clipped to this; None for no clipping. The fraction of
            clipped steps is logged.
        ema_decay: Decay of the weight average; None for no average. If there is one, it is what is
            validated and exported.
        channels_last: Memory order of weights and images; faster convolutions on most devices.
        sync_bn: Batch-norm statistics over all processes (CUDA only). Every layer makes the host
            wait for the device, so it pays only for a few images per process.
        freeze_bn: Batch norm keeps and uses its initial statistics.
        checkpoint_every: Iterations between checkpoints; None for one per epoch.
        keep_checkpoints: Number of checkpoints to keep.
        validate_every: Iterations between validations; None for one per epoch.
        log_every: Iterations between lines of metrics.jsonl.
        threads: CPU threads of torch; None leaves torch's choice.
        deterministic: Refuse operations without a deterministic implementation (CUDA; the CPU needs
            no flag).
        cudnn_benchmark: cuDNN times its algorithms for the shapes of the run and takes the fastest.
            None: yes, unless `deterministic`.
        float32_matmul_precision: "highest", or "high" for TF32 in float32 matrix products on CUDA,
            or "medium" for bfloat16 in them.
        accumulate: Number of parts in which each process computes its share of a batch; the
            gradient is that of the whole batch, see `accumulated_step`.
        compile: None, or a mode of torch.compile for the network ("default", "reduce-overhead" for
            CUDA graphs, "max-autotune"). Compiling takes minutes.
        timeout_s: How long a process waits for the others before the run is given up.
    """

    precision: str = "auto"
    clip_norm: float | None = 1.0
    ema_decay: float | None = None
    channels_last: bool = False
    sync_bn: bool = False
    freeze_bn: bool = False
    checkpoint_every: int | None = None
    keep_checkpoints: int = 2
    validate_every: int | None = None
    log_every: int = 10
    threads: int | None = None
    deterministic: bool = False
    cudnn_benchmark: bool | None = None
    float32_matmul_precision: str = "highest"
    accumulate: int = 1
    compile: str | None = None
    timeout_s: float = 600.0

    def __post_init__(self):
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"training.{name} must be at least 1, got {value}.")
        for name in ("timeout_s", "clip_norm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"training.{name} must be above 0, got {value}.")
        for name, possible in (
            ("compile", (None, *COMPILE_MODES)),
            ("float32_matmul_precision", MATMUL_PRECISIONS),
        ):
            if getattr(self, name) not in possible:
                raise ValueError(
                    f"training.{name} is {getattr(self, name)!r}; possible: "
                    + ", ".join(str(value).lower() for value in possible)
                )
        if self.sync_bn and self.freeze_bn:
            raise ValueError(
                "training.sync_bn does not go with training.freeze_bn, which has no statistics to "
                "share. Leave one of them off."
            )
        if self.deterministic and self.cudnn_benchmark:
            raise ValueError(
                "training.cudnn_benchmark chooses algorithms by their time, which is not "
                "deterministic. Leave it or training.deterministic off."
            )
