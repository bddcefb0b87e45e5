"""Conversions shared by the readers of the annotation files: numbers, flags, codes and look-up.

Every number in the files is a float32 printed as a double, so float32 columns hold it exactly;
`Rounding` counts the exceptions. Flags are 0/1 or booleans, bare or in lists of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from gesture_pretrain.skeleton import MANO21_FROM_INTERHAND, NUM_JOINTS

NUM_JOINTS_BOTH = 2 * NUM_JOINTS

# right then left hand, each in mano21 order, taken from the file's 42 rows
OURS_FROM_FILE = np.concatenate(
    [np.asarray(MANO21_FROM_INTERHAND) + hand * NUM_JOINTS for hand in (0, 1)]
)

# Raised by the conversion of an entry of unexpected form
ODD_VALUES = (ValueError, TypeError, LookupError, AttributeError, OverflowError)

OnBytes = Callable[[int], object] | None


class Codes(dict):
    """Numbers distinct values in the order in which they appear: `codes[value]` -> code."""

    def __missing__(self, value: Any) -> int:
        self[value] = len(self)
        return self[value]


@dataclass
class Rounding:
    """Counts the numbers of each column that float32 does not hold exactly."""

    values: dict[str, int] = field(default_factory=dict)

    def float32(self, column: str, numbers: np.ndarray) -> np.ndarray:
        """Convert `numbers` of any shape to float32, counting those that change."""
        single = numbers.astype(np.float32)
        changed = int(np.count_nonzero(single != numbers))
        if changed:
            self.values[column] = self.values.get(column, 0) + changed
        return single


def numbers(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Convert `values` to float64 of a shape; strings, booleans and other shapes raise."""
    array = np.array(values)
    if array.dtype.kind not in "fiu" or array.shape != shape:
        raise ValueError(f"expected numbers of shape {shape}, found {str(values)[:60]}")
    return array.astype(np.float64, copy=False)


def integers(values: Sequence[Any], name: str, least: int = -(2**31)) -> np.ndarray:
    """Convert `values` to int32; raise unless all are integers in [`least`, 2^31 - 1]."""
    array = np.array(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        odd = next((value for value in values if type(value) is not int), values[0])
        raise ValueError(f"{name} is {odd!r}, expected an integer")
    if array.size and not (least <= array.min() and array.max() < 2**31):
        odd = next(value for value in values if not least <= value < 2**31)
        raise ValueError(f"{name} is {odd}, expected {least} to {2**31 - 1}")
    return array.astype(np.int32)


def key_number(text: str, name: str) -> int:
    """Convert a key of a JSON object to an integer, or raise ValueError."""
    try:
        return int(integers([int(text)], name)[0])
    except ValueError:
        raise ValueError(f"the key {text!r} is not a {name} number") from None


def pack_flags(flags: np.ndarray) -> np.ndarray:
    """Map (..., 42) flags of 0 or 1 to (..., 6) uint8, lowest bit first."""
    return np.packbits(flags, axis=-1, bitorder="little")


def read_flags(joint_valid: Sequence[Sequence[Any]]) -> np.ndarray:
    """Convert B lists of 42 flags, each bare or in a list of one, to (B, 42) uint8."""
    bare = chain.from_iterable(joint_valid)
    nested = isinstance(joint_valid[0][0], list)
    raw = bytes(chain.from_iterable(bare) if nested else bare)
    flags = np.frombuffer(raw, np.uint8).reshape(len(joint_valid), NUM_JOINTS_BOTH)
    if flags.max() > 1:
        raise ValueError(f"a joint_valid of {flags.max()}, expected 0 or 1")
    return flags


def find_sorted(sorted_keys: np.ndarray, keys: Iterable | np.ndarray) -> np.ndarray:
    """Return where each key is in an ascending array, -1 if absent."""
    keys = np.asarray(keys)
    if len(sorted_keys) == 0:
        return np.full(len(keys), -1, np.int64)
    place = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.where(sorted_keys[place] == keys, place, -1)
