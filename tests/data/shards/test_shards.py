"""Shards give the samples of the picture files, are made in parts, and refuse what they lack."""

import json
import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.augmentation import NONE, Augmentation
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.shards import shards as module
from gesture_pretrain.data.shards.card import ShardSettings, StaleShards
from gesture_pretrain.data.shards.shards import open_shards, write_shards
from gesture_pretrain.taxonomy import Taxonomy

SIZE = 64
TAXONOMY = Taxonomy.load("interhand26m")


@pytest.fixture(scope="module")
def index(tmp_path_factory, tiny_release_class):
    """Portrait and landscape pictures of noise, 334 x 512 px."""
    root = tmp_path_factory.mktemp("release")
    random = np.random.default_rng(0)
    release = tiny_release_class(splits=("train",))
    for annotation in release.json["train"]["data"]["annotations"]:
        x, y, width, height = random.uniform([-20, -20, 100, 100], [150, 150, 250, 250])
        annotation["bbox"] = np.float32([x, y, width, height]).tolist()
    release.write(root)
    index = HandIndex.open(build_interhand_index(root, progress=False))
    for row in range(len(index)):
        path = index.image_path(row)
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = index.record(row).image_size_wh
        cv2.imwrite(str(path), random.integers(0, 255, (height, width, 3), np.uint8))
    return index


@pytest.fixture(autouse=True)
def three_rows_per_shard(monkeypatch):
    monkeypatch.setattr(module, "_ROWS_PER_SHARD", 3)


def _write(index, out, rows=None, settings=None):
    rows = range(len(index)) if rows is None else rows
    return write_shards(index, rows, out, settings or ShardSettings(SIZE), progress=False)


def _dataset(index, shards=None, size_px=SIZE, **options):
    return GestureDataset(
        index, range(len(index)), TAXONOMY, size_px, shards=shards, announce=None, **options
    )


def _assert_same(ours, theirs, *, levels=1):
    """Equal but for rounding: positions in a stored rectangle are counted from its corner.

    OpenCV's positions have 24 bits: of 512 px, 3e-5 px. Noise of 255 levels per pixel changes by
    less than 0.02 over that, so a pixel is rounded to its neighbour level in about 2 of 100 cases
    and never further; a gain of up to 1.2 can make two levels of one.
    """
    difference = (ours.image.int() - theirs.image.int()).abs()
    assert difference.max() <= levels
    assert (difference > 0).float().mean() < 0.02
    for field, one, other in zip(ours._fields[1:], ours[1:], theirs[1:], strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other)), field


@pytest.mark.parametrize("size_px", [64, 256])
def test_without_augmentation_the_sample_is_that_of_the_file(index, tmp_path, size_px):
    settings = ShardSettings(size_px, augmentation=NONE)
    out = _write(index, tmp_path / "shards", settings=settings)
    stored, files = _dataset(index, out, size_px), _dataset(index, size_px=size_px)
    for position in range(len(index)):
        _assert_same(stored[position], files[position])


@pytest.mark.parametrize("size_px", [96, 512])
def test_with_augmentation_every_pixel_that_is_shown_is_there(index, tmp_path, size_px):
    """At 96 px a picture is stored twice where its crops decode the file at two scales."""
    out = _write(index, tmp_path / "shards", settings=ShardSettings(size_px))
    steps = np.concatenate([np.load(path)["step_px"] for path in sorted(out.glob("*.npy"))])
    assert set(steps.tolist()) == ({1, 2, 4} if size_px == 96 else {1})
    assert len(index) < len(steps) <= 2 * len(index) or size_px == 512
    options = {"size_px": size_px, "augmentation": Augmentation(), "seed": 3}
    stored, files = _dataset(index, out, **options), _dataset(index, **options)
    keys = [(epoch, position) for epoch in range(6) for position in range(len(index))]
    for ours, theirs in zip(stored.__getitems__(keys), files.__getitems__(keys), strict=True):
        _assert_same(ours, theirs, levels=2)


def test_a_pickled_dataset_opens_its_shards_again(index, tmp_path):
    dataset = _dataset(index, _write(index, tmp_path / "shards"))
    content = pickle.dumps(dataset)
    assert len(content) < 20_000
    _assert_same(pickle.loads(content)[1], dataset[1])


def test_an_interrupted_call_is_taken_up(index, tmp_path, monkeypatch):
    out, whole = tmp_path / "shards", _write(index, tmp_path / "whole")
    read, calls = module.ShownParts.read, []

    def interrupted(self, row):
        calls.append(row)
        if row == 4:
            raise KeyboardInterrupt
        return read(self, row)

    monkeypatch.setattr(module.ShownParts, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _write(index, out)
    with pytest.raises(DataError, match="is not finished; give the same .* command again"):
        _dataset(index, out)
    first = (out / "00000.bytes").stat().st_mtime_ns
    monkeypatch.setattr(module.ShownParts, "read", read)
    _write(index, out)
    assert (out / "00000.bytes").stat().st_mtime_ns == first
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in out.iterdir())
    assert all((whole / name).read_bytes() == (out / name).read_bytes() for name in names)


