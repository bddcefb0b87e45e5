"""Crops made on the device are those of the loader, in all data sets."""

import json
import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from adapters.eanet.dataset import EanetDataset
from adapters.eanet.shards import shard_plan
from adapters.eanet.target import build_eanet_dataset
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.augmentation import Augmentation, crop_maps
from gesture_pretrain.data.samples.device_crop import (
    UncroppedImage,
    collate_images,
    collate_samples,
    crop_batch,
    with_crops,
)
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.picture import Picture
from gesture_pretrain.data.samples.pose_dataset import PoseDataset
from gesture_pretrain.data.samples.sample_image import cropped_image, shown_part, uncropped_image
from gesture_pretrain.data.shards.card import ShardSettings
from gesture_pretrain.data.shards.shards import write_shards
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.taxonomy import Taxonomy

# Both interpolate in float32 and round to bytes: a sum near a half may round to the other side.
# A colour gain of up to 1.5 then makes one grey level two.
LEVELS, LEVELS_COLOURED, SHARE = 1, 2, 0.01

# -- single crops ----------------------------------------------------------------------------------


def noise(height, width, seed=0):
    """Hardest edges."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pictures():
    smooth = cv2.resize(noise(90, 140)[:6, :9], (140, 90), interpolation=cv2.INTER_CUBIC)
    reduced = Picture(noise(90, 140), step_px=2.0, origin_px=(10.5, 4.5))
    return [Picture(noise(90, 140)), Picture(smooth), reduced]


def random_crops(count, size_px, colour=0.5, seed=1):
    """Maps and gains of crops that show pictures of 140 x 90 px, or parts of them, or nothing."""
    random = np.random.default_rng(seed)
    motions = Augmentation(scale=0.3, rotation_deg=180, translation=0.4, colour=colour)
    for k in range(count):
        motion = motions.draw(random)
        side = random.uniform(30, 160)
        box = np.array([[*random.uniform(-40, 90, 2), side, side]])
        yield crop_maps(box, [motion], [bool(k % 2)], size_px)[0][0], motion.gain_rgb


@pytest.mark.parametrize("colour, levels", [(0.0, LEVELS), (0.5, LEVELS_COLOURED)])
@pytest.mark.parametrize("picture", pictures(), ids=["noise", "smooth", "reduced"])
def test_pixels_are_those_of_opencv(picture, colour, levels):
    for affine, gain in random_crops(20, 48, colour):
        expected = cropped_image(picture, affine, 48, gain).int()
        image = uncropped_image(picture, affine, 48, gain)
        assert image.shape == expected.shape
        apart = (expected - crop_batch(*collate_images([image]))[0]).abs()
        assert apart.max() <= levels and (apart > 0).float().mean() <= SHARE


def test_a_crop_does_not_depend_on_the_others_of_its_batch():
    large = Picture(noise(700, 900))
    images = [uncropped_image(pictures()[0], *crop) for crop in with_size(random_crops(6, 48))]
    images += [uncropped_image(large, *crop) for crop in with_size(random_crops(1, 48))]
    wide = np.array([[0.05, 0, 1.0], [0, 0.06, 2]])  # shows the whole large picture
    together = collate_images([*images, uncropped_image(large, wide, 48, (1.0, 1.0, 1.0))])
    assert together.picture.shape[-2:] == (704, 960)  # multiples of 64
    crops = crop_batch(*together)
    for image, crop in zip(images, crops, strict=False):
        alone = collate_images([image])
        assert alone.picture.shape[-1] < 900 and torch.equal(crop_batch(*alone)[0], crop)


def with_size(crops, size_px=48):
    return [(affine, size_px, gain) for affine, gain in crops]


def test_a_crop_of_a_very_large_picture_finds_its_pixels():
    """Places were counted in float32, which has no whole numbers above 2**24."""
    pictures = torch.zeros(1, 3, 4100, 4160, dtype=torch.uint8)
    corner = pictures[..., -16:, -16:]
    corner += torch.from_numpy(noise(16, 16)).permute(2, 0, 1)
    to_corner = torch.tensor([[[1.0, 0, 4160 - 16], [0, 1, 4100 - 16]]])
    assert torch.equal(crop_batch(pictures, to_corner, torch.ones(1, 3), 16), corner)


def test_a_crop_beside_the_picture_is_black_and_a_small_part_is_sent():
    picture = pictures()[0]
    beside = crop_maps(np.array([[900.0, 900, 20, 20]]), [Augmentation().draw(
        np.random.default_rng(0))], [False], 16)[0][0]  # fmt: skip
    assert crop_batch(*collate_images([uncropped_image(picture, beside, 16, (1, 1, 1))])).max() == 0
    corner = np.array([[2.0, 0, -20], [0, 2.0, -30]])  # shows 8 x 8 pixels from (10, 15)
    part, back = shown_part(picture, corner, 16)
    assert part.shape == (13, 13, 3)  # 8.5 px and what interpolation and rounding look at
    assert back @ [0, 0, 1] == pytest.approx([2, 2])


def test_reduced_precision_does_not_move_a_crop():
    images = [uncropped_image(pictures()[0], *crop) for crop in with_size(random_crops(3, 48))]
    expected = crop_batch(*collate_images(images))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crop_batch(*collate_images(images)), expected)


# -- data sets -------------------------------------------------------------------------------------

SIZE_PX = 40
WIDTH, HEIGHT = 100, 128  # portrait; what was right of it is cut off
MOTION = Augmentation(scale=0.3, rotation_deg=30, translation=0.1, colour=0.5)
TARGETS = ("gesture", "pose", "token_fusion", "eanet")


def cut_off_the_right(root):
    """Makes pictures portrait, so that hands, boxes and joints are partly outside of them."""
    for path in root.rglob("*.jpg"):
        picture = cv2.imread(str(path))
        assert picture.shape == (HEIGHT, HEIGHT, 3)
        cv2.imwrite(str(path), picture[:, :WIDTH])
    for path in root.rglob("*_data.json"):
        content = json.loads(path.read_text())
        for image in content["images"]:
            image["width"] = WIDTH
        path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> HandIndex:
    root = tmp_path_factory.mktemp("crops") / "data"
    write_synthetic(
        root,
        images_per_split={"train": 16},
        size_px=HEIGHT,
        subjects={"train": 2},
        workers=0,
        progress=False,
    )
    cut_off_the_right(root)
    return HandIndex.open(build_interhand_index(root, progress=False))


@pytest.fixture(scope="module")
def hands():
    return {side: load_hand_model(side, "open") for side in ("right", "left")}


@pytest.fixture(scope="module")
def build(index, hands):
    def build(target, size_px=SIZE_PX, **options):
        motion = replace(MOTION, flip=0.0 if target == "token_fusion" else 0.5)
        options = {"augmentation": motion, "seed": 3, "announce": None, **options}
        if target != "gesture":
            options["hand_models"] = hands
        if target == "token_fusion":
            options["mirror_left"] = True
        if target == "eanet":
            options.setdefault("grid", 1)
        made = {"gesture": GestureDataset, "eanet": build_eanet_dataset}.get(target, PoseDataset)
        return made(index, range(len(index)), Taxonomy.load("interhand26m"), size_px, **options)

    return build


@pytest.fixture(scope="module")
def shards(index, tmp_path_factory):
    """Folders of shards: for EANet's crops, and for those of all others."""
    limits, rows = replace(MOTION, flip=0.5), range(len(index))
    out = tmp_path_factory.mktemp("shards")
    others = out / "others"
    write_shards(index, rows, others, ShardSettings(SIZE_PX, augmentation=limits), progress=False)
    plan = shard_plan(index, rows, SIZE_PX, limits=limits)
    write_shards(index, plan.rows, out / "eanet", plan.settings, boxes=plan.boxes, progress=False)
    return {target: out / "eanet" if target == "eanet" else others for target in TARGETS}


