"""Boxes, crops and targets against the published functions, one by one."""

import numpy as np
import pytest
import torch

from adapters.eanet.boxes import box_of_hands, boxes_are_usable, crop_box
from adapters.eanet.crop import CropView, EanetAugmentation, crop_image, view_of_box
from adapters.eanet.targets import Camera, captured_targets, mano_targets
from gesture_pretrain.data.images import ImagePart
from gesture_pretrain.data.index.record import ManoFit
from gesture_pretrain.data.samples.augmentation import Motion, augmentation_stream
from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.geometry.boxes import clip_box_eanet, square_box, tight_box
from gesture_pretrain.geometry.crop import invert_affine
from gesture_pretrain.skeleton import INTERHAND_FROM_MANO21, MANO21_FROM_INTERHAND

# The references are float32: numbers of up to 512 px or 1 m are rounded at 3e-5 px and 6e-8 m, and
# a handful of roundings follow one another.
PIXELS = 1e-3
CELLS = 1e-4
METRES = 2e-6


def mirror_of_image(width: int) -> np.ndarray:
    """What upstream does to the image before its affine map."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    return (np.vstack([outer, [0, 0, 1]]) @ np.vstack([inner, [0, 0, 1]]))[:2]


def to_mano_order(values: np.ndarray) -> np.ndarray:
    """(42, ...) of the data set's order to (2, 21, ...)."""
    return values.reshape(2, 21, *values.shape[1:])[:, list(MANO21_FROM_INTERHAND)]


def view_of_golden(golden, i: int) -> CropView:
    scale, turn, flip = golden["crop.aug"][i]
    motion = Motion(scale=scale, rotation_deg=turn, flip=bool(flip))
    return view_of_box(golden["crop.bbox"], motion, size_px=256, grid=8)


@pytest.mark.parametrize("rule", ["sanitized", "processed"])
def test_boxes_are_fitted_into_the_image_as_published(function_golden, rule):
    size = tuple(function_golden["bbox.image_wh"].tolist())
    fit = {"sanitized": clip_box_eanet, "processed": crop_box}[rule]
    rejected = 0
    for raw, expected in zip(
        function_golden["bbox.raw"], function_golden[f"bbox.{rule}"], strict=True
    ):
        if np.isnan(expected).any():
            rejected += 1
            with pytest.raises(ValueError, match="no area inside"):
                fit(raw, size)
        else:
            np.testing.assert_allclose(fit(raw, size), expected, rtol=0, atol=1e-4)
    assert 0 < rejected < len(function_golden["bbox.raw"])


def test_squares_are_as_published(function_golden):
    for raw, expected in zip(
        function_golden["bbox.raw"], function_golden["bbox.squared_only"], strict=True
    ):
        if not np.isnan(expected).any():
            np.testing.assert_allclose(square_box(raw), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "ratio"), [("125", 1.25), ("120_default", 1.2)])
def test_boxes_about_joints_are_as_published(function_golden, recipes, name, ratio):
    joints = recipes.uniform("gb_pts", 12, 21, 2) * (334, 512)
    valid = recipes.uniform("gb_val", 12, 21) < 0.7
    boxes = [tight_box(points, known, ratio) for points, known in zip(joints, valid, strict=True)]
    np.testing.assert_allclose(boxes, function_golden[f"get_bbox.{name}"], rtol=0, atol=PIXELS)


def test_a_box_of_two_hands_contains_both_unless_the_bug_is_wanted():
    joints = np.zeros((2, 21, 2))
    joints[0, :2] = [[100, 80], [140, 120]]  # right hand: box 95, 75, 50 x 50
    joints[1, :2] = [[20, 40], [60, 80]]  # left hand: box 15, 35, 50 x 50
    valid = np.zeros((2, 21), bool)
    valid[:, :2] = True
    whole = box_of_hands(joints, valid, "interacting")
    np.testing.assert_allclose(whole, [15, 35, 130, 90])
    wrong = box_of_hands(joints, valid, "interacting", box_bug=True)
    np.testing.assert_allclose(wrong, [15, 35, 50, 50])  # 145 - 95 and 125 - 75


