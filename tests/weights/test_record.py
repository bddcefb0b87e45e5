"""The card: what goes in comes out, and nothing else is taken for a card."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.record import (
    FORMAT_VERSION,
    DataRecord,
    FileRecord,
    HeadsRecord,
    InputRecord,
    LevelRecord,
    TaxonomyRecord,
    WeightRecord,
    backbone_name,
    is_backbone_name,
)

FILE = FileRecord(sha256="a" * 64, size_bytes=12)
RECORD = WeightRecord(
    arch="resnet18",
    tag="gesture_test",
    files={"model.safetensors": FILE, "heads.safetensors": FILE},
    input=InputRecord(256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 32),
    feature_specs={"stride16": LevelRecord(256, 16), "final": LevelRecord(512, 32)},
    low="stride16",
    high="final",
    heads=HeadsRecord(512, 64, 0.5, 2, 3),
    taxonomy=TaxonomyRecord("two", "b" * 64, ("fist", "flat"), ("fist", "flat", "flat, spread")),
    label_variant="gesture",
    data=DataRecord("embedded", "CC0-1.0", True, {"seed": 0}),
    config={"optimizer": {"lr": 3e-4, "betas": [0.9, 0.999]}, "epochs": 30, "resume": None},
    commit=None,
    metrics={"val/coarse_top1": 0.5},
    library_versions={"torch": "2.9"},
    created="2025-01-01T00:00:00+00:00",
    notes="ä",
)


def _changed(**changes) -> str:
    values = json.loads(RECORD.to_json())
    for place, value in changes.items():
        *parents, key = place.split("__")
        target = values
        for parent in parents:
            target = target[parent]
        if value is KeyError:
            del target[key]
        else:
            target[key] = value
    return json.dumps(values)


def test_round_trip_is_exact():
    assert WeightRecord.from_json(RECORD.to_json()) == RECORD
    assert WeightRecord.from_json(RECORD.to_json()).to_json() == RECORD.to_json()


def test_round_trip_without_heads():
    bare = replace(RECORD, heads=None, taxonomy=None, data=None, files={"model.safetensors": FILE})
    assert WeightRecord.from_json(bare.to_json()) == bare


def test_record_is_frozen():
    with pytest.raises(FrozenInstanceError):
        RECORD.arch = "other"


def test_name_is_in_the_card_for_its_readers():
    assert json.loads(RECORD.to_json())["name"] == RECORD.name == "resnet18.gesture_test"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "Unknown key colour"),
        ({"input__size": 3}, "Unknown key input.size.*size_px"),
        ({"data__owner": "x"}, "Unknown key data.owner"),
        ({"metrics": KeyError}, "metrics is required"),
        ({"heads__hidden": KeyError}, "heads.hidden is required"),
        ({"input__size_px": "256"}, "input.size_px is '256'"),
        ({"input__mean": [0.5, 0.5]}, "input.mean"),
        ({"arch": 3}, "arch is 3"),
        ({"files__model.safetensors__sha256": "abc"}, "sha256 is 'abc'"),
        ({"files__other.bin": {"sha256": "a" * 64, "size_bytes": 1}}, "expected .*heads"),
        ({"input__size_px": 10**7}, "input.size_px"),
        ({"input__std": [0.0, 0.2, 0.2]}, "input.std.0"),
        ({"input__mean": [1e999, 0.4, 0.4]}, "Infinity"),
        ({"heads__hidden": 10**9}, "heads.hidden"),
        ({"heads__hidden": True}, "heads.hidden"),
        ({"low": "stride8"}, "level 'stride8' is not one of"),
        ({"heads__num_fine": 4}, "fine head has 4 outputs, but taxonomy 'two' has 3"),
        ({"taxonomy": None}, "give both or neither"),
        ({"name": "resnet18.other"}, "arch and tag give 'resnet18.gesture_test'"),
        ({"format_version": FORMAT_VERSION + 1}, "pip install -U gesture-pretrain"),
        ({"format_version": "1"}, "format_version is '1'"),
        ({"format_version": KeyError}, "format_version is None"),
    ],
)
def test_a_card_that_is_not_ours_is_an_error(changes, message):
    with pytest.raises(WeightsError, match=message):
        WeightRecord.from_json(_changed(**changes))


@pytest.mark.parametrize("text", ["", "{", "[]", RECORD.to_json()[:200], "[" * 99999])
def test_torn_card_names_its_source(text):
    with pytest.raises(WeightsError, match="^some/card.json"):
        WeightRecord.from_json(text, source="some/card.json")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1: 2}, {"a": {3}}])
def test_what_json_cannot_hold_is_named(value):
    with pytest.raises(ValueError, match=r"card\.config\.bad|card\.config\.bad\.a"):
        replace(RECORD, config={"bad": value}).to_json()


@pytest.mark.parametrize("tag", ["", "a.b", "a b", "../x", "_x", "a/b", "ä", "x" * 200, "json"])
def test_impossible_tags(tag):
    with pytest.raises(ValueError):
        backbone_name("resnet18", tag)


def test_names_are_told_from_paths():
    assert is_backbone_name("hrnet_w18.gesture-1")
    assert not any(
        map(is_backbone_name, ["hrnet_w18", "model.safetensors", "a.b.c", "./a.b", "a.b/", "a."])
    )
