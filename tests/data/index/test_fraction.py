"""Fractions of an index have the requested size, keep time steps whole, and are nested."""

import numpy as np
import pytest

from gesture_pretrain.data.index import (
    HandIndex,
    count_rows,
    require_distinct_fractions,
    select_fraction,
)
from gesture_pretrain.data.index.writer import step_key, write_index

STEPS_OF_LABEL = (150, 100, 37, 12, 1)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """300 time steps of five labels, of very different frequency, with one to four views each."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("uneven")
    label_of_step = rng.permutation(np.repeat(np.arange(5), STEPS_OF_LABEL))
    steps = np.arange(300)
    step = np.repeat(steps, rng.integers(1, 5, 300)).astype(np.int32)
    columns = {
        "step": step,
        "sequence": label_of_step[step].astype(np.uint8),
        "hand": np.zeros(len(step), np.uint8),
        "size": np.zeros(len(step), np.uint8),
        "step_split": np.zeros(300, np.uint8),
        "step_capture": np.zeros(300, np.uint8),
        "step_frame": steps.astype(np.int32),
        "step_key": np.array([step_key(f"train/0/{k}") for k in steps], np.uint64),
    }
    meta = {
        "kind": "folders",
        "data_name": "uneven",
        "licence": "not stated",
        "synthetic": None,
        "counts": {},
        "image_folders": {"train": "."},
        "labels": list("abcde"),
        "cameras": [],
        "image_sizes": [[8, 8]],
    }
    return HandIndex.open(write_index(root / "index", root, columns, meta))


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("fraction", [0.001, 0.005, 0.01, 0.0125, 0.02, 0.05, 0.1, 0.37, 0.5, 0.99])
def test_a_fraction_selects_the_images_it_names_in_whole_time_steps(index, fraction, seed):
    rows = index.select(fraction=fraction, seed=seed)
    assert abs(len(rows) - fraction * len(index)) <= 2 or count_rows(index, rows).moments == 1
    steps = index.values("step", rows)
    assert np.isin(index.values("step"), steps).sum() == len(rows)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_labels_are_in_proportion(index, fraction):
    rows = index.select(fraction=fraction)
    steps, first = np.unique(index.values("step", rows), return_index=True)
    of_label = np.bincount(index.values("sequence", rows[first]), minlength=5)
    assert np.abs(of_label - len(steps) / 300 * np.array(STEPS_OF_LABEL)).max() <= 1


def test_smaller_fractions_are_subsets_and_the_seed_matters(index):
    chosen = [set(index.select(fraction=f, seed=3)) for f in np.linspace(0.002, 1, 60)]
    assert all(a <= b for a, b in zip(chosen[:-1], chosen[1:], strict=True))
    assert len(chosen[-1]) == len(index)
    other = set(index.select(fraction=0.1, seed=1))
    # two random tenths share a tenth of each other; half would mean that the seed hardly matters
    assert len(other & set(index.select(fraction=0.1, seed=0))) < 0.5 * len(other)
    assert other == set(index.select(fraction=0.1, seed=1))


def test_selection_does_not_depend_on_other_rows_of_the_index(index):
    some = index.select(labels=["b", "c"])
    assert set(select_fraction(index, some, 0.2)) == set(
        index.select(labels=["b", "c"], fraction=0.2)
    )


def test_counts_and_fractions_that_select_the_same_rows(index):
    assert count_rows(index, np.arange(len(index))) == (len(index), 300, 5)

    def rows_of(fraction):
        return index.select(fraction=fraction)

    require_distinct_fractions(rows_of, [0.1, 0.02, 1.0])
    with pytest.raises(ValueError, match="0.0001 and 0.0002"):
        require_distinct_fractions(rows_of, [0.1, 0.0002, 0.0001])
