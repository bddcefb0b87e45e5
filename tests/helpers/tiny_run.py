"""A data set of a few rendered hands and the sections of a run that takes seconds."""

from pathlib import Path

from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.synthetic.build import write_synthetic

SIZE_PX = 32


def write_tiny_index(root: Path) -> Path:
    """An index of 48 training and 16 validation images of 32 px."""
    write_synthetic(
        root,
        images_per_split={"train": 48, "val": 16},
        size_px=SIZE_PX,
        subjects={"train": 2, "val": 1},
        workers=0,
        progress=False,
    )
    return build_interhand_index(root, progress=False)


def tiny_sections(index: Path, **changes) -> dict:
    """Arguments of `build_runner`; `changes` are merged into the sections."""
    sections = {
        "data": {"index": str(index), "batch_size": 8, "workers": 0},
        "backbone": {"arch": "test_resnet", "size_px": SIZE_PX},
        "heads": {"hidden": 16, "dropout": 0.5},
        "optimizer": {"lr": 2e-3},
        "schedule": {"iterations": 12, "warmup_iterations": 2},
        "training": {"log_every": 1, "threads": 1},
        "device": "cpu",
        "progress": False,
    }
    for name, change in changes.items():
        if isinstance(change, dict):
            change = {**sections.get(name, {}), **change}
        sections[name] = change
    return sections
