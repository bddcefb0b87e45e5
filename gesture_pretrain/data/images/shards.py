"""Images decoded once: a square region around each hand, as memory-mapped bytes.

For each row of an index the shards hold a generous region around the annotated box: original
pixels, or averages over 2 x 2, 4 x 4 or 8 x 8 of them where the box is that much larger than a
crop. All loaders read the same shards. A crop that needs more than its region holds, or finer
pixels, is read from the image file, so shards change the speed of a run but hardly its samples:
rounding changes 2 of 100 pixels by one grey level. Where a loader would have decoded a JPEG file at
a reduced scale, averages of decoded pixels differ from it by 0.6 levels on average (photographs).

A region of 334 x 450 px takes 0.45 MB, against 20 kB as JPEG: useful if training waits for
decoding. A folder of shards holds `shards.json` (its card) and, per 512 rows, the bytes and a table
of regions. It is written in one pass that can be interrupted and resumed.
"""

import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from gesture_pretrain.data.images.card import begin_shards, finish_shards, new_card, read_card
from gesture_pretrain.data.images.files import ImageFiles, ImagePart, averaged, reduction
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.files import require_space, write_bytes_atomically

_TABLE = np.dtype(
    [
        ("row", "<i8"),
        ("start", "<i8"),  # first byte in the file of bytes
        ("shape", "<i4", 2),  # height, width
        ("corner", "<i4", 2),  # left, top, in decoded pixels
        ("step", "<i4"),  # original pixels per decoded pixel
    ]
)
_ROWS_PER_SHARD = 512  # a writer holds the pixels of one shard, up to half a gigabyte
_ALIGN_PX = 8  # so that averages over any step cover the same pixels as in the whole image
_CLOSEST = 0.75  # crops show at least this fraction of the longer side of the box


class Region(NamedTuple):
    """The stored part of one image.

    Attributes:
        image_rgb: (H, W, 3) uint8.
        left, top: First pixel, in decoded pixels.
        step: Original pixels per decoded pixel.
    """

    image_rgb: np.ndarray
    left: int
    top: int
    step: int

    def holds(self, bounds_px: np.ndarray | None, size_wh: tuple[int, int]) -> bool:
        """Return whether everything that a crop shows of the image lies in the region."""
        if bounds_px is None:
            return True  # without a box the region is the whole image
        margin = 2 * _ALIGN_PX  # interpolation and averaging read beyond the bounds
        height, width = self.image_rgb.shape[:2]
        starts, lengths = (self.left, self.top), (width, height)
        for axis, side in enumerate(size_wh):
            first, last = starts[axis] * self.step, (starts[axis] + lengths[axis]) * self.step
            low, high = bounds_px[axis] - margin, bounds_px[axis + 2] + margin
            if max(low, 0) < first or min(high, side) > last:
                return False
        return True

    def averaged(self, step: int) -> ImagePart:
        """Return the region at a step that is a multiple of the stored one."""
        factor = step // self.step
        image = self.image_rgb if factor == 1 else averaged(self.image_rgb, factor)
        centre = (step - 1) / 2
        origin = (self.left * self.step + centre, self.top * self.step + centre)
        return ImagePart(image, float(step), origin)


