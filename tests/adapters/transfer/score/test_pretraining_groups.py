"""Runs are grouped by the pretraining that they start from."""

import pytest

from adapters.transfer.score.pretraining_groups import is_one_pretraining, pretraining_groups


@pytest.mark.parametrize(
    ("arm", "reference", "groups", "is_one"),
    [
        ("aabb", None, [0, 0, 1, 1], False),  # two pretrainings, two seeds each
        ("abc", None, [0, 1, 2], False),  # a pretraining per seed
        (None, "abab", [0, 1, 0, 1], False),
        ("aabb", "ccdd", [0, 0, 1, 1], False),
        ("aabb", "cccc", [0, 0, 1, 1], False),  # the reference is one set of weights
        ("aabb", "cdcd", None, True),  # grouped differently
        ("aab", None, None, True),  # unequal numbers of runs
        ("aaa", None, None, True),
        ("a", "b", None, True),
        (None, None, None, False),  # neither arm is pretrained
    ],
)
def test_groups(arm, reference, groups, is_one):
    count = len(arm or reference or "xx")
    starts = list(zip(arm or [None] * count, reference or [None] * count, strict=True))
    assert pretraining_groups(starts) == groups
    assert is_one_pretraining(starts) == is_one
