"""The folder of a cell: its configuration, state and results.

cells/<label>-<key>/cell.json       the whole configuration and its key
                    run/            the training run, with checkpoints, metrics and ledger
                    weights/        exported weights (pretraining)
                    predictions.npz poses predicted for the test images (fine-tuning)
                    predictions_STEPS.npz the same after fewer steps (points of a curve)
                    result.json     written last: the cell is finished
                    failure.json    error of the last attempt, if it failed
"""

import json
import shutil
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.transfer.plan.cell import Cell, config_key
from adapters.transfer.run.cell_lock import is_held
from gesture_pretrain.data.index.index import file_sha256
from gesture_pretrain.files import write_bytes_atomically

FINISHED, FAILED, RUNNING, STARTED, WAITING = "finished", "failed", "running", "started", "waiting"
UNUSABLE = "unusable"


class CellFolderError(ValueError):
    """A folder belongs to another cell, or was changed."""


class CellFolder:
    """The folder of one cell.

    Args:
        out: Folder of the study.
        cell: The cell.
    """

    def __init__(self, out: Path, cell: Cell):
        self.cell = cell
        self.path = Path(out) / "cells" / cell.folder_name
        self.run = self.path / "run"
        self.weights = self.path / "weights"
        self.predictions = self.path / "predictions.npz"

    def curve_point(self, steps: int) -> Path:
        """Return the predictions file after some steps."""
        return self.path / f"predictions_{steps}.npz"

    def prepare(self) -> None:
        """Create the folder and write its configuration; an existing folder must have the same.

        Raises:
            CellFolderError: The folder has another configuration, or was edited.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / "cell.json"
        if path.exists():
            self._require_own_config()
            return
        content = {"key": self.cell.key, "label": self.cell.label, "config": self.cell.config}
        write_bytes_atomically(path, json.dumps(content, indent=1).encode())

    def result(self, *, verify: bool = False) -> dict | None:
        """Return the result of the cell; None if it is not finished, or a file is missing.

        Args:
            verify: Also compare the files with their hashes; a changed file counts as missing.

        Raises:
            CellFolderError: The folder has another configuration, or was edited.
        """
        path = self.path / "result.json"
        if not path.exists():
            return None
        self._require_own_config()
        result = json.loads(path.read_text())
        for name, sha256 in result["files"].items():
            if not (self.path / name).exists():
                return None
            if verify and file_sha256(self.path / name) != sha256:
                return None
        return result

    def finish(self, notes: Mapping[str, Any], files: list[Path]) -> None:
        """Mark the cell as finished; `files` are hashed, so that changes are detected."""
        hashes = {str(path.relative_to(self.path)): file_sha256(path) for path in files}
        content = {**notes, "files": hashes}
        write_bytes_atomically(self.path / "result.json", json.dumps(content, indent=1).encode())
        (self.path / "failure.json").unlink(missing_ok=True)

    def fail(self, error: BaseException, invocation: str) -> None:
        """Record why the cell failed, and in which invocations since it last succeeded."""
        earlier = self.failure()
        content = {
            "error": f"{type(error).__name__}: {error}",
            "traceback": "".join(traceback.format_exception(error)),
            "time": time.time(),
            "invocations": [*(earlier["invocations"] if earlier else ()), invocation],
        }
        write_bytes_atomically(self.path / "failure.json", json.dumps(content, indent=1).encode())

    def failure(self) -> dict | None:
        """Return the record of the last failed attempt; None without one."""
        try:
            return json.loads((self.path / "failure.json").read_text())
        except FileNotFoundError:  # also if another worker has just finished the cell
            return None

    def discard_run(self) -> None:
        """Delete checkpoints and logs that no later stage reads; metrics and ledger stay."""
        for name in ("checkpoints", "tensorboard", "log"):
            shutil.rmtree(self.run / name, ignore_errors=True)

    def state(self) -> str:
        """Return one of the states above; `UNUSABLE` if `result` refuses the folder."""
        try:
            if self.result() is not None:
                return FINISHED
        except CellFolderError:
            return UNUSABLE
        if is_held(self.path):
            return RUNNING
        if self.failure() is not None:
            return FAILED
        return STARTED if self.run.exists() else WAITING

    def _require_own_config(self) -> None:
        try:
            stored = json.loads((self.path / "cell.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            stored = {}
        if stored.get("key") == self.cell.key == config_key(stored.get("config", {})):
            return
        raise CellFolderError(
            f"{self.path} does not have the configuration of this cell: cell.json was changed or "
            "is missing, or the folder was renamed. Its results are not used. Delete the folder to "
            "run the cell again."
        )
