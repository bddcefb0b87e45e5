"""The card of a folder of shards: which index they were made of, and whether they are complete."""

import json
from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.files import write_bytes_atomically, writing
from gesture_pretrain.files.atomic import remove_abandoned_parts
from gesture_pretrain.files.json_file import read_json

SHARDS_FORMAT = 3
CARD = "shards.json"


class StaleShards(DataError):
    """Shards of another index, of another version, or written with other settings."""


def new_card(index: HandIndex, rows: np.ndarray, **settings) -> dict:
    """Describe shards before any pixels are written; `finish_shards` adds the files."""
    return {
        "files": None,
        "format": SHARDS_FORMAT,
        "index": index.fingerprint,
        "data_name": index.meta["data_name"],
        "rows": len(rows),
        "rows_sum": int(rows.sum()),
        **settings,
    }


def begin_shards(out: Path, card: dict) -> bool:
    """Make the folder and its unfinished card; return False if the same shards are finished.

    Raises:
        StaleShards: The folder holds shards with another card.
        DataError: The folder holds something else.
    """
    remove_abandoned_parts(out)  # a folder of nothing else is new
    if not (out / CARD).is_file():
        if out.exists() and any(out.iterdir()):
            raise DataError(f"{out} exists and holds no shards; choose another folder.")
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
        _write_json(out / CARD, card)
        return True
    found = _read(out / CARD)
    different = sorted(key for key in card.keys() - {"files"} if found.get(key) != card[key])
    if different:
        raise StaleShards(
            f"{out} holds shards with other {', '.join(different)}. Remove it, or choose another "
            "folder."
        )
    return found.get("files") is None


def finish_shards(out: Path, card: dict) -> None:
    """Write the finished card, with the size of each file in bytes."""
    files = {path.name: path.stat().st_size for path in sorted(out.glob("[0-9]*.*"))}
    _write_json(out / CARD, {**card, "files": files})


def read_card(folder: Path, index: HandIndex) -> dict:
    """Read the card of finished shards of an index.

    Raises:
        StaleShards: They have another format, or were made of another index.
        DataError: There are none, or they are damaged or unfinished.
    """
    path = folder / CARD
    if not path.is_file():
        raise DataError(
            f"{folder} holds no shards (no {CARD}). Make them: gesture-pretrain data shards."
        )
    card = _read(path)
    if card.get("format") != SHARDS_FORMAT:
        raise StaleShards(
            f"{folder} has shard format {card.get('format')}, this version reads {SHARDS_FORMAT}. "
            "Make the shards again."
        )
    if not isinstance(card.get("files"), dict):
        raise DataError(
            f"{folder} is not finished, or {CARD} is damaged. Repeat the command that makes the "
            "shards."
        )
    if card.get("index") != index.fingerprint:
        raise StaleShards(
            f"{folder} was made of another index than {index.path}, or the index was rebuilt. "
            "Make the shards again, or leave data.shards out."
        )
    _check_files(folder, card["files"])
    return card


def _check_files(folder: Path, sizes: dict[str, int]) -> None:
    present = {path.name: path.stat().st_size for path in folder.glob("[0-9]*.*")}
    for name, size in sizes.items():
        if present.get(name) != size:
            raise DataError(
                f"{folder / name[:100]} is missing or incomplete. Remove {folder} and make "
                "the shards again."
            )


def _read(path: Path) -> dict:
    remedy = "Make the shards again."
    card = read_json(path, DataError, remedy=remedy)
    if not isinstance(card, dict):
        raise DataError(f"{path} is damaged (no object). {remedy}")
    return card


def _write_json(path: Path, values: dict) -> None:
    write_bytes_atomically(path, json.dumps(values, indent=1).encode())
