"""Index photographs that are stored in one folder per class.

    ROOT/<class>/*.jpg                  all images belong to the split "train"
    ROOT/{train,val,test}/<class>/*     splits, if there are folders with these names

The label of an image is the name of its class folder. Hands, joints, cameras and boxes are unknown.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gesture_pretrain.data.images.decoding import UnreadableImage, image_size_wh
from gesture_pretrain.data.index.counts import count_images
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.record import HANDS, SPLITS
from gesture_pretrain.data.index.writer import path_columns, smallest, step_key, write_index
from gesture_pretrain.data.interhand.values import Codes

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
_NAMED_IN_AN_ERROR = 10


def build_folder_index(
    root: str | Path,
    out: str | Path | None = None,
    *,
    data_name: str | None = None,
    licence: str = "not stated",
    skip_unreadable: bool = False,
    workers: int = 4,
    progress: bool = True,
) -> Path:
    """Index class-per-folder photographs. Only the header of each file is read.

    Args:
        root: Folder of the dataset.
        out: Folder of the index; `root/index` by default. An earlier index is replaced.
        data_name: Name for reports; the folder's name by default.
        licence: Licence of the photographs, stored in the card of weights trained on them.
        skip_unreadable: Leave out files that are not images, and print their names.
        workers: Threads that read the files.
        progress: Show a progress bar.

    Returns:
        Folder of the index.

    Raises:
        DataError: The folder or its class folders are missing, no image can be read, or, without
            `skip_unreadable`, some image cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the folder that contains the class folders")
    out = Path(out) if out is not None else root / "index"
    found = _find_images(root, out)
    sizes = _read_sizes(root, found, workers, progress)
    checked = list(zip(found, sizes, strict=True))
    broken = {path: size for (*_, path), size in checked if isinstance(size, str)}
    if broken and not skip_unreadable:
        raise DataError(
            f"{len(broken)} of {len(found)} images below {root} cannot be read: "
            f"{_some(broken)}. Replace or remove them, or skip them (skip_unreadable=True)."
        )
    if broken:
        print(f"left out {len(broken)} unreadable images: {_some(broken)}")
    kept = [(entry, size) for entry, size in checked if not isinstance(size, str)]
    if not kept:
        raise DataError(f"{root}: none of the {len(found)} images can be read: {_some(broken)}")
    columns, labels, image_sizes = _columns(kept)
    by_split = {SPLITS[k] for k in np.unique(columns["step_split"]).tolist()}
    meta = {
        "kind": "folders",
        "data_name": data_name or root.resolve().name,
        "licence": licence,
        "synthetic": None,
        "image_folders": {split: "." for split in SPLITS if split in by_split},
        "labels": labels,
        "cameras": [],
        "image_sizes": image_sizes,
        "counts": count_images(columns, labels),
        "checked": {"images": "head and end of each file", "unreadable_left_out": len(broken)},
    }
    return write_index(out, root, columns, meta)


def _find_images(root: Path, out: Path) -> list[tuple[str, str, str]]:
    """Return (split, label, path relative to the root) of every image, sorted."""
    splits = [split for split in SPLITS if (root / split).is_dir()]
    homes = [(split, root / split) for split in splits] or [("train", root)]
    found = []
    for split, home in homes:
        for folder in sorted(home.iterdir()):
            if not folder.is_dir() or folder.name.startswith(".") or folder == out:
                continue
            found += [
                (split, folder.name, path.relative_to(root).as_posix())
                for path in sorted(folder.rglob("*"))
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
            ]
    if not found:
        looked = ", ".join(str(home) for _, home in homes)
        raise DataError(
            f"{looked}: no images in class folders; expected <class>/<image> there, with a suffix "
            f"of {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    return found


def _read_sizes(
    root: Path, found: list[tuple[str, str, str]], workers: int, progress: bool
) -> list[tuple[int, int] | str]:
    """Return width and height of each image, or the reason why it cannot be read."""
    with ThreadPoolExecutor(workers) as pool:
        tasks = pool.map(lambda entry: _size_or_reason(root / entry[-1]), found)
        bar = tqdm(tasks, total=len(found), unit="image", desc="indexing", disable=not progress)
        return list(bar)


def _size_or_reason(path: Path) -> tuple[int, int] | str:
    try:
        return image_size_wh(path)
    except UnreadableImage as error:
        return str(error)


def _columns(
    kept: list[tuple[tuple[str, str, str], tuple[int, int]]],
) -> tuple[dict[str, np.ndarray], list[str], list[list[int]]]:
    labels = sorted({label for (_, label, _), _ in kept})
    code = {label: k for k, label in enumerate(labels)}
    sizes = Codes()
    count = len(kept)
    columns = {
        "step": np.arange(count, dtype=np.int32),  # each photograph is its own moment
        "sequence": smallest(np.array([code[label] for (_, label, _), _ in kept], np.int64)),
        "size": smallest(np.array([sizes[size] for _, size in kept], np.int64)),
        "hand": np.full(count, HANDS.index("unknown"), np.uint8),
        "step_split": np.array([SPLITS.index(split) for (split, *_), _ in kept], np.uint8),
        "step_capture": np.full(count, -1, np.int8),
        "step_frame": np.full(count, -1, np.int8),
        "step_key": np.array([step_key(path) for (*_, path), _ in kept], np.uint64),
    }
    paths = {i: path for i, ((*_, path), _) in enumerate(kept)}
    return columns | path_columns(paths, count), labels, [list(size) for size in sizes]


def _some(broken: dict[str, str]) -> str:
    named = [f"{path} ({why})" for path, why in list(broken.items())[:_NAMED_IN_AN_ERROR]]
    more = len(broken) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
