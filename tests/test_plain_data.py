"""Plain data stay as they are; what JSON cannot hold is named with its place."""

import json
from pathlib import Path

import numpy as np
import pytest

from gesture_pretrain.plain_data import plain_data

VALUES = {"a": [1, 2.5, None, True, "x"], "b": {"c": []}}


def test_plain_data_stay_and_tuples_become_lists():
    assert plain_data(VALUES, "card") == VALUES
    assert plain_data({"a": (1, (2,))}, "card") == {"a": [1, [2]]}
    assert json.loads(json.dumps(plain_data(VALUES, "card"), allow_nan=False)) == VALUES


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [0, {"b": float("nan")}]}, r"card\.a\[1\]\.b is nan"),
        ({"a": float("inf")}, r"card\.a is inf"),
        ({"a": np.float32(1)}, r"card\.a is .*float32"),
        ({"a": {3: 1}}, r"card\.a has the key 3"),
        ({"a": Path("x")}, r"card\.a is .*Path"),
    ],
)
def test_other_values_are_named_with_their_place(value, said):
    with pytest.raises(ValueError, match=said):
        plain_data(value, "card")


def test_paths_become_text_where_that_is_asked():
    assert plain_data({"a": [Path("x") / "y"]}, "card", paths_as_text=True) == {"a": ["x/y"]}
