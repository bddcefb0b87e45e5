"""What a value on the command line stands for."""

import pytest

from gesture_pretrain.config.override import apply_override, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-3", 2e-3),
        ("True", True),
        ("true", True),
        ("none", None),
        ("hrnet_w18", "hrnet_w18"),
        ("data/set.v2/index", "data/set.v2/index"),
        ("'3'", "3"),
        ("", ""),
        ("[0, 1]", [0, 1]),
        ("0,1", (0, 1)),
        ("[right,left]", ["right", "left"]),
        ("(a,none)", ("a", None)),
        ("{lr: 0.1, -1: [true]}", {"lr": 0.1, -1: [True]}),
        ("dict(a=1, b=dict(c=x))", {"a": 1, "b": {"c": "x"}}),
        ('[dict(name="HaMeR", path="a/b.npz")]', [{"name": "HaMeR", "path": "a/b.npz"}]),
        ("[{'name': 'HaMeR', 'path': 'a/b.npz'}]", [{"name": "HaMeR", "path": "a/b.npz"}]),
    ],
)
def test_values_are_read_as_a_config_file_has_them(text, value):
    found = parse_value(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[0,1", "was never closed"),
        (
            "[dict(name=HaMeR,path=a/b.npz)]",
            "a / b.npz is not a value",
        ),  # the shell took the quotes
        ("dict(1)", r"dict\(1\) is not a value"),
        ("dict(**a)", "is not a value"),
        ("{**a}", "is not a value"),
        ("{[0]: 1}", "unhashable"),
        ("[open('x')]", "is not a value"),
    ],
)
def test_a_bracket_that_is_no_value_is_refused_with_what_to_write(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        apply_override({}, f"external={text}")
    assert f"Override 'external={text}'" in str(caught.value)
    assert "double quotes" in str(caught.value)


def test_a_dotted_key_makes_the_sections_on_its_way():
    config = {"training": None, "seed": 0}
    apply_override(config, "training.threads=2")
    apply_override(config, "data.augmentation.flip=0.5")
    assert config == {
        "training": {"threads": 2},
        "seed": 0,
        "data": {"augmentation": {"flip": 0.5}},
    }
    with pytest.raises(ValueError, match="'seed' is a value, not a section"):
        apply_override(config, "seed.x=1")
    for wrong in ("seed", "=1"):
        with pytest.raises(ValueError, match="not of the form section.key=value"):
            apply_override(config, wrong)