def collated(dataset, epochs=2):
    keys = [(epoch, position) for epoch in range(epochs) for position in range(len(dataset))]
    return collate_samples(dataset.__getitems__(keys))


def assert_equal_but_for_rounded_pixels(batch, expected):
    assert type(batch) is type(expected)
    assert batch.image.shape == expected.image.shape and batch.image.dtype == torch.uint8
    apart = (batch.image.int() - expected.image.int()).abs()
    assert apart.max() <= LEVELS_COLOURED and (apart > 0).float().mean() <= SHARE
    for name, value, other in zip(batch._fields, batch, expected, strict=True):
        if name != "image":
            torch.testing.assert_close(value, other, rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_crops_of_the_device_are_those_of_the_loader(build, shards, target, stored):
    options = {"shards": shards[target]} if stored else {}
    expected = collated(build(target, **options))
    uncropped = collated(build(target, crop_on="device", **options))
    assert isinstance(uncropped.image, UncroppedImage)
    assert uncropped.image.shape == expected.image.shape
    assert_equal_but_for_rounded_pixels(with_crops(uncropped), expected)
    # what the crops are to have shown
    assert expected.image.flatten(1).amax(1).min() > 0
    assert (expected.image[:, :, :, [0, -1]] == 0).all(1).any()  # a picture ends in a crop
    if target != "gesture":
        assert expected.mirrored.any() and not expected.mirrored.all()
        assert expected.hand.unique().tolist() == ([0] if target == "token_fusion" else [0, 1])


@pytest.mark.parametrize("target", TARGETS)
def test_workers_collate_and_what_is_cropped_already_is_left(build, target):
    dataset = build(target, crop_on="device")
    assert len(pickle.dumps(dataset)) > 0  # workers may be spawned
    part = Subset(dataset, range(6))
    loader = DataLoader(part, batch_size=3, num_workers=1, collate_fn=collate_samples)
    first, _ = loader
    batch = with_crops(first)
    assert batch.image.shape == (3, 3, SIZE_PX, SIZE_PX)
    assert_equal_but_for_rounded_pixels(
        batch, collate_samples([build(target)[position] for position in range(3)])
    )
    assert with_crops(batch) is batch


@pytest.mark.parametrize("target", TARGETS)
def test_unknown_places_to_crop_are_named(build, target):
    with pytest.raises(ValueError, match="crop_on is 'gpu'; possible: loader, device"):
        build(target, crop_on="gpu")


def test_eanet_crops_on_the_device_are_of_bytes(build):
    with pytest.raises(ValueError, match="image_as is 'float'. Use crop_on='loader'"):
        build("eanet", crop_on="device", image_as="float")
    dataset = build("eanet", image_as="float")
    assert isinstance(dataset, EanetDataset) and dataset[0].image.dtype == torch.float32


def test_other_batches_are_collated_as_torch_does():
    batch = collate_samples([{"image": torch.ones(2)}, {"image": torch.zeros(2)}])
    assert torch.equal(batch["image"], torch.tensor([[1.0, 1], [0, 0]]))
    assert with_crops(batch) is batch
