"""A dataset of one's own as docs/data.md describes it: right hands, 3D joints, no MANO fits."""

from pathlib import Path

from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.synthetic.build import write_synthetic

RIGHT_HAND_FOLDERS = ("0016_fist", "0027_five_count", "0007_thumbup_normal", "0012_aokay_upright")


def write_right_hands(root: Path, *, images: dict[str, int], size_px: int, **options) -> Path:
    """Index of rendered right hands without fits.

    Args:
        root: New folder.
        images: Images per split.
        size_px: Side of the square images.
        **options: Of `write_synthetic`.
    """
    options = {"gestures": list(RIGHT_HAND_FOLDERS), "progress": False, **options}
    write_synthetic(root, images_per_split=images, size_px=size_px, **options)
    for split in images:
        (root / "annotations" / split / f"InterHand2.6M_{split}_MANO_NeuralAnnot.json").unlink()
    return build_interhand_index(root, progress=False, data_name="right hands")
