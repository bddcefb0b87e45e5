"""What a run folder records beside its metrics: resolved config, commit, versions, command."""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from mmengine.config import Config

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.training.checkpoint import full_disk_named

_PACKAGES = ("gesture-pretrain", "torch", "torchvision", "timm", "mmengine", "numpy")


def write_run_folder(out: Path, config: Mapping[str, Any], *, name: str, device: str) -> list[str]:
    """Write `config.py`, `config.json` and `run.json`; a resumed run adds an entry to the latter.

    Both configs say the same: the Python file can be given to a new run, and the JSON is what a
    resumed run is compared with, so that resuming executes no code from the run folder.

    Args:
        out: The run folder; made if it is missing.
        config: Resolved config.
        name: Of the run: the name under which it will register its weights.
        device: What the run trains on.

    Returns:
        Keys that differ from the config the folder had before.
    """
    out = Path(out)
    text = json.dumps(config, indent=1, default=str)
    with full_disk_named(out / "run.json"):
        out.mkdir(parents=True, exist_ok=True)
        changed = differing_keys(_earlier(out / "config.json", {}) or config, config)
        write_bytes_atomically(out / "config.py", Config(dict(config)).pretty_text.encode())
        write_bytes_atomically(out / "config.json", text.encode())
        starts = _earlier(out / "run.json", {"starts": []})["starts"]
        starts.append({**start_record(config, device), "changed_keys": changed})
        record = {"name": name, "starts": starts}
        write_bytes_atomically(out / "run.json", json.dumps(record, indent=1).encode())
    return changed


def differing_keys(old: Mapping, new: Mapping) -> list[str]:
    """`key old -> new` for every leaf that differs between two nested configs, as JSON has them."""
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
    """Commit, difference, seed, versions, device, command and time of one start."""
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
    """The commit of this source tree, None outside a git checkout."""
    text = _git("rev-parse", "HEAD")
    return text.strip() if text else None


def uncommitted_diff() -> str | None:
    """Uncommitted changes of tracked files, None where there are none."""
    return _git("diff", "HEAD") or None


def library_versions() -> dict[str, str]:
    """Installed versions of the packages a result depends on."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None  # no git on this machine; the record says null
    return done.stdout if done.returncode == 0 else None


def _earlier(path: Path, default: dict) -> dict:
    return json.loads(path.read_text()) if path.exists() else default
