"""Reservation of a registry name for one training run, until its weights are stored.

A reservation consists of a lock, which the system releases when the process ends, and a file with
the path of the run folder, which persists. A killed run therefore finds its name still reserved
when it is resumed.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.weights.record import CARD_FILE

_FOLDER = ".reserved"


@contextmanager
def reserved_name(
    home: Path, name: str, run_folder: Path, *, overwrite: bool = False
) -> Iterator[Callable[[], None]]:
    """Prevent other runs from storing weights under a name.

    Args:
        home: Registry folder.
        name: `arch.tag`.
        run_folder: Folder of the run.
        overwrite: Allow a name that already has weights or is reserved by an interrupted run.

    Yields:
        A function to call before the weights are stored. It raises FileExistsError if other weights
        were stored under the name in the meantime.

    Raises:
        FileExistsError: The name already has weights, or another run has reserved it.
    """
    folder, target = home / _FOLDER, home / name
    folder.mkdir(parents=True, exist_ok=True)
    note, run = folder / f"{name}.json", str(run_folder.resolve())
    try:
        with FileLock(folder / f"{name}.lock", blocking=False):
            owner = _read(note)
            _require_free(target, owner, run, overwrite)
            _write(note, run, stored=owner.get("run") == run and owner.get("stored", False))
            before = _state(target)

            def check() -> None:
                if _state(target) != before:
                    raise FileExistsError(
                        f"{target} was written by another process while this run was training. "
                        "Move it and resume this run, or resume with another tag."
                    )

            yield check
            _write(note, run, stored=_state(target) != before)
    except Timeout:
        raise FileExistsError(
            f"the registry name {name} is in use by {_holder(_read(note))}. Choose another tag, or "
            "wait for that run to end."
        ) from None


def _require_free(target: Path, owner: dict, run: str, overwrite: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise FileExistsError(
            f"{target} is a link or a file and is never replaced by weights. Remove it, or choose "
            "another tag."
        )
    if overwrite or owner.get("run") == run:
        return
    if target.exists():
        raise FileExistsError(
            f"the registry already contains weights named {target.name} ({target}). Choose another "
            "tag, or overwrite them."
        )
    if owner and not owner.get("stored") and any(Path(owner["run"], "checkpoints").glob("*")):
        raise FileExistsError(
            f"the registry name {target.name} is reserved by {_holder(owner)}, which has not "
            "stored its weights yet. Resume that run, delete its folder, or choose another tag."
        )


def _state(target: Path) -> tuple[int, int] | None:
    """Identify the stored weights; the value changes whenever the folder is replaced."""
    card = target / CARD_FILE
    return (card.stat().st_ino, card.stat().st_mtime_ns) if card.is_file() else None


def _holder(owner: dict) -> str:
    return f"the run in {owner['run']} ({owner['process']})" if owner else "a run"


def _read(note: Path) -> dict:
    try:
        owner = json.loads(note.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return owner if isinstance(owner, dict) and {"run", "process"} <= owner.keys() else {}


def _write(note: Path, run: str, *, stored: bool) -> None:
    process = f"process {os.getpid()} on {socket.gethostname()}"
    text = json.dumps({"run": run, "process": process, "stored": stored})
    write_bytes_atomically(note, text.encode())
