"""Value checks for the sections that all kinds of run share, before anything is opened or built.

`sections.py` checks the keys of a section; this module checks names and ranges of their values.
"""

from collections.abc import Mapping

from torch import nn

from gesture_pretrain.config.sections import build_from_section
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.names import require_choice
from gesture_pretrain.precision import PRECISIONS
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.training.options import TrainingOptions
from gesture_pretrain.training.schedule import Schedule

# optimiser keys that depend on the model or on the processes
_NOT_HERE = ("lr_scales", "layer_decay", "fused")


def check_shared_values(
    *,
    data: Mapping | None = None,
    optimizer: Mapping | None = None,
    schedule: Mapping | None = None,
    training: Mapping | None = None,
    **_others,
) -> None:
    """Raise ValueError for an invalid value in one of these sections, whose keys are known.

    Args:
        data: Section `data`. Splits, fraction, batch size and augmentation are checked.
        optimizer: Arguments of `build_optimizer`.
        schedule: Arguments of `Schedule`.
        training: Arguments of `TrainingOptions`.
    """
    Schedule(**(schedule or {}))
    require_choice("training.precision", TrainingOptions(**(training or {})).precision, PRECISIONS)
    _check_data(data or {})
    _check_optimizer(optimizer or {})


def _check_data(data: Mapping) -> None:
    require_choice("data.train_split", data.get("train_split", "train"), SPLITS)
    require_choice("data.val_split", data.get("val_split", "val"), (*SPLITS, None))
    if not 0 < data.get("fraction", 1.0) <= 1:
        raise ValueError(f"data.fraction must be above 0 and at most 1, got {data['fraction']}.")
    for key in ("batch_size", "val_images"):
        if data.get(key) is not None and data[key] < 1:
            raise ValueError(f"data.{key} must be at least 1, got {data[key]}.")
    if data.get("workers", 0) < 0:
        raise ValueError(f"data.workers must be at least 0, got {data['workers']}.")
    build_from_section("data.augmentation", Augmentation, data.get("augmentation") or {})


def _check_optimizer(optimizer: Mapping) -> None:
    settings = {key: value for key, value in optimizer.items() if key not in _NOT_HERE}
    try:
        build_optimizer(nn.Linear(1, 1), fused=False, **settings)
    except (IndexError, TypeError, ValueError) as error:
        message = str(error)
        if not message.startswith("optimizer."):  # torch's own messages do not name the section
            message = f"optimizer: {message}"
        raise ValueError(message) from error
