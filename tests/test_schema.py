"""Faults in plain data are named with their place, the value and what is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest
from pydantic import PositiveInt

from gesture_pretrain.schema import STRICT, PositiveFraction, section, validated


class Damaged(ValueError):
    """The error of a file."""


@section
class Part:
    """A part of a whole."""

    size: PositiveInt = 1
    share: PositiveFraction = 1.0
    sides: tuple[Literal["right", "left"], ...] = ()
    source: str | float = "x"


@dataclass(frozen=True)
class Whole:
    """A whole of parts."""

    parts: Mapping[str, Part]
    rows: tuple[Part, ...] = ()
    first: Part | None = None

    __pydantic_config__ = STRICT


def test_plain_data_become_objects():
    values = {"parts": {"a": {"share": 1, "sides": ["left"]}}, "rows": [{}], "first": None}
    whole = validated(Whole, values)
    assert whole == Whole({"a": Part(1, 1.0, ("left",))}, (Part(),))
    assert Part(sides=["left"], share=1) == whole.parts["a"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "parts is required."),
        ({"parts": {"a": {"sise": 1}}}, r"Unknown key parts.a.sise. .*'size'\? Known: size, share"),
        ({"parts": {}, "rows": [{}, {"size": 0}]}, r"rows\[1\].size is 0; it must be above 0."),
        ({"parts": {}, "first": {"share": "1"}}, "first.share is '1'; it must be a number."),
        ({"parts": {}, "first": {"sides": ["rihgt"]}}, r"first.sides\[0\] .*mean 'right'\?"),
        ({"parts": {}, "first": {"source": None}}, "first.source is None; .* string or a number"),
        ({"parts": {str(i): 3 for i in range(5)}}, r"parts.2 is 3; .* And 2 more.$"),
        ({"parts": {"a": {"share": float("nan")}}}, "parts.a.share is nan"),
        ({"parts": {"a": {"source": object()}}}, "parts.a.source is <object"),
        (3, "The whole is 3; it must be a dict"),
    ],
)
def test_faults_are_named_with_their_place(values, said):
    with pytest.raises(ValueError, match=said):
        validated(Whole, values)
    with pytest.raises(Damaged, match="^file.json: "):
        validated(Whole, values, "file.json", Damaged)


def test_a_class_that_python_code_constructs_names_its_arguments():
    for values, named, said in (
        ((0,), {}, "^size is 0; it must be above 0.$"),
        ((), {"sise": 2}, "Unknown key sise. Did you mean 'size'"),
    ):
        with pytest.raises(ValueError, match=said):
            Part(*values, **named)
    with pytest.raises(TypeError, match="4 arguments"):
        Part(1, 1, (), "x", 5)
