"""EANet reads the shards of all loaders, whatever its boxes are."""

import pickle

import numpy as np
import pytest

from adapters.eanet.crop import EanetAugmentation
from adapters.eanet.dataset import EanetDataset
from eanet import CORRECT, UPSTREAM
from gesture_pretrain.data.images import ImageFiles, write_shards
from gesture_pretrain.data.samples.augmentation import Augmentation

SIZE_PX = 256
WIDE = Augmentation(scale=0.3, rotation_deg=75, translation=0.2, colour=0.2, flip=0.5)


@pytest.fixture
def make(jpeg_index, recipes):
    def build(split="train", **options):
        options = {"size_px": SIZE_PX, "hands": "all", "announce": None, **options}
        rows = jpeg_index.select(split=split)
        return EanetDataset(jpeg_index, rows, None, mano=recipes.mano(), **options)

    return build


@pytest.fixture(scope="module")
def shards(jpeg_index, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards") / "out"
    return write_shards(jpeg_index, range(len(jpeg_index)), out, size_px=SIZE_PX, progress=False)


@pytest.mark.parametrize("image_as", ["uint8", "float"])
@pytest.mark.parametrize("augmentation", [None, WIDE, EanetAugmentation()], ids=str)
@pytest.mark.parametrize(
    ("split", "box_source", "quirks"),
    [
        ("train", "joints", CORRECT),
        ("train", "joints", UPSTREAM),
        ("test", "joints", CORRECT),
        ("test", "rootnet", CORRECT),
    ],
)
def test_samples_are_those_of_the_files(
    make, shards, split, box_source, quirks, augmentation, image_as
):
    """Also of boxes that reach out of the image, that are stretched, and of one outside of it.

    The images are noise: rounding of positions changes a value by up to two levels of 255.
    """
    options = {"augmentation": augmentation, "seed": 3, "image_as": image_as, "quirks": quirks}
    stored, files = (
        make(split, box_source=box_source, shards=source, **options) for source in (shards, None)
    )
    levels = 255 if image_as == "float" else 1
    for key in ((epoch, position) for epoch in range(3) for position in range(len(files))):
        ours, theirs = stored[key], files[key]
        for field, one, other in zip(ours._fields[1:], ours[1:], theirs[1:], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=field)
        difference = (ours.image.double() - theirs.image.double()).abs() * levels
        assert difference.max() <= 2 and (difference >= 1).double().mean() < 0.02


def test_a_pickled_loader_opens_its_shards_again(make, shards):
    stored = make(shards=shards, augmentation=WIDE)
    content = pickle.dumps(stored.images)
    assert len(content) < 20_000
    expected = stored[4, 2].image
    stored.images = pickle.loads(content)
    np.testing.assert_array_equal(stored[4, 2].image, expected)


def test_only_crops_beyond_the_region_read_an_image_file(make, shards, monkeypatch):
    """The region is three times the annotated box."""
    stored, files = make(shards=shards, augmentation=EanetAugmentation()), []
    read = ImageFiles.read
    monkeypatch.setattr(
        ImageFiles, "read", lambda self, *given: files.append(given[-1]) or read(self, *given)
    )
    keys = [(epoch, position) for epoch in range(10) for position in range(len(stored))]
    for key in keys:
        assert stored[key].image.any()
    assert 0 < len(files) < 0.7 * len(keys)
    assert all(np.any(np.abs(bounds - [165, 250, 165, 250]) > 210) for bounds in files)
