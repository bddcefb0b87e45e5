"""What a run folder tells beside its metrics: the resolved config, and where the run came from."""

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from gesture_pretrain.config.file import differing_keys, read_python_file, write_config
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.training.runs.checkpoint import full_disk_named

_PACKAGES = ("gesture-pretrain", "torch", "torchvision", "timm", "mmengine", "numpy")


def write_run_folder(
    out: Path,
    config: Mapping[str, Any],
    *,
    name: str,
    device: str,
) -> list[str]:
    """Writes `config.py` and `run.json`; a resumed run adds an entry to the latter.

    Args:
        out: the run folder; made where missing.
        config: resolved config.
        name: of the run: that under which it will register its weights.
        device: what the run trains on.

    Returns:
        Keys that differ from the config the folder had before.
    """
    out = Path(out)
    changed = []
    with full_disk_named(out / "run.json"):
        out.mkdir(parents=True, exist_ok=True)
        if (out / "config.py").exists():
            changed = differing_keys(read_python_file(out / "config.py"), dict(config))
        write_bytes_atomically(out / "config.py", write_config(config).encode())
        starts = _earlier_starts(out / "run.json")
        starts.append({**start_record(config, device), "changed_keys": changed})
        record = {"name": name, "starts": starts}
        write_bytes_atomically(out / "run.json", json.dumps(record, indent=1).encode())
    return changed


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


def claimed_name(out: Path) -> str | None:
    """The name under which this folder's run registers its weights; None for a new folder."""
    path = Path(out) / "run.json"
    return json.loads(path.read_text())["name"] if path.exists() else None


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
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None  # no git on this machine; the record says null
    return done.stdout if done.returncode == 0 else None


def _earlier_starts(path: Path) -> list[dict]:
    return json.loads(path.read_text())["starts"] if path.exists() else []
