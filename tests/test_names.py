"""Errors for unknown names suggest the nearest known one."""

import pytest

from gesture_pretrain.names import did_you_mean, require_choice


def test_the_nearest_name_is_suggested_and_a_far_one_is_not():
    assert did_you_mean("rootnets", ["annotation", "rootnet", None]) == " Did you mean 'rootnet'?"
    assert did_you_mean("x", ["annotation", "rootnet"]) == ""
    assert did_you_mean(3, ["annotation"]) == did_you_mean("x", []) == ""


def test_a_choice_is_named_with_its_key_and_what_is_possible():
    require_choice("boxes", None, ("rootnet", None))
    with pytest.raises(ValueError) as caught:
        require_choice("boxes", "rotnet", ("rootnet", None))
    assert str(caught.value) == (
        "boxes is 'rotnet'; possible: rootnet, None. Did you mean 'rootnet'?"
    )
