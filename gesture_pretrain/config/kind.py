"""Kinds of config files: where the shipped configs are, and how to detect the kind of a file."""

from collections.abc import Collection
from pathlib import Path

from gesture_pretrain.names import did_you_mean

# kind, which is also the folder of the shipped files -> sections that no other kind has
KINDS = {
    "pretrain": {"heads", "objective", "distillation", "probes"},
    "pose": {"target", "model", "hand_model"},
    "experiments": {"arms", "targets", "comparisons"},
}


class WrongKind(ValueError):
    """A config file of the wrong kind.

    Attributes:
        kind: The kind of the file, a key of `KINDS`.
    """

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


def configs_folder() -> Path:
    """Locate the shipped configs, in the installed package or at the root of a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped_configs(kind: str) -> dict[str, Path]:
    """List the shipped configs of a kind by name."""
    return {path.stem: path for path in sorted((configs_folder() / kind).glob("*.py"))}


def find_config(source: str | Path, kind: str) -> Path:
    """Find a config file by path, or a shipped one by name.

    Args:
        source: Path of a Python file, or the name of a shipped config of this kind.
        kind: A key of `KINDS`.

    Raises:
        FileNotFoundError: There is neither a file nor a shipped config of that name.
        WrongKind: The name belongs to a shipped config of another kind.
    """
    if Path(source).is_file():
        return Path(source)
    known, name = shipped_configs(kind), str(source)
    if name in known:
        return known[name]
    for other in KINDS:
        if other != kind and name in shipped_configs(other):
            raise WrongKind(
                f"{name} belongs to configs/{other}; a config of configs/{kind} is required.", other
            )
    raise FileNotFoundError(
        f"No config {source}.{did_you_mean(Path(source).stem, known)} Give the path of a file, or "
        f"one of the shipped configs: {', '.join(known)}."
    )


def kind_of(sections: Collection[str]) -> str | None:
    """Detect the kind of a config from its top-level names; None if they do not determine it."""
    found = [kind for kind, own in KINDS.items() if own & set(sections)]
    return found[0] if len(found) == 1 else None


def require_kind(path: str | Path, sections: Collection[str], kind: str) -> None:
    """Raise if the sections of a config show that it is of another kind.

    Raises:
        WrongKind: The config is of another kind.
    """
    found = kind_of(sections)
    if found not in (None, kind):
        raise WrongKind(
            f"{path} belongs to configs/{found}; a config of configs/{kind} is required.", found
        )
