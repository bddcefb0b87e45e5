"""Pictures decoded once: the pixels that crops can show, as memory-mapped bytes beside their index.

For each row of an index the shards hold the rectangle of the picture that any crop of the stated
augmentation can show, at the scales at which a loader decodes the file for these crops: original
pixels, averages over 2 x 2, 4 x 4 or 8 x 8 of them, or two of these, where some crops show more
pixels per pixel than others. Nothing is interpolated, so a loader gives the samples of the picture
files, to one grey level in 2 of 100 pixels (the rounding of positions), and bit for bit where it
puts the rectangle back in its place (`WholePictures`). A row takes width x height x 3 bytes, for
pictures of 334 x 512 px about 0.3 MB against 20 kB as JPEG (a second scale adds a quarter): worth
it where decoding is what a machine waits for.

Which boxes the crops are about is part of what shards are made for: those of the index, as
`GestureDataset` and `PoseDataset` crop them, or those of a target, which makes the `ShardPlan`.

A folder of shards holds `shards.json` (what they were made for and the hash of each file) and, per
512 rows, the bytes and a table of places. It is written in one pass that can be interrupted and
taken up again.
"""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex, file_sha256
from gesture_pretrain.data.samples.hand_annotations import AnnotationReader
from gesture_pretrain.data.samples.picture import Picture, reduction
from gesture_pretrain.data.shards.card import (
    ShardSettings,
    begin_shards,
    check_card,
    finish_shards,
    new_card,
    read_card,
)
from gesture_pretrain.data.shards.region import BoxesOf, ShownParts
from gesture_pretrain.files import write_bytes_atomically

_PLACE = np.dtype(
    [
        ("row", "<i8"),
        ("start", "<i8"),  # first byte in the file of bytes
        ("shape", "<i4", 2),  # height, width
        ("origin_px", "<f8", 2),
        ("step_px", "<i4"),
    ]
)
_ROWS_PER_SHARD = 512  # a writer holds the pixels of one shard, up to half a gigabyte
_STEPS = 16  # a key of a stored part is row * _STEPS + step_px


class ShardPlan(NamedTuple):
    """What to write for some crops: the arguments of `write_shards`.

    Attributes:
        rows: (N,) rows of the index that are used.
        settings: which crops are to be served.
        boxes: the target's boxes; None for those of the index.
        note: a line about rows that are not used; empty for none.
    """

    rows: np.ndarray
    settings: ShardSettings
    boxes: BoxesOf | None = None
    note: str = ""


