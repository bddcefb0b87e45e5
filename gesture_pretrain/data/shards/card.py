"""The card of a folder of shards: what they were made for, and whether that serves a loader."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex, file_sha256
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.files import write_bytes_atomically

SHARDS_FORMAT = 2
CARD = "shards.json"
_MOTIONS = ("scale", "rotation_deg", "translation")  # what of an augmentation moves the crop


class StaleShards(DataError):
    """Shards that were made of another index, or for other crops."""


@dataclass(frozen=True)
class ShardSettings:
    """What shards are made for.

    Attributes:
        size_px: side of the crops.
        box_ratio: as in `GestureDataset`; None for a target whose boxes have no such factor.
        box_source: as in `GestureDataset`, or a name of the target's.
        augmentation: the largest motion; a loader may use a smaller one.
        target: pose network whose crops these are; None for crops about the boxes of the index.
    """

    size_px: int
    box_ratio: float | None = 1.25
    box_source: str = "annotation"
    augmentation: Augmentation = Augmentation()
    target: str | None = None

    def as_json(self) -> dict:
        """Plain data."""
        return asdict(self)

    def command(self) -> str:
        """The command that makes such shards, without the options that are its defaults."""
        usual, options = ShardSettings(self.size_px), {"size": self.size_px}
        for name in ("target", "box_ratio", "box_source"):
            value = getattr(self, name)
            if value is not None and value != getattr(usual, name):
                options[name] = value
        for name in _MOTIONS:
            value = getattr(self.augmentation, name)
            if value > getattr(usual.augmentation, name):
                options[name] = value
        parts = (f" --{name.replace('_', '-')} {value}" for name, value in options.items())
        return "tools/prepare_data.py shards" + "".join(parts)


def new_card(index: HandIndex, rows: np.ndarray, settings: ShardSettings) -> dict:
    """What is written of shards before their pixels; `finish_shards` adds the files."""
    return {
        "format": SHARDS_FORMAT,
        "index": index.fingerprint,
        "data_name": index.meta["data_name"],
        "rows": len(rows),
        "rows_sha256": hashlib.sha256(rows.tobytes()).hexdigest(),
        "settings": settings.as_json(),
    }


def begin_shards(out: Path, card: dict) -> bool:
    """Makes the folder and its unfinished card; False where the same shards are finished.

    Raises:
        StaleShards: the folder holds shards with another card.
        DataError: the folder holds something else.
    """
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


def finish_shards(out: Path, card: dict) -> None:
    """Writes the finished card, with the hash of each file."""
    files = {path.name: file_sha256(path) for path in sorted(out.glob("[0-9]*.*"))}
    _write_json(out / CARD, {**card, "files": files})


def read_card(folder: Path) -> dict:
    """The card of finished shards.

    Raises:
        StaleShards: of another format.
        DataError: there is none, or it is damaged or unfinished.
    """
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


def check_card(folder: Path, card: dict, index: HandIndex, settings: ShardSettings) -> None:
    """Whether shards serve a loader with these crops.

    Raises:
        StaleShards: they do not; the message gives every reason, and the command to be given.
    """
    problems = []
    if card["index"] != index.fingerprint:
        problems.append(f"the index {index.path} was built anew or is another one")
    problems += _differences(card["settings"], settings.as_json())
    missing = [name for name in card["files"] if not (folder / name).is_file()]
    if missing:
        problems.append(f"{', '.join(missing)} are gone")
    if problems:
        raise StaleShards(
            f"the shards {folder} do not serve this loader: {'; '.join(problems)}. Make others "
            f"with {settings.command()}, or leave data.shards out."
        )


def _differences(made: dict, wanted: dict) -> list[str]:
    """What keeps shards made for some settings from serving others."""
    found, same = [], ["size_px"]
    if made["target"] == wanted["target"]:
        same += ["box_ratio", "box_source"]  # other targets have names of their own
    else:
        crops = [_crops_of(settings) for settings in (wanted, made)]
        found.append("the crops are those of {}, they were made for those of {}".format(*crops))
    for key in same:
        if made[key] != wanted[key]:
            found.append(f"{key} is {wanted[key]!r}, they were made for {made[key]!r}")
    for key in _MOTIONS:
        most, asked = made["augmentation"][key], wanted["augmentation"][key]
        if asked > most:
            found.append(f"augmentation.{key} is {asked}, they hold what up to {most} shows")
    return found


def _crops_of(settings: dict) -> str:
    target = settings["target"]
    return "the index's boxes" if target is None else f"target {target!r}"


def _write_json(path: Path, values: dict) -> None:
    write_bytes_atomically(path, json.dumps(values, indent=1).encode())
