"""One run of a plan, identified by the hash of its whole configuration.

The configuration contains the fingerprints of data and weights, not their paths. Whatever changes a
result changes the key. Two plans that require the same run share it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PRETRAINING, FINETUNING = "pretraining", "finetuning"
SELECTION = "selection"  # a fine-tuning with one of several learning rates
FORMAT = 1  # of cell folders; part of every key


@dataclass(frozen=True)
class Cell:
    """One run of a plan.

    Attributes:
        stage: "pretraining", "selection" or "finetuning".
        label: Readable name, with which the name of the folder starts.
        config: Plain data; everything that the result depends on except the machine.
        places: Paths that `config` identifies by content: index, hand models.
        needs: Key of the pretraining cell whose weights it starts from, or None.
        arm, backbone, target, fraction, seed: Place in the plan; pretraining cells have neither
            target nor fraction.
        iterations, batch_size: Cost of the run.
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
        """Return the keys of the cells that must be finished before this one."""
        return (*(() if self.needs is None else (self.needs,)), *self.candidates.values())

    @property
    def folder_name(self) -> str:
        """Return the name of the cell's folder."""
        return f"{self.label}-{self.key[:12]}"

    @property
    def images(self) -> int:
        """Return the number of training images, counting repetitions."""
        return self.iterations * self.batch_size


@dataclass(frozen=True)
class CellTable:
    """The cells of a plan in the order in which they are run, and the arms that are left out.

    Attributes:
        cells: Cells stand before those that need them.
        left_out: Arm -> reason.
    """

    cells: tuple[Cell, ...]
    left_out: Mapping[str, str]

    def by_key(self) -> dict[str, Cell]:
        """Return the cells by key."""
        return {cell.key: cell for cell in self.cells}


def config_key(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a configuration, independent of the order of its keys."""
    text = json.dumps(config, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
