"""Pictures decoded once: the pixels that crops can show, as memory-mapped bytes beside their index.

For each row of an index the shards hold the rectangle of the picture that any crop of the stated
augmentation can show, in original pixels, or averaged over 2 x 2, 4 x 4 or 8 x 8 of them where all
crops show at least that many per pixel. Nothing is interpolated, so a loader gives the samples of
the picture files, to one grey level in 2 of 100 pixels (the rounding of positions). A row takes
width x height x 3 bytes, for pictures of 334 x 512 px about 0.3 MB against 20 kB as JPEG: worth it
where decoding is what a machine waits for.

A folder of shards holds `shards.json` (what they were made for and the hash of each file) and, per
512 rows, the bytes and a table of places. It is written in one pass that can be interrupted and
taken up again.
"""

import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gesture_pretrain.atomic_write import write_bytes_atomically
from gesture_pretrain.data.errors import DataError
from gesture_pretrain.data.hand_annotations import AnnotationReader
from gesture_pretrain.data.index import HandIndex, file_sha256
from gesture_pretrain.data.picture import Picture, PictureFiles
from gesture_pretrain.data.transforms import Augmentation

SHARDS_FORMAT = 1
CARD = "shards.json"
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
_MOTIONS = ("scale", "rotation_deg", "translation")  # what of an augmentation moves the crop
_INTERPOLATION_PX = 2  # bilinear interpolation looks one pixel further; rounding, one more


class StaleShards(DataError):
    """Shards that were made of another index, or for other crops."""


@dataclass(frozen=True)
class ShardSettings:
    """What shards are made for.

    Attributes:
        size_px: side of the crops.
        box_ratio: as in `GestureDataset`.
        box_source: as in `GestureDataset`.
        augmentation: the largest motion; a loader may use a smaller one.
    """

    size_px: int
    box_ratio: float = 1.25
    box_source: str = "annotation"
    augmentation: Augmentation = Augmentation()

    def as_json(self) -> dict:
        """Plain data."""
        return asdict(self)

    def command(self) -> str:
        """The command that makes such shards, without the options that are its defaults."""
        usual = ShardSettings(self.size_px)
        wanted = {n: getattr(self, n) for n in ("box_ratio", "box_source")}
        options = {n: value for n, value in wanted.items() if value != getattr(usual, n)}
        for name in _MOTIONS:
            value = getattr(self.augmentation, name)
            if value > getattr(usual.augmentation, name):
                options[name] = value
        parts = (
            f" --{n.replace('_', '-')} {v}" for n, v in {"size": self.size_px, **options}.items()
        )
        return "tools/prepare_data.py shards" + "".join(parts)


