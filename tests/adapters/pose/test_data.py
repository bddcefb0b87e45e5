"""Which images a run sees: nested label fractions, one order for all arms."""

import numpy as np
import pytest
from mmengine.hooks import Hook
from pose_run import SIZE_PX, build_toy_dataset, pose_sections

from adapters.pose.data import PoseDataSection, build_pose_data
from adapters.pose.training import build_pose_runner
from adapters.targets import find_pose_target
from gesture_pretrain.data.images import write_shards
from gesture_pretrain.data.index.index import HandIndex

IMREAD = "gesture_pretrain.data.images.files.decode_image"


@pytest.fixture
def data(pose_index, hands):
    def build(seed=0, build_dataset=build_toy_dataset, **changes):
        section = PoseDataSection(**{"index": pose_index, "workers": 0, "batch_size": 8, **changes})
        given = {"size_px": SIZE_PX, "seed": seed, "hand_models": hands}
        return build_pose_data(section, build_dataset=build_dataset, **given)

    return build


def train_rows(built) -> set[int]:
    return set(built.train.dataset.rows.tolist())


def test_smaller_fractions_are_parts_of_larger_ones_and_the_runs_seed_does_not_enter(data):
    parts = [train_rows(data(fraction=share)) for share in (1 / 3, 2 / 3, 1.0)]
    assert parts[0] < parts[1] < parts[2] and len(parts[2]) == 48
    assert train_rows(data(fraction=2 / 3, seed=9)) == parts[1]
    assert train_rows(data(fraction=2 / 3, fraction_seed=9)) != parts[1]
    assert data(fraction=0.5).validation.dataset.rows.shape == (16,)


def test_fraction_keeps_whole_time_steps(data, pose_index):
    index = HandIndex.open(pose_index)
    kept = np.array(sorted(train_rows(data(fraction=1 / 3))))
    steps = index.values("step", kept)
    assert np.isin(index.values("step"), steps).sum() == len(kept)


def test_overfit_is_one_batch_without_augmentation_that_is_also_validated(data):
    built = data(overfit=True)
    assert len(train_rows(built)) == 8 and built.iterations_per_epoch == 1
    assert set(built.validation.dataset.rows.tolist()) == train_rows(built)
    first, second = (next(iter(built.train)) for _ in range(2))
    assert {*first.row.tolist()} == {*second.row.tolist()}
    by_row = dict(zip(first.row.tolist(), first.image, strict=True))
    for row, image in zip(second.row.tolist(), second.image, strict=True):
        assert (by_row[row] == image).all()


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"hands": "interacting"}, "'right' or 'left'"),
        ({"hands": []}, "at least 1"),
        ({"subjects": [99]}, "no images of subject 99"),
        ({"labels": ["0000_nothing"]}, "0000_nothing"),
        ({"fraction": 0.0}, "fraction"),
        ({"augmentation": {"flip": 0.5}}, "mirror_left"),
        ({"augmentation": {"rotation": 1}}, "augmentation.rotation"),
    ],
)
def test_wrong_selection_is_named(data, changes, said):
    with pytest.raises(ValueError, match=said):
        data(**changes)


@pytest.fixture(scope="module")
def shards(pose_index, tmp_path_factory):
    index, out = HandIndex.open(pose_index), tmp_path_factory.mktemp("shards") / "out"
    return write_shards(index, range(len(index)), out, size_px=SIZE_PX, progress=False)


def test_shards_feed_both_loaders_and_no_image_file_is_read(data, shards, monkeypatch):
    files = data()
    expected = files.train.dataset[2, 5], files.validation.dataset[3]
    monkeypatch.setattr(IMREAD, None)
    stored = data(shards=shards)
    found = stored.train.dataset[2, 5], stored.validation.dataset[3]
    for stored_sample, file in zip(found, expected, strict=True):
        assert (stored_sample.keypoints_px == file.keypoints_px).all()
        assert stored_sample.row == file.row
    batch = next(iter(stored.train))
    assert batch.image.shape == (8, 3, SIZE_PX, SIZE_PX) and batch.image.any()
    with pytest.raises(TypeError, match="not callable"):
        data().train.dataset[2, 5]


@pytest.mark.parametrize("target", ["eanet", "token_fusion"])
def test_every_target_reads_the_same_shards(data, shards, monkeypatch, target):
    build = {"build_dataset": find_pose_target(target).dataset_for()}
    expected = next(iter(data(**build).train))
    monkeypatch.setattr(IMREAD, None)
    stored = data(shards=shards, **build)
    difference = (next(iter(stored.train)).image.int() - expected.image.int()).abs()
    assert difference.max() <= 2 and (difference > 0).float().mean() < 0.02
    assert stored.validation.dataset[3].image.any()


class NoteRows(Hook):
    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append((data_batch.row.tolist(), int(data_batch.image.long().sum())))


def test_every_arm_sees_the_same_samples_in_the_same_order(tmp_path, pose_index):
    arms = {
        "one": {},
        "another": {"backbone": {"arch": "test_vit", "size_px": SIZE_PX}, "model": {"dropout": 0}},
        "frozen": {"backbone": {"frozen": True}, "optimizer": {"lr": 1e-4}},
    }
    seen = {}
    for name, changes in arms.items():
        note = NoteRows()
        changes = {"data": {"val_split": None}, "schedule": {"iterations": 8}, **changes}
        sections = pose_sections(pose_index, **changes)
        build_pose_runner(out=tmp_path / name, hooks=[note], **sections).train()
        seen[name] = note.seen
    assert seen["one"] == seen["another"] == seen["frozen"]
    assert len({tuple(rows) for rows, _ in seen["one"]}) == 8
