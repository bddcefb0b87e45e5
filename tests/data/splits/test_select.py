"""Training and validation rows: held-out subjects, captures and moments; neutral ends."""

import numpy as np
import pytest

from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.index.writer import step_key, write_index
from gesture_pretrain.data.splits.held_out import hold_out_some
from gesture_pretrain.data.splits.neutral_ends import NeutralEnds, distance_from_ends
from gesture_pretrain.data.splits.select import describe_validation, select_splits

VIEWS, FRAMES = 2, 10


def make_index(root, recordings, *, subjects=True, captures=True) -> HandIndex:
    """Recordings are (split, subject, capture, label) of ten frames with two views each."""
    labels = sorted({label for *_, label in recordings})
    count = len(recordings) * FRAMES
    split, subject, capture, label = (
        np.repeat([r[k] for r in recordings], FRAMES) for k in range(4)
    )
    frame = 1000 + 18 * np.arange(count)
    columns = {
        "step": np.repeat(np.arange(count), VIEWS).astype(np.int32),
        "sequence": np.repeat([labels.index(name) for name in label], VIEWS).astype(np.uint8),
        "hand": np.zeros(count * VIEWS, np.uint8),
        "size": np.zeros(count * VIEWS, np.uint8),
        "step_split": np.array([("train", "val", "test").index(s) for s in split], np.uint8),
        "step_capture": capture.astype(np.int16) if captures else np.full(count, -1, np.int8),
        "step_frame": frame.astype(np.int32) if captures else np.full(count, -1, np.int8),
        "step_key": np.array([step_key(f"{f}") for f in frame], np.uint64),
    }
    if subjects:
        columns["subject"] = np.repeat(subject.astype(np.uint8), VIEWS)
    meta = {
        "kind": "folders",
        "data_name": "recordings",
        "licence": "none",
        "synthetic": None,
        "counts": {},
        "image_folders": {"train": ".", "val": "."},
        "labels": labels,
        "cameras": [],
        "image_sizes": [[8, 8]],
    }
    return HandIndex.open(write_index(root / "index", root, columns, meta))


def recordings(sizes, capture=None):
    """`sizes[subject]` recordings of each subject."""
    return [
        ("train", person, person if capture is None else capture, "ab"[k % 2])
        for person, n in sizes.items()
        for k in range(n)
    ]


@pytest.mark.parametrize(
    ("sizes", "held"),
    [
        ({1: 4, 2: 2, 3: 6}, [2]),  # the smallest
        ({1: 4, 2: 4}, [1]),  # half is the limit
        ({1: 9, 2: 1}, [2]),  # not the one that would leave next to nothing
        ({1: 197, 2: 1, 3: 1, 4: 1}, [2, 3, 4]),  # none alone has 2 % of the images
    ],
)
def test_the_smallest_subject_is_held_out_where_val_has_no_image(tmp_path, sizes, held):
    index = make_index(tmp_path, recordings(sizes))
    rows = select_splits(index)
    assert rows.validated_on["subjects"] == held
    assert np.isin(index.values("subject", rows.validation), held).all()
    assert not np.isin(index.values("subject", rows.train), held).any()
    assert len(rows.train) + len(rows.validation) == len(index)
    text = describe_validation(rows.validated_on)
    assert f"{len(rows.validation)} images of subject" in text and "held out" in text


def test_captures_then_moments_are_held_out_where_there_is_one_subject(tmp_path):
    several = [("train", 7, capture, label) for capture in (0, 1, 2) for label in "ab"]
    rows = select_splits(make_index(tmp_path / "captures", several))
    assert rows.validated_on["captures"] == [0] and len(rows.validation) == 40
    index = make_index(tmp_path / "moments", recordings({7: 10}))
    for options in ({}, {"fraction": 0.5}):
        rows = select_splits(index, **options)
        assert rows.validated_on["fraction_of_moments"] == 0.1 and len(rows.validation) == 20
        assert not np.isin(
            index.values("step", rows.train), index.values("step", rows.validation)
        ).any()
        of_label = np.bincount(index.values("sequence", rows.validation))
        assert of_label.tolist() == [10, 10]
    photographs = make_index(
        tmp_path / "photos", recordings({7: 10}), subjects=False, captures=False
    )
    assert "fraction_of_moments" in select_splits(photographs).validated_on