def test_of_two_hands_one_without_joints_takes_the_others_box():
    joints = np.zeros((2, 21, 2))
    joints[1, :2] = [[20, 40], [60, 80]]
    valid = np.zeros((2, 21), bool)
    valid[1, :2] = True
    for bug in (False, True):
        box = box_of_hands(joints, valid, "interacting", box_bug=bug)
        np.testing.assert_allclose(box, [15, 35, 50, 50])


def test_boxes_without_joints_or_of_no_hand_are_refused():
    nothing = np.zeros((2, 21), bool)
    with pytest.raises(ValueError, match="neither hand has a valid joint"):
        box_of_hands(np.zeros((2, 21, 2)), nothing, "interacting")
    with pytest.raises(ValueError, match="at least one valid point"):
        box_of_hands(np.zeros((2, 21, 2)), nothing, "left")
    with pytest.raises(ValueError, match="possible: 'right', 'left', 'interacting'"):
        box_of_hands(np.zeros((2, 21, 2)), nothing, "unknown")


@pytest.mark.parametrize("bug", [False, True])
def test_the_fast_test_of_many_boxes_agrees_with_the_box_of_each(bug):
    rng = np.random.default_rng(3)
    joints = rng.uniform(-400, 900, (400, 2, 1, 2)) + rng.uniform(0, 30, (400, 2, 21, 2))
    joints[::7] = joints[::7, :, :1]  # hands without any extent
    valid = rng.random((400, 2, 21)) < rng.choice([0.0, 0.05, 0.8], (400, 2, 1))
    hands = rng.integers(0, 3, 400)
    expected = []
    for points, known, hand in zip(joints, valid, hands, strict=True):
        name = ("right", "left", "interacting")[hand]
        try:
            crop_box(box_of_hands(points, known, name, box_bug=bug), (334, 512))
            expected.append(True)
        except ValueError:
            expected.append(False)
    found = boxes_are_usable(joints, valid, hands, np.tile([334, 512], (400, 1)), box_bug=bug)
    np.testing.assert_array_equal(found, expected)
    assert 20 < sum(expected) < 380


@pytest.mark.parametrize("i", range(4))
def test_crops_show_what_the_published_ones_show(function_golden, i):
    view = view_of_golden(function_golden, i)
    published = function_golden[f"crop.{i}.img2bb"]
    if view.mirrored:
        published = compose(published, mirror_of_image(334))
    np.testing.assert_allclose(view.crop_from_image, published, rtol=0, atol=PIXELS)
    inverse = invert_affine(view.crop_from_image)
    if view.mirrored:
        inverse = compose(mirror_of_image(334), inverse)
    np.testing.assert_allclose(inverse, function_golden[f"crop.{i}.bb2img"], rtol=0, atol=PIXELS)
    patch = crop_image(ImagePart(_waves()), view)[8::16, 8::16]
    # bilinear weights differ in their last bits between releases of OpenCV
    assert np.abs(patch - function_golden[f"crop.{i}.patch_16th"]).mean() < 0.1


def _waves() -> np.ndarray:
    y, x, c = np.meshgrid(np.arange(512), np.arange(334), np.arange(3), indexing="ij")
    return np.float32(60 * (np.sin(x / 17 + c) + np.cos(y / 23 - c) + 2))


@pytest.mark.parametrize("i", range(4))
def test_captured_joints_move_as_published(function_golden, recipes, i):
    joint_cam = 0.1 * recipes.normal(f"db_cam_{i}", 42, 3)
    pixels = recipes.uniform(f"db_img_{i}", 42, 2) * (260, 400)
    valid = recipes.uniform(f"db_valid_{i}", 42, 1) < 0.8
    found = captured_targets(
        to_mano_order(pixels),
        to_mano_order(joint_cam),
        to_mano_order(valid)[..., 0],
        0.1 * recipes.normal(f"db_rel_{i}", 3),
        view_of_golden(function_golden, i),
    )
    expected = {
        name: function_golden[f"db_coord.{i}.{name}"]
        for name in ("joint_img", "joint_cam", "joint_valid", "joint_trunc", "rel_trans")
    }
    np.testing.assert_allclose(
        found.joint_img.reshape(42, 3), expected["joint_img"], rtol=0, atol=CELLS
    )
    np.testing.assert_allclose(
        found.joint_cam.reshape(42, 3), expected["joint_cam"], rtol=0, atol=METRES
    )
    np.testing.assert_allclose(found.rel_trans, expected["rel_trans"], rtol=0, atol=METRES)
    np.testing.assert_array_equal(found.valid.reshape(42, 1), expected["joint_valid"] > 0)
    np.testing.assert_array_equal(found.inside.reshape(42, 1), expected["joint_trunc"] > 0)


