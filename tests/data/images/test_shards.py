"""Shards give the samples of the image files, are made in parts, and never change a sample."""

import json
import pickle
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from gesture_pretrain.data.images import ImageFiles, ImagePart, Shards, StaleShards, write_shards
from gesture_pretrain.data.images import shards as module
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.files import DiskFull
from gesture_pretrain.taxonomy import Taxonomy

SIZE = 64
TAXONOMY = Taxonomy.load("interhand26m")
IMREAD = "gesture_pretrain.data.images.files.decode_image"


@pytest.fixture(scope="module")
def index(tmp_path_factory, tiny_release_class):
    """Portrait and landscape images, 334 x 512 px, smooth to the scale of a few pixels."""
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
        noise = random.integers(0, 255, (height // 4, width // 4, 3), np.uint8)
        cv2.imwrite(str(path), cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC))
    return index


@pytest.fixture(autouse=True)
def three_rows_per_shard(monkeypatch):
    monkeypatch.setattr(module, "_ROWS_PER_SHARD", 3)


def _write(index, out, rows=None, size_px=SIZE, **options):
    rows = range(len(index)) if rows is None else rows
    return write_shards(index, rows, out, size_px=size_px, progress=False, **options)


def _dataset(index, shards=None, size_px=SIZE, **options):
    options = {"augmentation": Augmentation(), "seed": 3, "announce": None, **options}
    return GestureDataset(index, range(len(index)), TAXONOMY, size_px, shards=shards, **options)


def _pairs(one, other):
    keys = [(epoch, position) for epoch in range(6) for position in range(len(one))]
    return list(zip(one.__getitems__(keys), other.__getitems__(keys), strict=True))


def _assert_all_but_pixels_equal(ours, theirs):
    for field, one, other in zip(ours._fields[1:], ours[1:], theirs[1:], strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other)), field


def test_crops_at_the_stored_scale_differ_by_rounding_alone(index, tmp_path, monkeypatch):
    """OpenCV rounds positions to 24 bits, counted from the corner of what is stored."""
    stored = _dataset(index, _write(index, tmp_path / "shards", size_px=512), size_px=512)
    for ours, theirs in _pairs(stored, _dataset(index, size_px=512)):
        _assert_all_but_pixels_equal(ours, theirs)
        difference = (ours.image.int() - theirs.image.int()).abs()
        assert difference.max() <= 2 and (difference > 0).float().mean() < 0.02
    monkeypatch.setattr(IMREAD, None)
    assert stored[5, 1].image.any()


def test_coarser_crops_are_averaged_from_the_stored_region(index, tmp_path):
    """Where a JPEG decoder would average, values differ (colours most); places do not."""
    out = _write(index, tmp_path / "shards")
    steps = np.concatenate([np.load(path)["step"] for path in sorted(out.glob("*.npy"))])
    assert set(steps.tolist()) == {1, 2}
    for ours, theirs in _pairs(_dataset(index, out), _dataset(index)):
        _assert_all_but_pixels_equal(ours, theirs)
        one, other = (sample.image.float().mean(dim=0) for sample in (ours, theirs))
        aside = (one[:, 1:] - other[:, :-1]).abs().mean()
        assert (one - other).abs().mean() < 0.2 * aside


@pytest.mark.parametrize(
    "written", [{"ratio": 1.0}, {"size_px": 24}, {"rows": [0, 1, 3]}], ids=lambda w: [*w][0]
)
def test_what_shards_lack_is_read_from_the_files(index, tmp_path, written, monkeypatch):
    """Too small a region, too coarse pixels, or too few rows: the samples stay the same."""
    out = _write(index, tmp_path / "shards", **written)
    stored, files = _dataset(index, out, 512), _dataset(index, size_px=512)
    for ours, theirs in _pairs(stored, files):
        _assert_all_but_pixels_equal(ours, theirs)
        assert (ours.image.int() - theirs.image.int()).abs().max() <= 2
    monkeypatch.setattr(IMREAD, None)
    with pytest.raises(TypeError, match="not callable"):
        [stored[5, position] for position in range(len(index))]


def test_the_number_of_stored_images_is_announced(index, tmp_path):
    said = []
    _dataset(index, _write(index, tmp_path / "shards", rows=[0, 1, 3]), announce=said.append)
    assert f"hold 3 of {len(index)} images" in said[0]