def test_with_images_in_val_nothing_is_held_out(tmp_path):
    index = make_index(tmp_path, [*recordings({1: 4, 2: 4}), ("val", 9, 0, "a")])
    rows = select_splits(index, fraction=0.3, fraction_seed=4)
    assert rows.validated_on == {"split": "val", "images": 20}
    assert rows.train.tolist() == index.select("train", fraction=0.3, seed=4).tolist()
    assert rows.validation.tolist() == index.select("val").tolist()
    # a filter that leaves none of them
    assert select_splits(index, labels=["b"]).validated_on["subjects"] == [1]
    assert select_splits(index, val_split=None, labels=["b"]).validated_on is None


def test_named_subjects_and_captures_are_held_out_instead_of_val(tmp_path):
    index = make_index(tmp_path, [*recordings({1: 4, 2: 4, 3: 2}), ("val", 9, 0, "a")])
    rows = select_splits(index, val_subjects=[2], val_captures=[3], val_images=30)
    assert set(index.values("subject", rows.train)) == {1} and len(rows.validation) == 30
    assert describe_validation(rows.validated_on).startswith("30 images of subject 2 and capture 3")
    with pytest.raises(ValueError, match="val_subjects names subject 8.*1, 2, 3"):
        select_splits(index, val_subjects=[8])
    with pytest.raises(ValueError, match="Name fewer"):
        select_splits(index, val_captures=[1, 2, 3])


def test_a_single_moment_cannot_be_held_out(tmp_path):
    index = make_index(tmp_path, recordings({1: 1}))
    with pytest.raises(ValueError, match="val_split=none"):
        hold_out_some(index, index.select()[:VIEWS])


def test_position_in_a_recording_is_read_from_its_frame_numbers(tmp_path):
    index = make_index(tmp_path, recordings({1: 2, 2: 1}))
    expected = np.minimum(np.arange(10), 9 - np.arange(10)) / 9
    assert np.allclose(distance_from_ends(index).reshape(3, FRAMES, VIEWS)[..., 0], expected)
    rows = np.arange(2 * FRAMES * VIEWS, len(index))  # those of subject 2
    masked = NeutralEnds(fraction=0.15).weights(index, rows)
    assert masked.reshape(FRAMES, VIEWS)[:, 1].tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0]
    weighted = NeutralEnds(fraction=0.3, mode="weight").weights(index, rows)
    assert np.allclose(weighted[::VIEWS], np.minimum(expected / 0.3, 1))


def test_masked_ends_are_left_out_of_training_only(tmp_path):
    index = make_index(tmp_path, [*recordings({1: 2, 2: 1}), ("val", 9, 0, "a")])
    rows = select_splits(index, neutral_ends=NeutralEnds(fraction=0.15))
    assert len(rows.train) == 3 * 6 * VIEWS and len(rows.validation) == FRAMES * VIEWS
    both = select_splits(index, neutral_ends=NeutralEnds(fraction=0.15, mode="weight"))
    assert len(both.train) == 3 * FRAMES * VIEWS


@pytest.mark.parametrize("options", [{"fraction": 0.5}, {"fraction": 0.0}, {"mode": "drop"}])
def test_impossible_neutral_ends_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        NeutralEnds(**options)


def test_photographs_have_no_ends(tmp_path):
    index = make_index(tmp_path, recordings({7: 2}), subjects=False, captures=False)
    with pytest.raises(ValueError, match="frame numbers"):
        distance_from_ends(index)
