"""Records in a run folder: resolved config, commit, versions and command."""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmengine.config import Config

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.training.checkpoint import full_disk_named
from gesture_pretrain.versions import versions_of

_REMEDY = "Restore the file from a copy, or delete it: checkpoints do not need it."
_PACKAGES = ("gesture-pretrain", "torch", "torchvision", "timm", "mmengine", "numpy")

# Keys that say where the weights of a run come from
_INITIAL_WEIGHTS = ("init ", "backbone.arch ", "backbone.init ", "backbone.name ")


def write_run_folder(out: Path, config: Mapping[str, Any], *, name: str, device: str) -> list[str]:
    """Write `config.py`, `config.json` and `run.json`. A resumed run extends `run.json`.

    Both config files have the same content. The Python file can be passed to a new run; the JSON
    file is compared when a run is resumed, so that resuming executes no code from the run folder.

    Args:
        out: Run folder, created if missing.
        config: Resolved config.
        name: Name under which the run will register its weights.
        device: Training device.

    Returns:
        Keys that differ from the previous config of the folder.

    Raises:
        ValueError: `config.json` or `run.json` of the folder is damaged, or the initial weights of
            a resumed run changed.
        NoRoomForRun: The disk is full.
    """
    out = Path(out)
    text = json.dumps(config, indent=1, default=str)
    with full_disk_named(out / "run.json"):
        out.mkdir(parents=True, exist_ok=True)
        changed = differing_keys(_earlier(out / "config.json") or config, config)
        if other_start := [line for line in changed if line.startswith(_INITIAL_WEIGHTS)]:
            raise ValueError(
                f"The run in {out} started from other weights: {'; '.join(other_start)}. They "
                f"cannot change when it is resumed. Repeat its options, or use {out / 'config.py'}."
            )
        starts = _earlier_starts(out / "run.json")
        write_bytes_atomically(out / "config.py", Config(dict(config)).pretty_text.encode())
        write_bytes_atomically(out / "config.json", text.encode())
        starts.append({**start_record(config, device), "changed_keys": changed})
        record = {"name": name, "starts": starts}
        write_bytes_atomically(out / "run.json", json.dumps(record, indent=1).encode())
    return changed


def differing_keys(old: Mapping, new: Mapping) -> list[str]:
    """List `key old -> new` for all leaves that differ between two nested configs, as JSON."""
    before, after = (_leaves(json.loads(json.dumps(each, default=str))) for each in (old, new))
    return [
        f"{key} {before.get(key)!r} -> {after.get(key)!r}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _leaves(config: Mapping, prefix: str = "") -> dict[str, Any]:
    leaves = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            leaves |= _leaves(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def start_record(config: Mapping[str, Any], device: str) -> dict:
    """Record time, command, commit, uncommitted changes, seed, device and versions of a start."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "commit": current_commit(),
        "diff": uncommitted_diff(),
        "seed": config.get("seed", 0),
        "device": device,
        "python": platform.python_version(),
        "versions": library_versions(),
    }


def current_commit() -> str | None:
    """Return the commit of this source tree, or None outside of a git checkout."""
    text = _git("rev-parse", "HEAD")
    return text.strip() if text else None


def uncommitted_diff() -> str | None:
    """Return the uncommitted changes of tracked files, or None if there are none."""
    return _git("diff", "HEAD") or None


def library_versions() -> dict[str, str]:
    """List the installed versions of the packages that results depend on."""
    return versions_of(_PACKAGES)


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None  # git is not available
    return done.stdout if done.returncode == 0 else None


def _earlier(path: Path) -> dict:
    content = read_json(path, ValueError, remedy=_REMEDY) if path.exists() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object. {_REMEDY}")
    return content


def _earlier_starts(path: Path) -> list[dict]:
    starts = _earlier(path).get("starts") if path.exists() else []
    if not isinstance(starts, list):
        raise ValueError(
            f"{path} has no list 'starts', so it is not the record of a run. {_REMEDY}"
        )
    return starts
