"""The loader against the published one on eight synthetic images, and what it promises beside."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from adapters.eanet.crop import EanetAugmentation
from adapters.eanet.dataset import EanetDataset
from adapters.eanet.mano import mano_hands
from adapters.eanet.rows import box_of, captured_hands, usable_rows
from eanet import UPSTREAM, Quirks
from gesture_pretrain.data.images import read_image_rgb, reduced_image
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.samples.augmentation import Motion
from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.geometry.crop import apply_affine
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.skeleton import MANO21_FROM_INTERHAND

# The index stores positions as float32 mm (3e-5), as upstream computes them; so do its affine maps.
PIXELS = 2e-3
CELLS = 2e-4
METRES = 2e-6

CASES = [("train", 0), ("train", 1), ("train", 2), ("train", 3), ("test", 0)]


def make(index, recipes, split="train", **options) -> EanetDataset:
    options = {"hands": "all", "announce": None, "image_as": "float", "with_mesh": True} | options
    rows = index.select(split=split)
    return EanetDataset(index, rows, None, mano=recipes.mano(), **options)


@pytest.fixture(scope="module")
def batches(tiny_index, tiny_golden, recipes):
    """Our samples of every reference case, collated."""
    found = {}
    for split, j in CASES:
        source = "rootnet" if split == "test" else "joints"
        dataset = make(tiny_index, recipes, split, quirks=UPSTREAM, box_source=source)
        motion = Motion()
        if split == "train":
            scale, turn, *gains, flip = tiny_golden["aug"][j].tolist()
            motion = Motion(scale, turn, flip=bool(flip), gain_rgb=tuple(gains))
        samples = [dataset.sample(position, motion) for position in range(len(dataset))]
        found[split, j] = default_collate(samples)
    return found


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_same_images_are_used(tiny_index, tiny_golden, split):
    selection = usable_rows(tiny_index, tiny_index.select(split=split))
    names = [tiny_index.image_path(row).name for row in selection.rows]
    assert names == tiny_golden[f"{split}.img_names"].tolist()
    assert selection.dropped["without joint in view"] == 1
    assert selection.describe() == "EANet uses 7 images; left out: 1 without joint in view"


@pytest.mark.parametrize("split", ["train", "test"])
def test_records_before_augmentation_are_as_published(tiny_index, tiny_golden, split):
    golden = {name: tiny_golden[f"{split}.list.{name}"] for name in _LISTED}
    order = list(MANO21_FROM_INTERHAND)
    source = "rootnet" if split == "test" else "joints"
    for k, row in enumerate(usable_rows(tiny_index, tiny_index.select(split=split)).rows):
        record = tiny_index.record(row)
        hands = captured_hands(record)
        ours = {name: golden[name][k].reshape(2, 21, -1)[:, order] for name in _LISTED[1:]}
        box = box_of(tiny_index, record, source, box_bug=True)
        np.testing.assert_allclose(box, golden["bbox"][k], rtol=0, atol=PIXELS)
        np.testing.assert_array_equal(hands.valid[..., None], ours["joint_valid"] > 0)
        np.testing.assert_array_equal(hands.in_view[..., None], ours["joint_trunc"] > 0)
        np.testing.assert_allclose(hands.joints_cam_mm, ours["joint_cam"], rtol=0, atol=2e-3)
        np.testing.assert_allclose(
            hands.joints_px[hands.valid], ours["joint_img"][hands.valid][:, :2], rtol=0, atol=PIXELS
        )
        assert record.hand == tiny_golden[f"{split}.list.hand_type"][k]


_LISTED = ("bbox", "joint_img", "joint_cam", "joint_valid", "joint_trunc")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("name", "mask", "tolerance"),
    [
        ("joint_img", "joint_valid", CELLS),
        ("mano_joint_img", "mano_joint_valid", CELLS),
        ("joint_cam", "joint_valid", METRES),
        ("mano_joint_cam", "mano_joint_valid", METRES),
        ("rel_trans", "rel_trans_valid", METRES),
        ("mano_shape", "mano_shape_valid", 1e-6),
    ],
)
def test_targets_are_as_published(batches, tiny_golden, case, name, mask, tolerance):
    split, j = case
    batch, expected = batches[case], tiny_golden[f"{split}.a{j}.t.{name}"]
    known = np.broadcast_to(tiny_golden[f"{split}.a{j}.m.{mask}"] > 0, expected.shape)
    found = getattr(batch, name).numpy()
    np.testing.assert_allclose(found[known], expected[known], rtol=0, atol=tolerance)
    assert known.any()
    if name != "rel_trans":
        assert not found[~known].any()  # what is not known is 0


@pytest.mark.parametrize("case", CASES)
def test_poses_are_as_published(batches, tiny_golden, case):
    split, j = case
    expected = tiny_golden[f"{split}.a{j}.t.mano_pose"].reshape(-1, 2, 16, 3)
    found = batches[case].mano_pose.numpy().reshape(-1, 2, 16, 3)
    np.testing.assert_allclose(found[:, :, 1:], expected[:, :, 1:], rtol=0, atol=1e-6)
    # compared as rotations: near half a turn the vector may change its sign
    np.testing.assert_allclose(
        rodrigues(found[:, :, 0]), rodrigues(expected[:, :, 0]), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "name",
    [
        "joint_valid",
        "joint_trunc",
        "mano_joint_trunc",
        "mano_joint_valid",
        "rel_trans_valid",
        "mano_param_valid",
        "mano_shape_valid",
        "is_3D",
    ],
)
def test_flags_are_as_published(batches, tiny_golden, case, name):
    split, j = case
    found = getattr(batches[case], name)
    np.testing.assert_array_equal(found, tiny_golden[f"{split}.a{j}.m.{name}"])
    assert found.dtype == torch.float32


@pytest.mark.parametrize("case", CASES)
def test_crops_and_meshes_are_as_published(batches, tiny_golden, case):
    (split, j), batch = case, batches[case]
    golden = {
        name: tiny_golden[f"{split}.a{j}.{name}"]
        for name in ("t.mano_mesh_cam", "m.bb2img_trans", "m.do_flip", "img_32th")
    }
    np.testing.assert_allclose(
        batch.mano_mesh_cam[:, ::389], golden["t.mano_mesh_cam"], rtol=0, atol=METRES
    )
    np.testing.assert_array_equal(batch.mirrored, golden["m.do_flip"])
    to_image = batch.image_from_crop.numpy().astype(np.float64)
    to_image[batch.mirrored.numpy(), 0] *= -1  # upstream's map leads into the mirrored image
    to_image[batch.mirrored.numpy(), 0, 2] += 334 - 1
    np.testing.assert_allclose(to_image, golden["m.bb2img_trans"], rtol=0, atol=PIXELS)
    difference = np.abs(batch.image.numpy()[:, :, 16::32, 16::32] - golden["img_32th"])
    assert difference.mean() < 0.1 / 255


def test_the_references_tell_hands_poses_and_mirrors_apart(batches, tiny_golden):
    """The tolerances above would not pass another hand, another order or a missing turn."""
    expected = tiny_golden["train.a1.t.joint_img"]
    found = batches["train", 1].joint_img.numpy()
    two = tiny_golden["train.list.hand_type"] == "interacting"
    swapped = np.concatenate([found[:, 21:], found[:, :21]], axis=1)
    assert np.abs(swapped[two] - expected[two]).max() > 1000 * CELLS
    assert np.abs(batches["train", 0].joint_img.numpy() - expected)[two].max() > 1000 * CELLS


def test_the_camera_of_the_crop_projects_its_joints(tiny_index, recipes):
    dataset = make(tiny_index, recipes)
    sample = dataset.sample(1, Motion(1.1, 25.0, flip=True))
    depth = sample.wrist_depth_mm.numpy()
    side = int(np.flatnonzero(~np.isnan(depth))[0])
    wrist = _wrist_of_crop(sample, side)
    joints = sample.joint_cam.numpy().reshape(2, 21, 3)[side] * 1000 + wrist
    rays = np.column_stack([joints[:, :2] / joints[:, 2:], np.ones(21)])
    pixels = rays @ sample.crop_camera.numpy().T
    expected = sample.joint_img.numpy().reshape(2, 21, 3)[side, :, :2] * 32
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=0.02)  # float32 of depths near 1 m


def _wrist_of_crop(sample, side: int) -> np.ndarray:
    """The wrist (3,) in mm, from its pixel and depth."""
    camera = sample.crop_camera.numpy().astype(np.float64)
    pixel = sample.joint_img.numpy().reshape(2, 21, 3)[side, 0, :2] * 32
    ray = np.linalg.solve(camera[:, :2], pixel - camera[:, 2])
    return np.append(ray, 1) * float(sample.wrist_depth_mm[side])


def test_crop_pixels_lead_back_to_the_image(tiny_index, recipes):
    dataset = make(tiny_index, recipes)
    sample = dataset.sample(0, Motion(0.9, -20.0, flip=True))
    hands = captured_hands(tiny_index.record(int(dataset.rows[0])))
    crop_px = sample.joint_img.numpy().reshape(2, 21, 3)[1, :, :2] * 32  # a right hand, mirrored
    found = apply_affine(crop_px, sample.image_from_crop.numpy())
    np.testing.assert_allclose(found, hands.joints_px[0], rtol=0, atol=2e-3)
    assert (sample.hand, sample.mirrored) == (1, True)


def test_exactly_moved_meshes_differ_from_the_published_way(tiny_index, recipes):
    """The stand-in hand shows the difference; by default the mesh itself is moved."""
    exact, published = (
        make(tiny_index, recipes, quirks=quirks).sample(0, Motion())
        for quirks in (Quirks(), Quirks(posed_wrist_camera=True))
    )
    assert torch.equal(exact.mano_pose, published.mano_pose)
    assert (exact.mano_joint_cam - published.mano_joint_cam).abs().max() > 1e-3


def test_the_default_box_of_two_hands_is_not_the_published_one(tiny_index):
    rows = usable_rows(tiny_index, tiny_index.select(split="train")).rows
    records = [tiny_index.record(row) for row in rows]
    differ = [
        not np.allclose(
            box_of(tiny_index, record, "joints"),
            box_of(tiny_index, record, "joints", box_bug=True),
        )
        for record in records
    ]
    assert any(differ)
    assert not any(d for d, record in zip(differ, records, strict=True) if record.hand == "right")


def test_a_small_crop_has_a_small_grid(tiny_index, recipes):
    small = make(tiny_index, recipes, size_px=96).sample(0, Motion())
    large = make(tiny_index, recipes).sample(0, Motion())
    assert small.image.shape == (3, 96, 96)
    # the same point is the same share of the crop, and depth has 8 cells in either
    shares = [small.joint_img / torch.tensor([3, 3, 8]), large.joint_img / 8]
    np.testing.assert_allclose(*shares, rtol=0, atol=CELLS)


def test_bytes_are_the_floats_in_whole_grey_levels(tiny_index, recipes):
    motion = Motion(1.0, 10.0, gain_rgb=(1.2, 1.0, 0.8))
    exact = make(tiny_index, recipes).sample(0, motion).image
    rounded = make(tiny_index, recipes, image_as="uint8").sample(0, motion).image
    assert rounded.dtype == torch.uint8 and exact.dtype == torch.float32
    # half a level before the gain, half a level after it
    assert (rounded - 255 * exact).abs().max() <= 0.5 * 1.2 + 0.5 + 0.02


@pytest.mark.parametrize("image_as", ["uint8", "float"])
def test_crops_of_reduced_images_show_the_same(tiny_index, recipes, image_as):
    """Averages of 2 x 2 pixels, in their place: shown by a crop of half as many pixels."""
    whole, reduced = (
        make(tiny_index, recipes, size_px=96, image_as=image_as, reduced_decode=reduce)
        for reduce in (False, True)
    )
    assert not whole.images.source.reduced_decode and reduced.images.source.reduced_decode
    asked = []

    class Halved:
        shift = 0

        def read(self, row, file, size_wh, shrink, bounds_px):
            asked.append((shrink, bounds_px is not None))
            image = reduced_image(read_image_rgb(file, row), 2.0)
            origin = tuple(value + self.shift for value in image.origin_px)
            return image._replace(origin_px=origin)

    reduced.images.source, level = Halved(), 1 if image_as == "uint8" else 1 / 255
    motion = Motion(1.1, 20.0, flip=True, gain_rgb=(1.0, 0.9, 1.1))
    expected, found = (dataset.sample(1, motion) for dataset in (whole, reduced))
    side = reduced.box(tiny_index.record(int(reduced.rows[1])))[2]
    assert asked == [(pytest.approx(side * 1.1 / 96), True)]
    difference = (found.image.float() - expected.image.float()).abs().mean()
    Halved.shift = 1  # a pixel of the original image too far
    misplaced = reduced.sample(1, motion).image.float() - expected.image.float()
    assert difference < 1.5 * level and misplaced.abs().mean() > 2 * difference
    for name in set(found._fields) - {"image"}:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_batch_holds_the_samples_one_by_one(tiny_index):
    """To the last digit: batches are shared out differently among other numbers of processes."""
    models = {s: load_hand_model(s, "open", tip_convention="interhand") for s in ("right", "left")}
    dataset = EanetDataset(
        tiny_index,
        tiny_index.select(split="train"),
        None,
        mano=mano_hands(models),
        augmentation=EanetAugmentation(),
        hands="all",
        announce=None,
    )
    keys = [(2, 5), (0, 1), (2, 0), 3]
    together = dataset.__getitems__(keys)
    assert [sample.row for sample in together] == [int(dataset.rows[k]) for k in (5, 1, 0, 3)]
    for key, sample in zip(keys, together, strict=True):
        for a, b in zip(sample, dataset[key], strict=True):
            np.testing.assert_array_equal(a, b)
    assert sum(bool(sample.mano_param_valid.any()) for sample in together) > 1


def test_a_sample_depends_on_seed_epoch_and_row_only(tiny_index, recipes):
    options = {"augmentation": EanetAugmentation(), "seed": 4}
    dataset = make(tiny_index, recipes, **options)
    again = EanetDataset(
        tiny_index,
        dataset.rows[3:5],
        None,
        mano=recipes.mano(),
        hands="all",
        announce=None,
        image_as="float",
        with_mesh=True,
        **options,
    )
    for a, b in zip(dataset[7, 4], again[7, 1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not torch.equal(dataset[7, 4].image, dataset[8, 4].image)


def test_labels_follow_the_mirror(tiny_index, recipes, monkeypatch):
    dataset = make(tiny_index, recipes)
    dataset.coarse, dataset.fine = np.arange(7), np.arange(7) + 10
    swap = {(0, 10): (5, 15), (1, 11): None}
    dataset.taxonomy = SimpleNamespace(flip=lambda coarse, fine: swap[coarse, fine])
    plain, mirrored = (dataset.sample(0, Motion(flip=flip)) for flip in (False, True))
    assert (plain.coarse, plain.fine) == (0, 10) and (mirrored.coarse, mirrored.fine) == (5, 15)
    undefined = dataset.sample(1, Motion(flip=True))
    assert (undefined.coarse, undefined.fine) == (-1, -1)


def test_an_index_without_joints_or_detections_is_refused(tiny_index):
    empty = SimpleNamespace(columns={}, path="somewhere")
    with pytest.raises(DataError, match="somewhere lacks step_joints_world_mm"):
        usable_rows(empty, [0])
    columns = {k: v for k, v in tiny_index.columns.items() if not k.startswith("detected")}
    with pytest.raises(DataError, match="lacks detected_bbox_xywh_px"):
        usable_rows(SimpleNamespace(columns=columns, path="i"), [0], "rootnet")


def test_images_that_rootnet_has_no_box_of_are_left_out(tiny_index):
    rows = tiny_index.select(split="train")  # RootNet's file is of the test split
    selection = usable_rows(tiny_index, rows, "rootnet")
    assert len(selection.rows) == 0 and selection.dropped["without usable box"] == 7
    with pytest.raises(ValueError, match="row 0 has no RootNet box"):
        box_of(tiny_index, tiny_index.record(0), "rootnet")


def test_two_hands_are_refused_where_one_is_wanted(tiny_index, recipes):
    with pytest.raises(ValueError, match=r"row 2 shows two hands, as do 3 others"):
        make(tiny_index, recipes, hands="single")


def test_wrong_options_are_refused(tiny_index, recipes):
    for options, message in [
        ({"hands": "both"}, "hands is 'both'; possible: single, all"),
        ({"image_as": "half"}, "image_as is 'half'; possible: uint8, float"),
        ({"box_source": "gt"}, "box_source is 'gt'; possible: joints, rootnet"),
        ({"size_px": 100}, "stride"),
    ]:
        with pytest.raises(ValueError, match=message):
            make(tiny_index, recipes, **options)
    with pytest.raises(ValueError, match="row 99 is not in the index"):
        EanetDataset(tiny_index, [99], None, mano=recipes.mano())


def test_an_image_of_another_size_is_refused(tiny_index, recipes, monkeypatch):
    small = np.zeros((10, 20, 3), np.uint8)
    monkeypatch.setattr(
        "gesture_pretrain.data.images.files.read_image_rgb", lambda path, row, *, reduce: small
    )
    with pytest.raises(DataError, match="is 20 x 10 px, but its annotation says 334 x 512"):
        make(tiny_index, recipes)[0]
