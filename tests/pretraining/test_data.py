"""The data of a pretraining run: what is counted, held out, drawn less often."""

import numpy as np
import pytest
from PIL import Image

from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.splits.neutral_ends import distance_from_ends
from gesture_pretrain.pretraining.data import build_gesture_data
from gesture_pretrain.pretraining.data_section import GestureDataSection


def built(index, *, seed=0, **options):
    section = GestureDataSection(index=index, **{"workers": 0, "batch_size": 4, **options})
    return build_gesture_data(section, size_px=32, seed=seed)


def rows_of(loader) -> list[int]:
    return loader.dataset.rows.tolist()


def test_counts_and_validation_are_recorded_and_printed(miniature, capsys):
    data = built(miniature, fraction=0.5)
    index, facts = HandIndex.open(miniature), data.summary
    train = data.train.dataset.rows
    assert facts["train_images"] == len(train)
    assert facts["train_moments"] == len(np.unique(index.values("step", train)))
    assert facts["train_labels"] == 4
    assert facts["validated_on"]["subjects"] == [8]
    printed = capsys.readouterr().out
    assert f"{len(train)} images of {facts['train_moments']} moments" in printed
    assert "images of subject 8 of split 'train', held out of training" in printed
    assert not set(rows_of(data.train)) & set(rows_of(data.validation))


def test_the_seed_of_the_run_does_not_choose_the_fraction(miniature):
    first = rows_of(built(miniature, fraction=0.3).train)
    assert rows_of(built(miniature, fraction=0.3, seed=1).train) == first
    assert rows_of(built(miniature, fraction=0.3, fraction_seed=1).train) != first


def test_photographs_without_val_are_held_out_by_class(tmp_path, capsys):
    for label, count in (("fist", 40), ("flat", 20)):
        for k in range(count):
            path = tmp_path / "photos" / label / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (k, k, k)).save(path)
    folder = build_folder_index(tmp_path / "photos", progress=False)
    data = built(folder, taxonomy="index_labels")
    index = HandIndex.open(folder)
    held = np.bincount(index.values("sequence", np.array(rows_of(data.validation))))
    assert held.tolist() == [4, 2] and data.summary["train_images"] == 54
    assert "10 % of the moments" in capsys.readouterr().out
    again = built(folder, taxonomy="index_labels", seed=3)
    assert rows_of(again.validation) == rows_of(data.validation)


def drawn_distances(data, index, count=400):
    batches = iter(data.train.batch_sampler)
    positions = [p for _ in range(count) for _, p in next(batches)]
    return distance_from_ends(index)[data.train.dataset.rows[positions]]


def test_neutral_ends_are_masked_or_drawn_less_often(miniature):
    """Recordings of the miniature have four frames: at 0, 1/3, 1/3 and 0 from their ends."""
    index, fraction = HandIndex.open(miniature), 0.4
    plain, weighted, masked = (
        built(miniature, neutral_ends=ends)
        for ends in (
            None,
            {"fraction": fraction, "mode": "weight"},
            {"fraction": 0.15, "mode": "mask"},
        )
    )
    assert rows_of(weighted.train) == rows_of(plain.train)
    assert 0.4 < (drawn_distances(plain, index) == 0).mean() < 0.6
    assert (drawn_distances(weighted, index) > 0).all()
    assert (distance_from_ends(index)[masked.train.dataset.rows] > 0).all()
    assert rows_of(masked.validation) == rows_of(plain.validation)
    both = built(miniature, neutral_ends={"mode": "weight"}, class_balanced=True)
    drawn = drawn_distances(both, index)
    assert (drawn > 0).all()
    with pytest.raises(ValueError, match="length"):
        built(miniature, neutral_ends={"length": 1})


def test_views_of_a_moment_follow_one_another(miniature):
    steps = HandIndex.open(miniature).values("step")
    adjacent = {}
    for views in (1, 2):
        train = built(miniature, views_per_moment=views).train
        batches = iter(train.batch_sampler)
        order = [p for _ in range(len(train.dataset) // 4) for _, p in next(batches)]
        shown = steps[train.dataset.rows[order]]
        adjacent[views] = int((np.diff(shown) == 0).sum())
    pairs = int((np.bincount(shown) // 2).sum())
    assert adjacent[2] >= pairs > 4 * adjacent[1]


@pytest.mark.parametrize(
    "weighted", [{"class_balanced": True}, {"neutral_ends": {"mode": "weight"}}]
)
def test_views_of_a_moment_are_not_drawn_by_weight(weighted):
    with pytest.raises(ValueError, match="views_per_moment"):
        GestureDataSection(index="x", views_per_moment=2, **weighted)