@pytest.mark.parametrize("i", range(4))
@pytest.mark.parametrize("hand", ["right", "left"])
def test_fits_move_as_published(function_golden, recipes, i, hand):
    shape = recipes.normal(f"mp_shape_{hand}_{i}", 10) * (2 if i == 3 else 1)
    fit = ManoFit(
        0.5 * recipes.normal(f"mp_pose_{hand}_{i}", 48),
        shape,
        0.05 * recipes.normal(f"mp_trans_{hand}_{i}", 3),
    )
    camera = Camera(
        rodrigues(recipes.normal(f"cam_rot_{i}", 3)),
        np.array([0.05, -0.02, 0.9]),
        np.array([1300.0, 1290.0]),
        np.array([160.0, 250.0]),
    )
    side = ("right", "left").index(hand)
    view = view_of_golden(function_golden, i)
    mano = recipes.mano(torch.float64)
    options = {"posed_wrist_camera": True, "with_mesh": True}
    (found,) = mano_targets([fit], side, mano, [camera], [view], **options)
    expected = {
        name: function_golden[f"mano_out.{i}.{hand}.{name}"]
        for name in ("joint_img", "joint_cam", "joint_trunc", "pose", "shape", "mesh_cam")
    }
    # projections of a float32 mesh: 1e-7 m at 0.9 m is 2e-4 px; a cell is 32 px, a depth cell 4 cm
    np.testing.assert_allclose(found.joint_img, expected["joint_img"], rtol=0, atol=CELLS)
    np.testing.assert_allclose(found.joint_cam, expected["joint_cam"], rtol=0, atol=METRES)
    np.testing.assert_allclose(found.vertices_cam[:5], expected["mesh_cam"], rtol=0, atol=METRES)
    np.testing.assert_allclose(found.pose[3:], expected["pose"][3:], rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        rodrigues(found.pose[:3]), rodrigues(expected["pose"][:3]), rtol=0, atol=1e-5
    )
    np.testing.assert_allclose(found.shape, expected["shape"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.inside, expected["joint_trunc"][:, 0] > 0)
    assert (found.shape == 0).all() == bool(function_golden["mano_out.shapes_zeroed"][i, side])


def test_the_joint_order_of_the_network_is_ours_for_either_hand():
    rows = np.arange(42)
    np.testing.assert_array_equal(
        to_mano_order(rows)[:, list(INTERHAND_FROM_MANO21)], rows.reshape(2, 21)
    )


def test_the_drawn_motion_keeps_to_the_published_ranges():
    augmentation = EanetAugmentation()
    motions = [augmentation.draw(augmentation_stream(0, 0, row)) for row in range(2000)]
    scales = np.array([m.scale for m in motions])
    turns = np.array([m.rotation_deg for m in motions])
    assert scales.min() == pytest.approx(0.75) and scales.max() == pytest.approx(1.25)
    # a clipped normal has its mass of 16 % on either end; 2000 draws spread by 0.8 %
    assert abs(np.mean(scales == scales.max()) - 0.159) < 0.04
    assert abs(np.mean(turns == 0) - 0.4) < 0.05 and np.abs(turns).max() == pytest.approx(60)
    assert abs(np.mean([m.flip for m in motions]) - 0.5) < 0.05
    gains = np.array([m.gain_rgb for m in motions])
    assert 0.8 <= gains.min() < 0.81 and 1.19 < gains.max() <= 1.2
    assert motions[5] == augmentation.draw(augmentation_stream(0, 0, 5))


def test_an_impossible_range_of_the_augmentation_is_refused():
    with pytest.raises(ValueError, match="flip is 1.5"):
        EanetAugmentation(flip=1.5)
    calm = EanetAugmentation(scale=0, rotation_deg=0, rotation=0, colour=0, flip=0)
    assert calm.draw(augmentation_stream(0, 0, 0)) == Motion()
