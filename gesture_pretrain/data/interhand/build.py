"""InterHand2.6M (and any dataset in its layout) to an index.

Each annotation file is streamed once. Images and annotations are joined through `image_id`, images
and time steps through (split, capture, frame), images and calibrations through (split, capture,
camera): capture numbers start again in every split, and ids have gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gesture_pretrain.data.index.checks import check_names, gate
from gesture_pretrain.data.index.counts import count_images
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.record import HANDS
from gesture_pretrain.data.index.writer import write_index
from gesture_pretrain.data.interhand.columns import assemble_columns
from gesture_pretrain.data.interhand.files import AnnotationFiles, find_annotation_files
from gesture_pretrain.data.interhand.join import JoinedSplit, Vocabulary, read_split
from gesture_pretrain.data.interhand.published_counts import (
    RELEASES,
    HandCounts,
    Release,
    release_of,
)
from gesture_pretrain.data.interhand.values import Codes, OnBytes, Rounding
from gesture_pretrain.files.json_file import read_json

LICENCE = "CC BY-NC 4.0 (InterHand2.6M; research use only)"
EMBEDDED_NAME = "embedded synthetic set"
OWN_KIND = "interhand26m layout"  # another dataset in InterHand2.6M's layout


def build_interhand_index(
    root: str | Path,
    out: str | Path | None = None,
    splits: list[str] | None = None,
    progress: bool = True,
    *,
    subset: str | None = None,
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    expect_release: str | None = None,
    data_name: str | None = None,
    licence: str | None = None,
    on_invalid: str = "error",
) -> Path:
    """Read the annotations of a dataset in InterHand2.6M's layout into an index.

    Args:
        root: Folder of the dataset; see `find_annotation_files` for its layout.
        out: Folder of the index; `root/index` by default. An earlier index there is replaced.
        splits: Some of "train", "val" and "test"; None for all available.
        progress: Show a progress bar.
        subset, annotations, images: See `find_annotation_files`.
        expect_release: Refuse data whose counts are not those of this release, "v1.0" or "v0.0".
        data_name: Name of your own dataset in this layout; None for InterHand2.6M itself.
        licence: Licence of that dataset, copied to weights trained on it. Default: "not stated".
        on_invalid: "error" refuses impossible annotations, see `index.checks`; "drop" leaves their
            images out.

    Returns:
        Folder of the index. Open it with `HandIndex.open`.

    Raises:
        DataError: Files are missing, damaged or contradictory, the release is not the expected
            one, or arguments contradict each other. An earlier index is unchanged.
    """
    files = find_annotation_files(
        root, splits=splits, subset=subset, annotations=annotations, images=images
    )
    return build_index_from_files(
        files,
        Path(root),
        out,
        progress=progress,
        expect_release=expect_release,
        data_name=data_name,
        licence=licence,
        on_invalid=on_invalid,
    )


def build_index_from_files(
    files: list[AnnotationFiles],
    root: str | Path,
    out: str | Path | None = None,
    *,
    progress: bool = True,
    expect_release: str | None = None,
    data_name: str | None = None,
    licence: str | None = None,
    on_invalid: str = "error",
) -> Path:
    """Build an index of explicitly named annotation files; see `build_interhand_index`."""
    _check_arguments(expect_release, data_name, licence)
    root = Path(root)
    words = Vocabulary(Codes(), Codes(), Codes(), Rounding())
    with _byte_progress(files, progress) as on_bytes:
        parts = [read_split(of_split, words, on_bytes) for of_split in files]
    release = _check_release(parts, expect_release)
    for of_split, part in zip(files, parts, strict=True):
        check_names(
            [*part.irregular_names.values(), *words.sequences, *words.cameras], str(of_split.data)
        )
    columns, labels = assemble_columns(parts, words)
    sizes = [list(size) for size in words.sizes]
    columns, checked = gate(columns, sizes, source=str(root), on_invalid=on_invalid)
    meta = {**_meta(files, root, parts, words, labels, release), "checked": checked}
    if data_name is not None:
        meta |= {"kind": OWN_KIND, "data_name": data_name, "licence": licence or "not stated"}
    meta["counts"] = count_images(columns, labels)
    return write_index(Path(out) if out is not None else root / "index", root, columns, meta)


@contextmanager
def _byte_progress(files: list[AnnotationFiles], show: bool) -> Iterator[OnBytes]:
    paths = [p for f in files for p in (f.data, f.camera, f.joints, f.mano, f.detections) if p]
    for path in paths:
        if not path.is_file():
            raise DataError(f"{path} does not exist")
    total = sum(path.stat().st_size for path in paths)
    with tqdm(
        total=total, unit="B", unit_scale=True, desc="reading annotations", disable=not show
    ) as bar:
        yield bar.update


def _check_arguments(
    expect_release: str | None, data_name: str | None, licence: str | None
) -> None:
    if expect_release is not None and expect_release not in RELEASES:
        raise DataError(f"unknown release {expect_release!r}; there are {', '.join(RELEASES)}")
    if data_name is not None and expect_release is not None:
        raise DataError(
            f"{data_name!r} names a dataset of your own, but InterHand2.6M {expect_release} is "
            "expected. Leave out one of the two."
        )
    if licence is not None and data_name is None:
        raise DataError(
            "a licence is given, but no name. Data without a name count as InterHand2.6M, whose "
            "licence is known. Name your dataset (data_name)."
        )


def _check_release(parts: list[JoinedSplit], expected: str | None) -> Release:
    counts = {part.split: _hand_counts(part.images["hand"]) for part in parts}
    release = release_of(counts)
    if expected is not None and release.name != expected:
        listed = "; ".join(
            f"{split} {of.single:,} single + {of.interacting:,} interacting"
            for split, of in counts.items()
        )
        raise DataError(
            f"expected InterHand2.6M {expected}, but these counts are of {release}: {listed}. "
            "Download the annotations of that release, or leave out expect_release."
        )
    return release


def _hand_counts(hand: np.ndarray) -> HandCounts:
    of_hand = np.bincount(hand, minlength=len(HANDS)).tolist()
    return HandCounts(of_hand[0] + of_hand[1], of_hand[2])


def _meta(
    files: list[AnnotationFiles],
    root: Path,
    parts: list[JoinedSplit],
    words: Vocabulary,
    labels: list[str],
    release: Release,
) -> dict:
    synthetic = root / "synthetic.json"
    card = read_json(synthetic, DataError) if synthetic.is_file() else None
    if card is not None and not isinstance(card, dict):
        raise DataError(f"{synthetic} is not a JSON object. Render the dataset again.")
    return {
        "kind": "interhand26m",
        "data_name": "InterHand2.6M" if card is None else card.get("name", EMBEDDED_NAME),
        "licence": LICENCE if card is None else card.get("licence", "not stated"),
        "synthetic": card,
        "release": {"name": release.name, "subset": release.subset},
        "image_folders": {of.split: _below(of.images, root) for of in files},
        "labels": labels,
        "cameras": list(words.cameras),
        "image_sizes": [list(size) for size in words.sizes],
        "rounded_to_float32": words.rounding.values,
        "notes": {part.split: part.notes for part in parts},
        "sources": [source for part in parts for source in part.sources],
    }


def _below(folder: Path, root: Path) -> str:
    folder, root = folder.resolve(), root.resolve()
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else str(folder)