def write_shards(
    index: HandIndex,
    rows: Sequence[int],
    out: str | Path,
    *,
    size_px: int = 256,
    ratio: float = 3.0,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Decode the images of some rows into a folder; an interrupted call can be repeated.

    Args:
        index: The index.
        rows: Rows to store, in any order.
        out: Folder to make or to finish.
        size_px: Side of the largest crops that will be trained on.
        ratio: Side of the stored region over the longer side of the annotated box.
        workers: Decoding threads.
        progress: Show a progress bar.

    Returns:
        `out`.

    Raises:
        StaleShards: `out` holds shards of another index, of other rows or with other settings.
        DataError: `out` holds something else, or an image is missing or unreadable.
        DiskFull: There is less space than the shards need, found before decoding; or no space is
            left. The next call continues from the last finished shard.
    """
    out, rows = Path(out), np.unique(np.asarray(rows, np.int64))
    card = new_card(index, rows, size_px=size_px, ratio=ratio)
    parts = [rows[i : i + _ROWS_PER_SHARD] for i in range(0, len(rows), _ROWS_PER_SHARD)]
    missing = [part for k, part in enumerate(parts) if not (out / f"{k:05d}.npy").is_file()]
    require_space(out, sum(_least_bytes(index, size_px, ratio, part) for part in missing))
    if not begin_shards(out, card):
        return out
    read = partial(_decode, index, size_px, ratio)
    with tqdm(total=len(rows), desc="shards", unit="image", disable=not progress) as bar:
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for number, part in enumerate(parts):
                table = out / f"{number:05d}.npy"
                if not table.is_file():
                    regions = zip(part.tolist(), pool.map(read, part.tolist()), strict=True)
                    _write_shard(out / f"{number:05d}.bytes", table, regions)
                bar.update(len(part))
    finish_shards(out, card)
    return out


class Shards:
    """The images of a folder of shards; an `ImageSource`.

    Args:
        folder: Made by `write_shards`.
        index: The index that the loader reads.
        files: The image files, for what the shards do not hold.

    Raises:
        StaleShards: The shards were made of another index, or by another version.
        DataError: There are no shards, or they are unfinished or damaged.
    """

    def __init__(self, folder: str | Path, index: HandIndex, files: ImageFiles):
        self.folder, self._index, self._files = Path(folder), index, files
        names = sorted(read_card(self.folder, index)["files"])
        tables = [_read_table(self.folder / name) for name in names if name.endswith(".npy")]
        self._table = np.concatenate(tables) if tables else np.empty(0, _TABLE)
        self._rows = np.ascontiguousarray(self._table["row"])
        self._shard = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        self._bytes = [
            np.memmap(self.folder / name, np.uint8, mode="r").view(np.ndarray)
            for name in names
            if name.endswith(".bytes")
        ]

    def __reduce__(self) -> tuple:
        return Shards, (self.folder, self._index, self._files)

    def describe(self, rows: np.ndarray) -> str:
        """Report how many of some rows are stored."""
        stored = int(np.isin(rows, self._rows).sum())
        return (
            f"Shards {self.folder} hold {stored} of {len(rows)} images. The others, and crops "
            "that reach beyond the stored region, are read from the image files."
        )

    def read(
        self,
        row: int,
        file: str,
        size_wh: tuple[int, int],
        shrink: float,
        bounds_px: np.ndarray | None,
    ) -> ImagePart:
        """Read the stored region, or the image file; see `ImageSource.read`."""
        step, region = self._files.factor(file, shrink), self._region(row)
        if region is None or step < region.step or not region.holds(bounds_px, size_wh):
            return self._files.read(row, file, size_wh, shrink, bounds_px)
        return region.averaged(step)

    def _region(self, row: int) -> Region | None:
        position = int(np.searchsorted(self._rows, row))
        if position == len(self._rows) or self._rows[position] != row:
            return None
        _, start, (height, width), (left, top), step = self._table[position].item()
        content = self._bytes[self._shard[position]][start : start + height * width * 3]
        return Region(content.reshape(height, width, 3), left, top, step)


# --- writing -----------------------------------------------------------------------------------


def _decode(index: HandIndex, size_px: int, ratio: float, row: int) -> Region:
    """Decode the region of a row's image; the whole image if the row has no box."""
    columns = index.columns
    size_wh = tuple(index.meta["image_sizes"][columns["size"][row]])
    box = np.asarray(columns["bbox_xywh_px"][row], np.float64) if _has_boxes(index) else None
    if box is None or np.isnan(box[2]):
        bounds, side = None, max(size_wh)
    else:
        side = float(box[2:].max())
        centre = box[:2] + box[2:] / 2
        bounds = np.concatenate([centre - ratio * side / 2, centre + ratio * side / 2])
    part = ImageFiles().read(row, index.image_file(row), size_wh, _CLOSEST * side / size_px, bounds)
    return _cut(part, bounds)


def _least_bytes(index: HandIndex, size_px: int, ratio: float, rows: np.ndarray) -> int:
    """Sum the sizes of the regions of some rows, if all files are JPEG and nothing is aligned."""
    columns = index.columns
    size = np.asarray(index.meta["image_sizes"], np.float64)[columns["size"][rows]]
    side, region = size.max(axis=1), size
    if _has_boxes(index):
        box = np.asarray(columns["bbox_xywh_px"][rows], np.float64)
        longer, centre = box[:, 2:].max(axis=1), box[:, :2] + box[:, 2:] / 2
        known, reach = ~np.isnan(longer), ratio * longer[:, None] / 2
        around = np.minimum(centre + reach, size) - np.maximum(centre - reach, 0)
        side = np.where(known, longer, side)
        region = np.where(known[:, None], around, size)
    step = np.array([reduction(shrink) for shrink in _CLOSEST * side / size_px])
    return int((3 * region.prod(axis=1) / step**2).sum())


def _has_boxes(index: HandIndex) -> bool:
    return "bbox_xywh_px" in index.columns


def _cut(part: ImagePart, bounds_px: np.ndarray | None) -> Region:
    """Cut the pixels within some bounds, moved outwards to multiples of `_ALIGN_PX`."""
    step, image = int(part.step_px), part.image_rgb
    if bounds_px is None:
        return Region(image, 0, 0, step)
    aligned = _ALIGN_PX // step
    limits = np.array([image.shape[1], image.shape[0]])
    first = np.floor(bounds_px[:2] / _ALIGN_PX).astype(int) * aligned
    last = np.ceil(bounds_px[2:] / _ALIGN_PX).astype(int) * aligned
    left, top = (max(0, min(start, end - 1)) for start, end in zip(first, limits, strict=True))
    left, top = left // aligned * aligned, top // aligned * aligned
    right, bottom = np.clip(last, [left + 1, top + 1], limits)
    return Region(image[top:bottom, left:right], int(left), int(top), step)


def _write_shard(content: Path, table: Path, regions: Iterator[tuple[int, Region]]) -> None:
    """Write the bytes, then their table: a shard with a table is finished."""
    entries, blocks, start = [], [], 0
    for row, region in regions:
        shape = region.image_rgb.shape[:2]
        entries.append((row, start, shape, (region.left, region.top), region.step))
        blocks.append(np.ascontiguousarray(region.image_rgb).tobytes())
        start += len(blocks[-1])
    write_bytes_atomically(content, b"".join(blocks))
    packed = io.BytesIO()
    np.save(packed, np.array(entries, _TABLE), allow_pickle=False)
    write_bytes_atomically(table, packed.getvalue())


def _read_table(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            table = np.lib.format.read_array(file, allow_pickle=False)
        if table.dtype != _TABLE or table.ndim != 1:
            raise ValueError("it is no table of regions")
        ends = table["start"] + 3 * table["shape"].astype(np.int64).prod(axis=1)
        size = path.with_suffix(".bytes").stat().st_size
        if (table["start"] < 0).any() or (table["shape"] < 1).any() or (ends > size).any():
            raise ValueError("regions lie beyond the stored bytes")
    except Exception as error:  # a damaged header makes numpy raise errors of any class
        raise DataError(f"{path} is damaged ({error}). Make the shards again.") from error
    return table
