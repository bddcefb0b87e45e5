"""A dataset of one's own as docs/data.md describes it: right hands, 3D joints, no MANO fits."""

import json
import shutil
from pathlib import Path

from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.synthetic.build import write_synthetic


def write_right_hands(root: Path, *, images: dict[str, int], size_px: int, **options) -> Path:
    """Index of rendered right hands without fits.

    Args:
        root: New folder.
        images: Images per split, an even number; half of the rendered ones show right hands.
        size_px: Side of the square images.
        **options: Of `write_synthetic`.
    """
    write_synthetic(
        root,
        images_per_split={split: 3 * count for split, count in images.items()},
        size_px=size_px,
        progress=False,
        **options,
    )
    shutil.rmtree(root / "rootnet_output")
    for split, count in images.items():
        keep_right_hands(root / "annotations" / split, split, count)
    return build_interhand_index(root, progress=False, data_name="right hands")


def keep_right_hands(folder: Path, split: str, count: int) -> None:
    """Drop the fits and all but `count` images of right hands from the annotation files."""
    (folder / f"InterHand2.6M_{split}_MANO_NeuralAnnot.json").unlink()
    file = folder / f"InterHand2.6M_{split}_data.json"
    content = json.loads(file.read_text())
    kept = [a for a in content["annotations"] if a["hand_type"] == "right"][:count]
    assert len(kept) == count
    of_kept = {a["image_id"] for a in kept}
    content["images"] = [image for image in content["images"] if image["id"] in of_kept]
    file.write_text(json.dumps({**content, "annotations": kept}))