def test_finished_shards_are_left_alone(index, tmp_path, monkeypatch):
    out = _write(index, tmp_path / "shards")
    monkeypatch.setattr(module.ShownParts, "read", None)
    assert _write(index, out) == out
    with pytest.raises(StaleShards, match="with other settings"):
        _write(index, out, settings=ShardSettings(SIZE + 32))
    with pytest.raises(StaleShards, match="with other rows, rows_sha256"):
        _write(index, out, rows=[0, 1])


def test_nothing_else_is_overwritten(index, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="holds no shards; choose another --out"):
        _write(index, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_px": 96}, "size_px is 96, they were made for 64"),
        ({"box_ratio": 1.5}, "box_ratio is 1.5, they were made for 1.25"),
        ({"box_source": "rootnet"}, "box_source is 'rootnet', they were made for 'annotation'"),
        ({"augmentation": Augmentation(rotation_deg=90)}, "augmentation.rotation_deg is 90"),
        ({"augmentation": Augmentation(scale=0.5)}, "augmentation.scale is 0.5"),
    ],
)
def test_shards_for_other_crops_are_refused_by_name(index, tmp_path, change, message):
    out = _write(index, tmp_path / "shards")
    with pytest.raises(StaleShards, match=rf"the shards .*shards do not serve .*{message}"):
        open_shards(out, index, np.arange(2), replace(ShardSettings(SIZE), **change))


def test_the_refusal_gives_the_command_that_makes_fitting_shards(index, tmp_path):
    out = _write(index, tmp_path / "shards")
    other = ShardSettings(96, 1.5, "rootnet", Augmentation(scale=0.5, rotation_deg=40.0))
    target = ShardSettings(96, None, "spread", target="net")
    for settings, command in (
        (ShardSettings(96), "tools/prepare_data.py shards --size 96, or"),
        (ShardSettings(96, augmentation=NONE), "tools/prepare_data.py shards --size 96, or"),
        (target, "--size 96 --target net --box-source spread, or"),
        (other, "--size 96 --box-ratio 1.5 --box-source rootnet --scale 0.5 --rotation-deg 40.0"),
    ):
        with pytest.raises(StaleShards, match=command):
            open_shards(out, index, np.arange(2), settings)


def test_shards_of_another_index_are_refused_by_name(index, tmp_path, tiny_release_class):
    out = _write(index, tmp_path / "shards")
    tiny_release_class(splits=("train",), seed=1).write(tmp_path / "other")
    other = HandIndex.open(build_interhand_index(tmp_path / "other", progress=False))
    with pytest.raises(StaleShards, match="was built anew or is another one"):
        _dataset(other, out)


def test_rows_that_are_not_stored_are_named(index, tmp_path):
    out = _write(index, tmp_path / "shards", rows=[0, 1, 3])
    with pytest.raises(
        DataError, match=r"lacks 5 of the rows asked for, first row 2. .*\(tools/.* --size 64\)"
    ):
        _dataset(index, out)
    stored = open_shards(out, index, np.arange(2), ShardSettings(SIZE))
    for row in (2, 7):
        with pytest.raises(DataError, match=rf"Row {row} \(some.jpg\) is not in the shards"):
            stored.read(row, "some.jpg", (512, 334), 1.0, annotated=True)


def test_boxes_and_the_target_whose_they_are_come_together(index, tmp_path):
    for settings, boxes in ((ShardSettings(SIZE, target="x"), None), (ShardSettings(SIZE), len)):
        with pytest.raises(ValueError, match="do not go together: a target's shard_plan gives"):
            write_shards(index, [0], tmp_path / "out", settings, boxes=boxes)
    assert not (tmp_path / "out").exists()


def test_damage_is_noticed(index, tmp_path):
    out = _write(index, tmp_path / "shards")
    path, settings = out / "00001.bytes", ShardSettings(SIZE)
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
    open_shards(out, index, np.arange(2), settings)
    with pytest.raises(DataError, match="00001.bytes changed since"):
        open_shards(out, index, np.arange(2), settings, verify=True)
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="is damaged: a file is cut off"):
        open_shards(out, index, np.arange(2), settings)
    path.unlink()
    with pytest.raises(StaleShards, match="00001.bytes are gone"):
        open_shards(out, index, np.arange(2), settings)


def test_what_is_not_shards(index, tmp_path):
    with pytest.raises(DataError, match="holds no shards"):
        open_shards(tmp_path, index, np.arange(2), ShardSettings(SIZE))
    out = _write(index, tmp_path / "shards")
    card = json.loads((out / "shards.json").read_text())
    (out / "shards.json").write_text(json.dumps({**card, "format": 9}))
    with pytest.raises(StaleShards, match="shard format 9, this version reads 2"):
        open_shards(out, index, np.arange(2), ShardSettings(SIZE))
