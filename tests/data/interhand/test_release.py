"""Releases of InterHand2.6M are recognised by their counts."""

import pytest

from gesture_pretrain.data.description import describe_index
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand import published_counts
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.interhand.published_counts import HandCounts


def build(root, **arguments):
    return HandIndex.open(build_interhand_index(root, progress=False, **arguments), verify=True)


def test_counts_tell_the_release():
    counts = {
        split: published_counts.PUBLISHED["v1.0", "human and machine annotations", split]
        for split in ("train", "val", "test")
    }
    assert published_counts.release_of(counts).name == "v1.0"
    counts["val"] = HandCounts(113_370, 70_917)
    assert published_counts.release_of(counts).name is None
    assert published_counts.release_of({"val": counts["val"]}).name == "v0.0"


def test_published_totals_add_up():
    totals = {key: counts.total for key, counts in published_counts.PUBLISHED.items()}
    both = "human and machine annotations"
    assert totals["v1.0", both, "train"] == 1_361_062
    assert totals["v0.0", both, "train"] == 738_602
    for release in published_counts.RELEASES:  # people and machine do not overlap in test
        parts = (f"{kind} annotations" for kind in ("human", "machine"))
        assert sum(totals[release, part, "test"] for part in parts) == totals[release, both, "test"]


def test_wrong_release_is_refused_and_an_earlier_index_stays(tiny_release, tmp_path, monkeypatch):
    """v0.0 annotations are published under a v1.0 tag: only the counts tell."""
    root = tiny_release.write(tmp_path)
    published = {
        ("v0.0", "human and machine annotations", "train"): HandCounts(6, 2),
        ("v0.0", "human and machine annotations", "val"): HandCounts(6, 2),
    }
    monkeypatch.setattr(published_counts, "PUBLISHED", published)
    index = build(root, expect_release="v0.0")
    assert index.meta["release"]["name"] == "v0.0"
    with pytest.raises(DataError, match="expected InterHand2.6M v1.0.* are of v0.0"):
        build(root, expect_release="v1.0")
    assert len(HandIndex.open(root, verify=True)) == 16


def test_data_of_ones_own_are_not_called_interhand(tiny_release, tmp_path):
    """They would carry InterHand2.6M's name and licence into every card."""
    root = tiny_release.write(tmp_path)
    assert build(root).meta["data_name"] == "InterHand2.6M"
    index = build(root, data_name="my hands", licence="CC0-1.0")
    assert (index.meta["data_name"], index.meta["licence"]) == ("my hands", "CC0-1.0")
    assert "InterHand" not in describe_index(index) and "my hands, 16 images" in describe_index(
        index
    )
    assert build(root, data_name="my hands").meta["licence"] == "not stated"
    assert not index.values("grey_camera").any()  # 41 is a monochrome camera of InterHand2.6M only


@pytest.mark.parametrize(
    "what, said",
    [
        ({"licence": "CC0-1.0"}, "licence"),
        ({"data_name": "my hands", "expect_release": "v1.0"}, "'my hands'"),
    ],
)
def test_contradictions_about_whose_data_they_are_are_refused(tiny_release, tmp_path, what, said):
    with pytest.raises(DataError, match=said):
        build(tiny_release.write(tmp_path), **what)
