"""The ledger on four tensors counted by hand."""

import json

import pytest
import torch

from gesture_pretrain.weights.ledger import compare_tensors, fingerprint


def ledger():
    target = {
        "stem.weight": torch.zeros(2, 3),
        "stem.bias": torch.zeros(2, dtype=torch.float64),
        "head.weight": torch.zeros(4),
        "tail.weight": torch.zeros(8),
    }
    offered = {
        "stem.weight": torch.ones(2, 3, dtype=torch.float16),
        "stem.bias": torch.ones(3),
        "surplus": torch.ones(5),
    }
    return compare_tensors(
        target,
        offered,
        fresh={"head.": "the file has none"},
        dropped={"fc.weight": torch.ones(7)},
        source="file.pth",
        stripped=("module.",),
    )


def test_every_tensor_has_one_status():
    found = ledger()
    assert found.matched == ("stem.weight",)
    assert found.wrong_shape == ("stem.bias",)
    assert found.fresh == ("head.weight",)
    assert found.missing == ("tail.weight",)
    assert found.unexpected == ("surplus",)
    assert found.dropped_by_name == ("fc.weight",)
    assert not found.is_complete


def test_fraction_by_hand():
    """6 of 6 + 2 + 4 + 8 elements."""
    assert ledger().matched_share == pytest.approx(6 / 20)


def test_table_names_what_is_not_matched():
    text = ledger().table()
    for part in (
        "weights from file.pth",
        "stripped prefixes: module.",
        "30.00 % of",
        "wrong_shape: stem.bias (file (3,), network (2,))",
        "fresh: head.weight (the file has none)",
        "missing: tail.weight",
        "unexpected: surplus",
        "dropped_by_name: fc.weight",
    ):
        assert part in text


def test_json_has_all_of_it():
    data = json.loads(ledger().to_json())
    assert data["matched"] == [
        {"name": "stem.weight", "size": 6, "note": "torch.float16 to torch.float32"}
    ]
    assert data["missing"] == [{"name": "tail.weight", "size": 8}]
    assert data["stripped"] == ["module."]


def test_unknown_status():
    with pytest.raises(ValueError, match="unknown status 'lost'; possible: matched"):
        ledger().names("lost")


def test_fingerprint_is_of_names_types_shapes_and_bits():
    weights = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)}
    same = {"b": torch.tensor(3), "a": torch.tensor([1.0, 2.0])}
    changed = [
        {"a": torch.tensor([1.0, 2.0]).nextafter(torch.tensor(9.0)), "b": torch.tensor(3)},
        {"a": torch.tensor([[1.0, 2.0]]), "b": torch.tensor(3)},
        {"a": torch.tensor([1.0, 2.0]).view(torch.int32), "b": torch.tensor(3)},
        {"c": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)},
    ]
    assert fingerprint(weights) == fingerprint(same)
    assert len({fingerprint(w) for w in [weights, *changed]}) == 5
    assert len(fingerprint({"half": torch.zeros(2, dtype=torch.bfloat16)})) == 64
