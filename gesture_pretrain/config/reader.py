"""Which tool reads a config: told from sections that configs of one kind alone have."""

from collections.abc import Collection
from pathlib import Path

# tool -> folder of its configs, and sections that no other tool's configs have
_TOOLS = {
    "tools/pretrain_backbone.py": ("configs/pretrain", {"heads", "objective"}),
    "tools/train.py": ("configs/pose", {"target", "model", "hand_model"}),
    "tools/transfer_experiment.py": ("configs/experiments", {"arms", "targets", "comparisons"}),
}


def tool_of(sections: Collection[str]) -> str | None:
    """The tool that reads a config with these sections; None where they do not tell."""
    found = [tool for tool, (_, own) in _TOOLS.items() if own & set(sections)]
    return found[0] if len(found) == 1 else None


def require_reader(path: str | Path, sections: Collection[str], tool: str) -> None:
    """Raises ValueError where a config is plainly another tool's.

    Args:
        path: the file, for the message.
        sections: its top-level names.
        tool: the one that was given the file, such as "tools/train.py".
    """
    reader = tool_of(sections)
    if reader in (None, tool):
        return
    raise ValueError(
        f"{path} is a config of {reader}; {tool} takes those of {_TOOLS[tool][0]}. Give it to "
        f"{reader}, or give {tool} another."
    )