def write_shards(
    index: HandIndex,
    rows: Sequence[int],
    out: str | Path,
    settings: ShardSettings,
    *,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Decodes the pictures of some rows into a folder; a call that was interrupted is taken up.

    Args:
        index: the index.
        rows: rows to store, in any order.
        out: folder to make or to finish.
        settings: which crops are to be served.
        workers: decoding threads.
        progress: show a progress bar.

    Returns:
        `out`.

    Raises:
        StaleShards: `out` holds shards of another index, of other rows or for other crops.
        DataError: `out` holds something else, or a picture is missing or unreadable.
        DiskFull: no room; what is finished stays, and the next call goes on from there.
    """
    out, rows = Path(out), np.unique(np.asarray(rows, np.int64))
    card = _card(index, rows, settings)
    if not _begin(out, card):
        return out
    read = partial(_stored, _Reader(index, settings))
    parts = [rows[i : i + _ROWS_PER_SHARD] for i in range(0, len(rows), _ROWS_PER_SHARD)]
    with tqdm(total=len(rows), desc="shards", unit="image", disable=not progress) as bar:
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for number, part in enumerate(parts):
                places = out / f"{number:05d}.npy"
                if not places.is_file():
                    _write_shard(out / f"{number:05d}.bytes", places, pool.map(read, part.tolist()))
                bar.update(len(part))
    files = {path.name: file_sha256(path) for path in sorted(out.glob("[0-9]*.*"))}
    _write_json(out / CARD, {**card, "files": files})
    return out


class Shards:
    """The pictures of a folder of shards; a `PictureSource`. Made by `open_shards`."""

    def __init__(self, folder: Path, index: HandIndex, card: dict):
        self.folder, self._index = folder, index
        tables = [np.load(path, allow_pickle=False) for path in sorted(folder.glob("[0-9]*.npy"))]
        self._places = np.concatenate(tables) if tables else np.empty(0, _PLACE)
        self._rows = np.ascontiguousarray(self._places["row"])
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
        position = int(np.searchsorted(self._rows, row))
        if position == len(self._rows) or self._rows[position] != row:
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
    card = _read_card(folder)
    _check_card(folder, card, index, settings)
    if verify:
        changed = [name for name, known in card["files"].items() if _hash(folder / name) != known]
        if changed:
            raise DataError(f"{folder}: {', '.join(changed)} changed since they were written.")
    shards = Shards(folder, index, card)
    lacking = shards.lacking(np.asarray(rows, np.int64))
    if len(lacking):
        raise DataError(
            f"{folder} lacks {len(lacking)} of the rows asked for, first row {lacking[0]}. "
            "Make shards of all splits that are used (tools/prepare_data.py shards)."
        )
    return shards


# --- writing -----------------------------------------------------------------------------------


class _Reader:
    """Reads the rectangle of a picture that the crops of some settings can show."""

    def __init__(self, index: HandIndex, settings: ShardSettings):
        self.index, self.settings = index, settings
        self.pictures = PictureFiles()
        self.annotations = AnnotationReader(
            index, box_ratio=settings.box_ratio, box_source=settings.box_source
        )

    def read(self, row: int) -> Picture:
        notes = self.annotations.read(np.array([row]))
        box, size_wh = notes.boxes_xywh_px[0], tuple(notes.sizes_wh[0].tolist())
        annotated = not np.isnan(box[2])
        side = box[2] if annotated else max(size_wh)
        shrink = side * (1 - self.settings.augmentation.scale) / self.settings.size_px
        picture = self.pictures.read(row, notes.files[0], size_wh, shrink, annotated=annotated)
        return _visible(picture, box, self.settings.augmentation) if annotated else picture


def _visible(picture: Picture, box_xywh_px: np.ndarray, limits: Augmentation) -> Picture:
    """The part of a picture that crops about a box can show; one pixel if there is none."""
    x, y, side, _ = box_xywh_px.tolist()
    turn = math.radians(min(limits.rotation_deg, 45.0))
    reach = side * ((1 + limits.scale) * (math.cos(turn) + math.sin(turn)) / 2 + limits.translation)
    height, width = picture.image_rgb.shape[:2]
    spans = []
    for centre, origin, length in (
        (x + side / 2, picture.origin_px[0], width),
        (y + side / 2, picture.origin_px[1], height),
    ):
        low, high = ((centre + sign * reach - origin) / picture.step_px for sign in (-1, 1))
        first = min(max(math.floor(low) - _INTERPOLATION_PX, 0), length - 1)
        spans.append((first, min(max(math.ceil(high) + _INTERPOLATION_PX, first + 1), length)))
    (left, right), (top, bottom) = spans
    origin = [o + picture.step_px * p for o, p in zip(picture.origin_px, (left, top), strict=True)]
    return Picture(picture.image_rgb[top:bottom, left:right], picture.step_px, tuple(origin))


def _stored(reader: _Reader, row: int) -> tuple[int, Picture]:
    return row, reader.read(row)


def _write_shard(content: Path, places: Path, pictures: Iterator[tuple[int, Picture]]) -> None:
    """The bytes first, then their places: a shard with places is a finished one."""
    table, blocks, start = [], [], 0
    for row, picture in pictures:
        height, width = picture.image_rgb.shape[:2]
        table.append((row, start, (height, width), picture.origin_px, int(picture.step_px)))
        blocks.append(np.ascontiguousarray(picture.image_rgb).tobytes())
        start += len(blocks[-1])
    write_bytes_atomically(content, b"".join(blocks))
    packed = io.BytesIO()
    np.save(packed, np.array(table, _PLACE), allow_pickle=False)
    write_bytes_atomically(places, packed.getbuffer())


def _card(index: HandIndex, rows: np.ndarray, settings: ShardSettings) -> dict:
    return {
        "format": SHARDS_FORMAT,
        "index": index.fingerprint,
        "data_name": index.meta["data_name"],
        "rows": len(rows),
        "rows_sha256": hashlib.sha256(rows.tobytes()).hexdigest(),
        "settings": settings.as_json(),
    }


def _begin(out: Path, card: dict) -> bool:
    """Makes the folder and its unfinished card; False where the same shards are finished."""
    path = out / CARD
    if not path.is_file():
        if out.exists() and any(out.iterdir()):
            raise DataError(f"{out} exists and holds no shards; choose another --out.")
        out.mkdir(parents=True, exist_ok=True)
        _write_json(path, card)
        return True
    found = json.loads(path.read_text("utf-8"))
    finished = found.pop("files", None) is not None
    if found != json.loads(json.dumps(card)):
        different = sorted(
            key for key in card if found.get(key) != json.loads(json.dumps(card[key]))
        )
        raise StaleShards(
            f"{out} holds shards with other {', '.join(different)}. Remove it, or choose another "
            "--out."
        )
    return not finished


def _write_json(path: Path, values: dict) -> None:
    write_bytes_atomically(path, json.dumps(values, indent=1).encode())


# --- reading -----------------------------------------------------------------------------------


def _read_card(folder: Path) -> dict:
    path = folder / CARD
    if not path.is_file():
        raise DataError(
            f"{folder} holds no shards (no {CARD}). Make them: tools/prepare_data.py shards."
        )
    try:
        card = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); make the shards again.") from error
    if card.get("format") != SHARDS_FORMAT:
        raise StaleShards(
            f"{folder} has shard format {card.get('format')}, this version reads {SHARDS_FORMAT}. "
            "Make them again: tools/prepare_data.py shards."
        )
    if "files" not in card:
        raise DataError(
            f"{folder} is not finished; give the same tools/prepare_data.py shards command again."
        )
    return card


def _check_card(folder: Path, card: dict, index: HandIndex, settings: ShardSettings) -> None:
    made, wanted = card["settings"], settings.as_json()
    problems = []
    if card["index"] != index.fingerprint:
        problems.append(f"the index {index.path} was built anew or is another one")
    for key in ("size_px", "box_ratio", "box_source"):
        if made[key] != wanted[key]:
            problems.append(f"{key} is {wanted[key]!r}, they were made for {made[key]!r}")
    for key in _MOTIONS:
        if wanted["augmentation"][key] > made["augmentation"][key]:
            problems.append(
                f"augmentation.{key} is {wanted['augmentation'][key]}, they hold what up to "
                f"{made['augmentation'][key]} shows"
            )
    missing = [name for name in card["files"] if not (folder / name).is_file()]
    if missing:
        problems.append(f"{', '.join(missing)} are gone")
    if problems:
        raise StaleShards(
            f"the shards {folder} do not serve this loader: {'; '.join(problems)}. Make others "
            f"with {settings.command()}, or leave data.shards out."
        )


def _check_length(folder: Path, table: np.ndarray, content: np.ndarray) -> None:
    _, start, (height, width), _, _ = table[-1].item()
    if start + height * width * 3 != len(content):
        raise DataError(f"{folder} is damaged: a file is cut off. Remove it; make it again.")


def _hash(path: Path) -> str | None:
    return file_sha256(path) if path.is_file() else None


def _reopened(folder: Path, index: HandIndex) -> Shards:
    return Shards(folder, index, _read_card(folder))