def write_shards(
    index: HandIndex,
    rows: Sequence[int],
    out: str | Path,
    settings: ShardSettings,
    *,
    boxes: BoxesOf | None = None,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Decodes the pictures of some rows into a folder; a call that was interrupted is taken up.

    Args:
        index: the index.
        rows: rows to store, in any order.
        out: folder to make or to finish.
        settings: which crops are to be served.
        boxes: gives the boxes of rows as `settings.target` crops them; None without a target.
        workers: decoding threads.
        progress: show a progress bar.

    Returns:
        `out`.

    Raises:
        StaleShards: `out` holds shards of another index, of other rows or for other crops.
        ValueError: a target without its boxes, or boxes without a target.
        DataError: `out` holds something else, or a picture is missing or unreadable.
        DiskFull: no room; what is finished stays, and the next call goes on from there.
    """
    out, rows = Path(out), np.unique(np.asarray(rows, np.int64))
    card = new_card(index, rows, settings)
    boxes = _boxes(index, settings, boxes)
    if not begin_shards(out, card):
        return out
    limits = settings.augmentation
    read = partial(_stored, ShownParts(index, boxes, size_px=settings.size_px, limits=limits))
    parts = [rows[i : i + _ROWS_PER_SHARD] for i in range(0, len(rows), _ROWS_PER_SHARD)]
    with tqdm(total=len(rows), desc="shards", unit="image", disable=not progress) as bar:
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for number, part in enumerate(parts):
                places = out / f"{number:05d}.npy"
                if not places.is_file():
                    _write_shard(out / f"{number:05d}.bytes", places, pool.map(read, part.tolist()))
                bar.update(len(part))
    finish_shards(out, card)
    return out


class Shards:
    """The pictures of a folder of shards; a `PictureSource`. Made by `open_shards`."""

    def __init__(self, folder: Path, index: HandIndex, card: dict):
        self.folder, self._index = folder, index
        tables = [np.load(path, allow_pickle=False) for path in sorted(folder.glob("[0-9]*.npy"))]
        self._places = np.concatenate(tables) if tables else np.empty(0, _PLACE)
        self._rows = np.ascontiguousarray(self._places["row"])
        self._keys = self._rows * _STEPS + self._places["step_px"]
        self._file = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        self._bytes = [
            np.memmap(folder / name, np.uint8, mode="r").view(np.ndarray)
            for name in sorted(card["files"])
            if name.endswith(".bytes")
        ]
        for table, content in zip(tables, self._bytes, strict=True):
            _check_length(folder, table, content)

    def __reduce__(self) -> tuple:
        return _reopened, (self.folder, self._index)

    def lacking(self, rows: np.ndarray) -> np.ndarray:
        """Which of some rows are not stored here."""
        return rows[~np.isin(rows, self._rows)]

    def read(
        self, row: int, file: str, size_wh: tuple[int, int], shrink: float, *, annotated: bool
    ) -> Picture:
        """See `PictureSource.read`."""
        wanted = row * _STEPS + reduction(shrink)  # the coarsest part that is not coarser
        position = int(np.searchsorted(self._keys, wanted, side="right")) - 1
        if position < 0 or self._rows[position] != row:
            raise DataError(f"Row {row} ({file}) is not in the shards {self.folder}.")
        _, start, shape, origin, step = self._places[position].item()
        height, width = shape
        content = self._bytes[self._file[position]][start : start + height * width * 3]
        return Picture(content.reshape(height, width, 3), float(step), tuple(origin))


def open_shards(
    folder: str | Path,
    index: HandIndex,
    rows: np.ndarray,
    settings: ShardSettings,
    *,
    verify: bool = False,
) -> Shards:
    """Maps shards for a loader.

    Args:
        folder: made by `write_shards`.
        index: the index that the loader reads.
        rows: rows that the loader will ask for.
        settings: the loader's crops; its augmentation may be smaller than that of the shards.
        verify: also compare each file with its hash.

    Raises:
        StaleShards: they were made of another index, or for other crops; the message says how.
        DataError: no shards there, unfinished or damaged ones, or rows are lacking.
    """
    folder = Path(folder)
    card = read_card(folder)
    check_card(folder, card, index, settings)
    if verify:
        changed = [name for name, known in card["files"].items() if _hash(folder / name) != known]
        if changed:
            raise DataError(f"{folder}: {', '.join(changed)} changed since they were written.")
    shards = Shards(folder, index, card)
    lacking = shards.lacking(np.asarray(rows, np.int64))
    if len(lacking):
        raise DataError(
            f"{folder} lacks {len(lacking)} of the rows asked for, first row {lacking[0]}. "
            f"Make shards of all splits that are used ({settings.command()})."
        )
    return shards


# --- writing -----------------------------------------------------------------------------------


def _boxes(index: HandIndex, settings: ShardSettings, boxes: BoxesOf | None) -> BoxesOf:
    if (settings.target is None) != (boxes is None):
        raise ValueError(
            f"settings of target {settings.target!r} and boxes={boxes!r} do not go together: a "
            "target's shard_plan gives both, and without a target the boxes are the index's."
        )
    if boxes is not None:
        return boxes
    reader = AnnotationReader(index, box_ratio=settings.box_ratio, box_source=settings.box_source)
    return partial(_squares, reader)


def _squares(reader: AnnotationReader, rows: np.ndarray) -> np.ndarray:
    """(N, 4) as loaders crop them: as high as wide, whatever a detector gave."""
    return reader.boxes(rows)[:, [0, 1, 2, 2]]


def _stored(parts: ShownParts, row: int) -> tuple[int, list[Picture]]:
    return row, parts.read(row)


def _write_shard(
    content: Path, places: Path, pictures: Iterator[tuple[int, list[Picture]]]
) -> None:
    """The bytes first, then their places: a shard with places is a finished one."""
    table, blocks, start = [], [], 0
    for row, picture in ((row, part) for row, parts in pictures for part in parts):
        height, width = picture.image_rgb.shape[:2]
        table.append((row, start, (height, width), picture.origin_px, int(picture.step_px)))
        blocks.append(np.ascontiguousarray(picture.image_rgb).tobytes())
        start += len(blocks[-1])
    write_bytes_atomically(content, b"".join(blocks))
    packed = io.BytesIO()
    np.save(packed, np.array(table, _PLACE), allow_pickle=False)
    write_bytes_atomically(places, packed.getvalue())


# --- reading -----------------------------------------------------------------------------------


def _hash(path: Path) -> str | None:
    return file_sha256(path) if path.is_file() else None


def _check_length(folder: Path, table: np.ndarray, content: np.ndarray) -> None:
    _, start, (height, width), _, _ = table[-1].item()
    if start + height * width * 3 != len(content):
        raise DataError(f"{folder} is damaged: a file is cut off. Remove it; make it again.")


def _reopened(folder: Path, index: HandIndex) -> Shards:
    return Shards(folder, index, read_card(folder))
