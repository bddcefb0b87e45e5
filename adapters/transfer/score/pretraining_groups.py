"""Which runs of a comparison start from the same pretraining."""

from collections import Counter
from collections.abc import Hashable, Sequence

ONE_PRETRAINING = (
    "One pretraining per arm: the interval excludes the variance of pretraining again."
)

# Pretraining of the arm and of its reference, for each run; None if there is none
Starts = Sequence[tuple[str | None, str | None]]


def pretraining_groups(starts: Starts) -> list[int] | None:
    """Number the pretraining of each run, as `compare_scores` expects it.

    Returns:
        A number per run. None if the runs share one pretraining, if its numbers of runs differ, or
        if the two arms group their runs differently.
    """
    groups = _numbered(list(starts))
    sizes = Counter(groups).values()
    arms = [_numbered(arm) for arm in zip(*starts, strict=True)]
    nested = all(arm == groups or len(set(arm)) == 1 for arm in arms)
    return groups if nested and len(sizes) > 1 and len(set(sizes)) == 1 else None


def is_one_pretraining(starts: Starts) -> bool:
    """Whether an arm is pretrained and the interval has no variance of pretraining."""
    pretrained = any(start is not None for run in starts for start in run)
    return pretrained and pretraining_groups(starts) is None


def _numbered(values: Sequence[Hashable]) -> list[int]:
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return [numbers[value] for value in values]