def test_whole_decodes_are_served_too(index, tmp_path):
    out = _write(index, tmp_path / "shards", size_px=512)
    whole = _dataset(index, size_px=48, reduced_decode=False)
    for ours, theirs in _pairs(_dataset(index, out, 48, reduced_decode=False), whole):
        assert (ours.image.int() - theirs.image.int()).abs().max() <= 2


def test_a_pickled_dataset_opens_its_shards_again(index, tmp_path):
    dataset = _dataset(index, _write(index, tmp_path / "shards"))
    content = pickle.dumps(dataset)
    assert len(content) < 20_000
    again = pickle.loads(content)
    assert isinstance(again.images.source, Shards)
    assert torch.equal(again[2, 1].image, dataset[2, 1].image)


def test_an_interrupted_call_is_resumed(index, tmp_path, monkeypatch):
    out, whole = tmp_path / "shards", _write(index, tmp_path / "whole")
    decode = module._decode

    def interrupted(index, size_px, ratio, row):
        if row == 4:
            raise KeyboardInterrupt
        return decode(index, size_px, ratio, row)

    monkeypatch.setattr(module, "_decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _write(index, out)
    with pytest.raises(DataError, match="is not finished"):
        _dataset(index, out)
    first = (out / "00000.bytes").stat().st_mtime_ns
    monkeypatch.setattr(module, "_decode", decode)
    _write(index, out)
    assert (out / "00000.bytes").stat().st_mtime_ns == first
    names = sorted(path.name for path in whole.iterdir())
    assert names == sorted(path.name for path in out.iterdir())
    assert all((whole / name).read_bytes() == (out / name).read_bytes() for name in names)


@pytest.mark.parametrize("size_px", [SIZE, 512])
def test_shards_that_cannot_fit_are_refused_before_decoding(index, tmp_path, monkeypatch, size_px):
    whole = _write(index, tmp_path / "whole", size_px=size_px)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull, match="shards .*needed") as caught:
        _write(index, tmp_path / "shards", size_px=size_px)
    written = sum(path.stat().st_size for path in whole.glob("*.bytes"))
    assert 0.8 * written < caught.value.bytes_needed <= written
    assert not (tmp_path / "shards").exists()


def test_finished_shards_are_left_alone(index, tmp_path, monkeypatch):
    out = _write(index, tmp_path / "shards")
    monkeypatch.setattr(module, "_decode", None)
    assert _write(index, out) == out
    with pytest.raises(StaleShards, match="with other ratio, size_px"):
        _write(index, out, size_px=SIZE + 32, ratio=2.0)
    with pytest.raises(StaleShards, match="with other rows"):
        _write(index, out, rows=[0, 1])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="holds no shards"):
        _write(index, tmp_path / "mine")


def test_shards_of_another_index_are_refused(index, tmp_path, tiny_release_class):
    out = _write(index, tmp_path / "shards")
    tiny_release_class(splits=("train",), seed=1).write(tmp_path / "other")
    other = HandIndex.open(build_interhand_index(tmp_path / "other", progress=False))
    with pytest.raises(StaleShards, match="another index"):
        _dataset(other, out)


def test_damaged_shards_are_refused(index, tmp_path):
    def opened(folder):
        return Shards(folder, index, ImageFiles())

    with pytest.raises(DataError, match="holds no shards"):
        opened(tmp_path)
    out = _write(index, tmp_path / "shards")
    path, card = out / "00001.bytes", json.loads((out / "shards.json").read_text())
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match="00001.bytes is missing or incomplete"):
        opened(out)
    path.unlink()
    with pytest.raises(DataError, match="00001.bytes is missing or incomplete"):
        opened(out)
    (out / "shards.json").write_text(json.dumps({**card, "format": 9}))
    with pytest.raises(StaleShards, match="shard format 9"):
        opened(out)


@pytest.mark.parametrize("bounds", [[-30, -30, 5, 5], [300, 300, 900, 900], [100, 60, 101, 61]])
@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_averages_of_a_region_are_those_of_the_whole_image(bounds, step):
    """Also at and beyond the border, where the last averages are of fewer pixels."""
    image = np.random.default_rng(0).integers(0, 255, (333, 517, 3), np.uint8)
    part = module._cut(ImagePart(image), np.array(bounds, float)).averaged(step)
    left, top = (int((origin - (step - 1) / 2) / step) for origin in part.origin_px)
    height, width = part.image_rgb.shape[:2]
    whole = module.averaged(image, step)[top : top + height, left : left + width]
    np.testing.assert_array_equal(part.image_rgb, whole)
