"""How a run's loop goes, apart from what it trains on: the section `training`."""

from dataclasses import dataclass

from gesture_pretrain.training.step.compilation import check_compile

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
    """How the loop runs, apart from what it trains on.

    Attributes:
        precision: "auto" (bf16 where CUDA has it, else fp32), "fp32", "bf16" or "fp16".
        clip_norm: the gradient's L2 norm is clipped to this; None for no clipping.
        ema_decay: decay of the weight average; None for no average. Where there is one, it is what
            is validated and exported.
        channels_last: memory order of weights and images; faster convolutions on most devices.
        sync_bn: batch-norm statistics over all processes (CUDA only).
        freeze_bn: batch norm keeps and uses its initial statistics.
        checkpoint_every: iterations between checkpoints; None for one per epoch.
        keep_checkpoints: how many stay.
        validate_every: iterations between validations; None for one per epoch.
        log_every: iterations between lines of metrics.jsonl.
        threads: CPU threads of torch; None leaves torch's choice.
        deterministic: refuse operations without a deterministic form (CUDA; the CPU needs no flag).
        accumulate: parts in which each process takes its share of a batch, one after the other; the
            gradient is that of the whole batch, see `accumulated_step`.
        checkpoint_activations: keep only the inputs of the backbone's blocks and compute the rest
            again for the gradient: less memory, about a third more computation.
        compile: None, or a mode of torch.compile for the network ("default", "reduce-overhead" for
            CUDA graphs, "max-autotune"). Compiling takes minutes.
        timeout_s: how long a process waits for the others before the run is given up.
        peak_tflops: what the device can do in this precision, for the share of it that is used;
            None looks it up by the device's name.
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
    accumulate: int = 1
    checkpoint_activations: bool = False
    compile: str | None = None
    timeout_s: float = 600.0
    peak_tflops: float | None = None

    def __post_init__(self):
        for name in _AT_LEAST_ONE:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"training.{name} must be at least 1, got {value}.")
        for name in ("timeout_s", "clip_norm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"training.{name} must be above 0, got {value}.")
        check_compile(self.compile, self.checkpoint_activations)
