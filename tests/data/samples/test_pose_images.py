"""Pose samples are the same whether their pixels come from files, reduced decoding or shards."""

import numpy as np
import pytest
import torch

from gesture_pretrain.data.images import ImageFiles, write_shards
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.data.samples.pose_dataset import PoseDataset
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.taxonomy import Taxonomy

SIZE_PX = 96  # images are of 128 px: no crop shows twice as many pixels as it has
COUNT = 12
MOTION = Augmentation(scale=0.2, rotation_deg=40, translation=0.1, colour=0.2)


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> HandIndex:
    root = tmp_path_factory.mktemp("images") / "data"
    write_synthetic(
        root,
        images_per_split={"train": COUNT},
        size_px=128,
        subjects={"train": 2},
        workers=0,
        progress=False,
    )
    return HandIndex.open(build_interhand_index(root, progress=False))


@pytest.fixture(scope="module")
def dataset(index):
    hands = {side: load_hand_model(side, "open") for side in ("right", "left")}

    def build(size_px=SIZE_PX, rows=range(COUNT), **options):
        options = {"hand_models": hands, "announce": None, **options}
        return PoseDataset(index, rows, Taxonomy.load("interhand26m"), size_px, **options)

    return build


@pytest.fixture(scope="module")
def shards(index, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards") / "out"
    return write_shards(index, range(COUNT), out, size_px=SIZE_PX, progress=False)


def pairs(one, other, epochs=3):
    keys = [(epoch, position) for epoch in range(epochs) for position in range(len(one))]
    return [(one[key], other[key]) for key in keys]


def assert_all_but_pixels_equal(one, other):
    for field, a, b in zip(one._fields[1:], one[1:], other[1:], strict=True):
        assert torch.equal(torch.as_tensor(a), torch.as_tensor(b)), field


ARMS = [
    {},
    {"augmentation": Augmentation(0.2, 40, 0.1, 0.2, flip=0.5), "seed": 3},
    {"augmentation": MOTION, "seed": 4, "mirror_left": True},
]


@pytest.mark.parametrize("options", ARMS, ids=["plain", "flipped", "mirror_left"])
def test_shards_give_the_samples_of_the_files(dataset, shards, options):
    """To the tolerance of Stage 1's loader, for its reasons: see test_shards.py."""
    mirrored = set()
    for stored, file in pairs(dataset(shards=shards, **options), dataset(**options)):
        assert_all_but_pixels_equal(stored, file)
        difference = (stored.image.int() - file.image.int()).abs()
        assert difference.max() <= 2 and (difference > 0).float().mean() < 0.02
        mirrored.add(stored.mirrored)
    assert mirrored == ({False, True} if options else {False})


@pytest.mark.parametrize("options", ARMS, ids=["plain", "flipped", "mirror_left"])
def test_a_reduced_decode_changes_pixels_only_and_shows_the_same_place(
    dataset, options, monkeypatch
):
    read, steps = ImageFiles.read, set()

    def noted(self, *arguments, **keywords):
        image = read(self, *arguments, **keywords)
        steps.add((self.reduced_decode, image.step_px > 1))
        return image

    monkeypatch.setattr(ImageFiles, "read", noted)
    near, far = [], []
    for reduced, whole in pairs(
        dataset(24, **options), dataset(24, reduced_decode=False, **options)
    ):
        assert_all_but_pixels_equal(reduced, whole)
        one, other = reduced.image.float(), whole.image.float()
        near.append((one - other).abs().mean())
        far.append((one[:, :, 1:] - other[:, :, :-1]).abs().mean())
    assert (True, True) in steps and (False, True) not in steps
    # a place one pixel of the crop aside differs more than averaging does
    assert np.mean(near) < 0.5 * np.mean(far)


def test_an_image_of_another_size_than_annotated_is_refused(dataset, monkeypatch):
    small = np.zeros((60, 80, 3), np.uint8)
    monkeypatch.setattr("gesture_pretrain.data.images.files.read_image_rgb", lambda *_, **__: small)
    with pytest.raises(DataError, match="row 3 is 80 x 60 px, but its annotation says 128 x 128"):
        dataset()[3]
