"""Checkpoints of a run: written atomically, checked by hash, read without unpickling code.

A checkpoint consists of `iteration_00001200.pt` (`torch.save` of tensors and plain containers) and
`iteration_00001200.json` (size and SHA-256), written in this order. A checkpoint without its json
is ignored. A file that does not match its json is damaged, and the previous checkpoint is used
instead. Files are moved into place only when they are complete, so a kill at any moment leaves
earlier checkpoints intact.
"""

import hashlib
import io
import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from gesture_pretrain.files import NO_ROOM, write_bytes_atomically
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.training.stopped import NoIntactCheckpoint, NoRoomForRun

FORMAT = 1
CHECKPOINTS = "checkpoints"  # their folder in a run folder


@dataclass(frozen=True)
class LoadedCheckpoint:
    """Content of a checkpoint.

    Attributes:
        path: File that was read.
        state: State passed to `save_checkpoint`.
        notes: One line for each newer checkpoint that was skipped, with the reason.
    """

    path: Path
    state: dict
    notes: tuple[str, ...]


def save_checkpoint(folder: Path, iteration: int, state: dict, *, keep: int = 2) -> Path:
    """Write the checkpoint of `iteration`, then delete all but the newest `keep`.

    Args:
        folder: Checkpoint folder of the run, created if missing.
        iteration: Batches trained so far.
        state: Nested dicts, lists and tuples of tensors, numbers, strings, None.
        keep: Number of checkpoints to keep, at least 1.

    Raises:
        NoRoomForRun: The disk is full. Earlier checkpoints are intact.
    """
    folder = Path(folder)
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "iteration": iteration, **state}, buffer)
    content = buffer.getvalue()
    record = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path = folder / f"iteration_{iteration:08d}.pt"
    with full_disk_named(path, len(content)):
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, content)
        write_bytes_atomically(path.with_suffix(".json"), json.dumps(record).encode())
    delete_old_checkpoints(folder, keep)
    return path


def load_newest_checkpoint(folder: Path) -> LoadedCheckpoint | None:
    """Load the newest complete checkpoint, or return None if there is none.

    Raises:
        NoIntactCheckpoint: There are checkpoints, but all are damaged.
    """
    notes = []
    for record_path in sorted(Path(folder).glob("iteration_*.json"), reverse=True):
        path = record_path.with_suffix(".pt")
        fault = _fault(path, record_path)
        found = _read_state(path) if fault is None else fault
        if isinstance(found, dict):
            return LoadedCheckpoint(path, found, tuple(notes))
        notes.append(f"Checkpoint {path} is damaged: {found}. Using the one before it.")
    if notes:
        raise NoIntactCheckpoint(
            "No checkpoint of this run can be read:\n  "
            + "\n  ".join(note.removesuffix(" Using the one before it.") for note in notes)
            + "\nRestore one of them from a copy, or start again in an empty folder."
        )
    return None


def has_checkpoint(folder: Path) -> bool:
    """Return whether `folder` contains a complete checkpoint."""
    return any(Path(folder).glob("iteration_*.json"))


def refuse_used_folder(out: Path, resume: bool) -> None:
    """Raise FileExistsError if `out` contains checkpoints and `resume` is false."""
    if not resume and has_checkpoint(out / CHECKPOINTS):
        raise FileExistsError(
            f"{out} contains the checkpoints of a run. Resume it, or choose another folder."
        )


@contextmanager
def full_disk_named(path: Path, size_bytes: int | None = None):
    """Convert the system's "no space left" into `NoRoomForRun`, with path and size."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        need = "" if size_bytes is None else f" ({size_bytes / 1e6:.1f} MB needed)"
        raise NoRoomForRun(
            f"No space left while writing {path}{need}; {_free_mb(path)} MB are free there. "
            "Earlier checkpoints are intact. Free some space and resume the run."
        ) from error


def _free_mb(path: Path) -> str:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    return f"{shutil.disk_usage(folder).free / 1e6:.1f}"


def _fault(path: Path, record_path: Path) -> str | None:
    """Describe what is wrong with a checkpoint; None if it is intact."""
    try:
        record = read_json(record_path, ValueError)
        expected_bytes, expected_sha256 = record["bytes"], record["sha256"]
    except (ValueError, KeyError, TypeError):
        return f"{record_path.name} is not readable JSON with its size and hash"
    if not path.exists():
        return "the file is missing"
    if path.stat().st_size != expected_bytes:
        return f"it has {path.stat().st_size} bytes, but {expected_bytes} were written"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return None if digest == expected_sha256 else "its SHA-256 is not the one that was written"


def _read_state(path: Path) -> dict | str:
    """Read a checkpoint; return what is wrong with it as text."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a file that it did not write
        return f"torch cannot read it ({type(error).__name__})"
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        return f"it is not a checkpoint of format {FORMAT}"
    return state


def delete_old_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the newest `keep`, json first, so that no incomplete pair counts."""
    for record_path in sorted(folder.glob("iteration_*.json"))[: -max(1, keep)]:
        record_path.unlink()
        record_path.with_suffix(".pt").unlink(missing_ok=True)
    finished = {p.stem for p in folder.glob("iteration_*.json")}
    for path in folder.glob("iteration_*.pt"):
        if path.stem not in finished:
            path.unlink()
