"""Images for benchmarks without a dataset."""

from pathlib import Path

from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.synthetic.build import write_synthetic


def render_index(folder: Path, *, images: int, size_px: int) -> Path:
    """Render a training split of single hands into a new folder and build its index."""
    write_synthetic(
        folder,
        images_per_split={"train": images},
        subjects={"train": 2},
        size_px=size_px,
        workers=0,
        progress=False,
    )
    return build_interhand_index(folder, progress=False)
