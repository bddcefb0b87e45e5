"""One run of a plan, known by its whole configuration.

A cell is known by the hash of that configuration: data by their fingerprint and not their place,
initial weights by what they are. What changes a result changes the key, so another configuration is
another cell; two plans that need the same run share it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PRETRAINING, FINETUNING = "pretraining", "finetuning"
SELECTION = "selection"  # a fine-tuning with one of several learning rates
FORMAT = 1  # of cell folders; another number makes all earlier ones unknown


@dataclass(frozen=True)
class Cell:
    """One run of a plan.

    Attributes:
        stage: "pretraining", "selection" or "finetuning".
        label: for people; the folder's name starts with it.
        config: plain data; all that the result depends on, but the machine.
        places: paths that `config` names by content: index, hand models.
        needs: key of the pretraining cell whose weights it starts from, or None.
        arm, backbone, target, fraction, seed: where it stands in the plan (pretraining cells have
            neither target nor fraction).
        iterations, batch_size: what it costs.
        candidates: Learning rate -> key of the cell that tried it; empty if the rate is given.
    """

    stage: str
    label: str
    config: Mapping[str, Any]
    places: Mapping[str, str | None]
    arm: str
    backbone: str
    seed: int
    iterations: int
    batch_size: int
    target: str | None = None
    fraction: float | None = None
    needs: str | None = None
    candidates: Mapping[float, str] = field(default_factory=dict)
    key: str = field(default="")

    def __post_init__(self):
        object.__setattr__(self, "key", config_key(self.config))

    @property
    def needed(self) -> tuple[str, ...]:
        """Keys of the cells that must be finished before this one."""
        return (*(() if self.needs is None else (self.needs,)), *self.candidates.values())

    @property
    def folder_name(self) -> str:
        """Name of the cell's folder."""
        return f"{self.label}-{self.key[:12]}"

    @property
    def images(self) -> int:
        """Images trained on, repetitions counted."""
        return self.iterations * self.batch_size


@dataclass(frozen=True)
class CellTable:
    """The cells of a plan in the order in which they are run, and the arms that had to be left out.

    Attributes:
        cells: Cells stand before those that need them.
        left_out: arm -> why.
    """

    cells: tuple[Cell, ...]
    left_out: Mapping[str, str]

    def by_key(self) -> dict[str, Cell]:
        """The cells by their key."""
        return {cell.key: cell for cell in self.cells}


def config_key(config: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a configuration, whatever the order of its keys."""
    text = json.dumps(config, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
