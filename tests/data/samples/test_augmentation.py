"""The crop moves image, joints, camera, handedness and classes alike."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from moved_view import HandView, move_view

from gesture_pretrain.data.images import ImagePart
from gesture_pretrain.data.samples.augmentation import (
    LEFT,
    NO_SIDE,
    NONE,
    RIGHT,
    Augmentation,
    Motion,
    augmentation_stream,
    draw_motions,
    warp,
)
from gesture_pretrain.geometry.camera import project_px
from gesture_pretrain.geometry.crop import apply_affine, crop_affine, crop_rotation
from gesture_pretrain.taxonomy import Taxonomy

SIZE = 128
FOCAL, CENTRE = np.array([640.0, 655.0]), np.array([161.0, 118.0])
MOTIONS = [
    Motion(),
    Motion(flip=True),
    Motion(scale=1.2, rotation_deg=25.0),
    Motion(scale=0.8, rotation_deg=-40.0, translation=(0.1, -0.07), flip=True),
]


@pytest.fixture(scope="module")
def taxonomy():
    return Taxonomy.load("interhand26m")


@pytest.fixture(scope="module")
def joints_cam_mm():
    points = np.random.default_rng(0).uniform(-70, 70, (21, 3))
    points[0] = [0, 60, 0]
    return points + [5.0, -8.0, 700.0]


@pytest.fixture(scope="module")
def view(joints_cam_mm):
    keypoints_px = project_px(joints_cam_mm, FOCAL, CENTRE)
    image = np.zeros((240, 320, 3), np.uint8)
    for x, y in keypoints_px[:5]:
        cv2.circle(image, (round(x), round(y)), 3, (255, 255, 255), -1)
    return HandView(
        image=ImagePart(image),
        box_xywh_px=np.array([80.0, 40.0, 160.0, 160.0]),
        keypoints_px=keypoints_px,
        joints_rel_mm=joints_cam_mm - joints_cam_mm[0],
        joint_valid=np.ones(21, bool),
        hand=RIGHT,
        coarse=10,
        fine=29,
        intrinsics=np.column_stack([np.diag(FOCAL), CENTRE]),
    )


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_moved_camera_projects_the_moved_joints_onto_the_moved_pixels(
    view, joints_cam_mm, taxonomy, motion
):
    moved = move_view(view, motion, size_px=SIZE, taxonomy=taxonomy)
    turn = crop_rotation(rotation_deg=motion.rotation_deg, flip=motion.flip)
    joints = moved.joints_rel_mm + turn @ joints_cam_mm[0]
    homogeneous = joints @ moved.intrinsics.T
    pixels = homogeneous[:, :2] / homogeneous[:, 2:]
    # float64 throughout: a few hundred pixels times 2^-52 times a dozen operations
    np.testing.assert_allclose(pixels, moved.keypoints_px, atol=1e-9)


@pytest.mark.parametrize("motion", MOTIONS)
def test_what_is_drawn_lies_where_the_keypoint_lies(view, taxonomy, motion):
    for joint in range(5):
        x, y = np.rint(view.keypoints_px[joint]).astype(int)
        dot = np.zeros_like(view.image_rgb)
        cv2.circle(dot, (int(x), int(y)), 4, (255, 255, 255), -1)
        moved = move_view(
            replace(view, image=ImagePart(dot)), motion, size_px=SIZE, taxonomy=taxonomy
        )
        keypoint = moved.keypoints_px[joint]
        if np.any(keypoint < 6) or np.any(keypoint > SIZE - 7):
            continue
        weight = moved.image_rgb[..., 0].astype(float)
        found = [(weight.sum(axis) * np.arange(SIZE)).sum() / weight.sum() for axis in (0, 1)]
        # rounding the dot to a pixel costs up to 0.5 px per axis, times the zoom 128 / 160 / 0.8
        np.testing.assert_allclose(found, keypoint, atol=0.75)


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_crop_is_that_of_the_geometry(view, taxonomy, motion):
    moved = move_view(view, motion, size_px=SIZE, taxonomy=taxonomy)
    right, down = motion.translation
    box = [80 + 160 * right, 40 + 160 * down, 160, 160]
    affine = crop_affine(
        box, SIZE, scale=motion.scale, rotation_deg=motion.rotation_deg, flip=motion.flip
    )
    # crop_affine rounds box and corners to float32: 240 px times 2^-24, a few times
    expected = apply_affine(view.keypoints_px, affine)
    np.testing.assert_allclose(moved.keypoints_px, expected, atol=1e-4)


def test_flip_twice_is_the_identity(view, taxonomy):
    motion = Motion(flip=True)
    box = np.array([0.0, 0.0, SIZE, SIZE])
    once = move_view(view, motion, size_px=SIZE, taxonomy=taxonomy)
    again = replace(once, box_xywh_px=box, intrinsics=once.intrinsics[:2])
    twice = move_view(again, motion, size_px=SIZE, taxonomy=taxonomy)
    plain = move_view(view, Motion(), size_px=SIZE, taxonomy=taxonomy)
    assert (twice.hand, twice.coarse, twice.fine) == (RIGHT, 10, 29)
    for name in ("keypoints_px", "joints_rel_mm", "intrinsics"):
        np.testing.assert_allclose(getattr(twice, name), getattr(plain, name), atol=1e-9)
    # the mirror of a crop maps pixel x to SIZE - x: column 0 has no source and is black
    np.testing.assert_array_equal(twice.image_rgb[:, 1:-1], plain.image_rgb[:, 1:-1])


def test_flip_swaps_side_and_classes_and_negates_x(view, taxonomy):
    moved = move_view(view, Motion(flip=True), size_px=SIZE, taxonomy=taxonomy)
    assert (moved.hand, moved.coarse, moved.fine) == (LEFT, 37, 64)
    np.testing.assert_array_equal(moved.joints_rel_mm, view.joints_rel_mm * [-1, 1, 1])


def test_an_unlabelled_view_is_mirrored_and_stays_unlabelled(view, taxonomy):
    unlabelled = replace(view, coarse=-1, fine=-1, hand=NO_SIDE)
    moved = move_view(unlabelled, Motion(flip=True), size_px=SIZE, taxonomy=taxonomy)
    assert (moved.hand, moved.coarse, moved.fine) == (NO_SIDE, -1, -1)
    np.testing.assert_array_equal(moved.joints_rel_mm, view.joints_rel_mm * [-1, 1, 1])


def test_no_flip_where_the_taxonomy_defines_none(view):
    folders = Taxonomy.from_index_labels(["a", "b"])
    labelled = replace(view, coarse=1, fine=1)
    moved = move_view(labelled, Motion(flip=True), size_px=SIZE, taxonomy=folders)
    plain = move_view(labelled, Motion(), size_px=SIZE, taxonomy=folders)
    assert moved.hand == RIGHT and moved.coarse == 1
    np.testing.assert_array_equal(moved.image_rgb, plain.image_rgb)
    np.testing.assert_array_equal(moved.joints_rel_mm, plain.joints_rel_mm)


def test_rotation_rotates_joints_and_image_alike(view, taxonomy):
    # under weak perspective a joint moves in the crop as its x, y do: compare directions
    far = view.joints_rel_mm * [1, 1, 0] + [0, 0, 1e6]
    flat = replace(view, keypoints_px=project_px(far, FOCAL[[0, 0]] * 1e3, CENTRE))
    moved = move_view(flat, Motion(rotation_deg=33.0), size_px=SIZE, taxonomy=taxonomy)
    in_crop = moved.keypoints_px - moved.keypoints_px[0]
    scale = SIZE / 160 * FOCAL[0] * 1e3 / 1e6
    np.testing.assert_allclose(in_crop, moved.joints_rel_mm[:, :2] * scale, atol=1e-6)


def test_colour_gain_multiplies_rounds_and_saturates(taxonomy):
    image = np.full((8, 8, 3), (100, 200, 51), np.uint8)
    view = HandView(image=ImagePart(image), box_xywh_px=np.array([0.0, 0.0, 8.0, 8.0]))
    moved = move_view(view, Motion(gain_rgb=(1.1, 1.5, 0.5)), size_px=8, taxonomy=taxonomy)
    assert moved.image_rgb[4, 4].tolist() == [110, 255, 26]


def test_outside_of_the_image_is_black(taxonomy):
    image = np.full((10, 10, 3), 255, np.uint8)
    view = HandView(image=ImagePart(image), box_xywh_px=np.array([-10.0, 0.0, 20.0, 20.0]))
    crop = move_view(view, Motion(), size_px=20, taxonomy=taxonomy).image_rgb
    assert crop[:, :9].max() == 0 and crop[1:9, 11:].min() == 255 and crop[11:].max() == 0


def test_draws_stay_in_range_and_fill_it():
    augmentation = Augmentation(scale=0.2, rotation_deg=30, translation=0.1, colour=0.3, flip=0.25)
    motions = [augmentation.draw(augmentation_stream(0, 0, row)) for row in range(2000)]
    for values, low, high in (
        ([m.scale for m in motions], 0.8, 1.2),
        ([m.rotation_deg for m in motions], -30, 30),
        *(([m.translation[axis] for m in motions], -0.1, 0.1) for axis in range(2)),
        *(([m.gain_rgb[channel] for m in motions], 0.7, 1.3) for channel in range(3)),
    ):
        # of 2,000 uniform draws none in the outer 1 %: probability 0.99^2000 = 2e-9
        assert low <= min(values) < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < max(values) <= high
    # standard deviation sqrt(0.25 * 0.75 / 2000) = 0.0097; 5 of them
    assert abs(np.mean([m.flip for m in motions]) - 0.25) < 0.05


def test_the_stream_depends_on_each_part_of_its_key():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
    numbers = [tuple(augmentation_stream(*key).random(3)) for key in keys]
    assert len(set(numbers)) == len(keys)
    assert numbers[0] == tuple(augmentation_stream(0, 0, 0).random(3))


def test_none_draws_no_motion():
    assert NONE.draw(augmentation_stream(3, 4, 5)) == Motion()


def test_one_range_does_not_change_the_draw_of_another():
    full, calm = Augmentation(flip=0.5), Augmentation(scale=0, colour=0, flip=0.5)
    first, second = (a.draw(augmentation_stream(0, 0, 9)) for a in (full, calm))
    assert (first.rotation_deg, first.flip) == (second.rotation_deg, second.flip)


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale", -0.1), ("scale", 1.0), ("rotation_deg", 181), ("flip", 1.5), ("colour", -1)],
)
def test_senseless_ranges_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Augmentation(**{name: value})


def test_one_generator_moved_from_stream_to_stream_draws_the_same():
    augmentation = Augmentation(flip=0.5)
    keys = [(0, 0), (3, 1_361_061), (2**40, 7), (0, 0)]
    epochs, rows = zip(*keys, strict=True)
    alone = [augmentation.draw(augmentation_stream(11, *key)) for key in keys]
    assert draw_motions(augmentation, 11, epochs, rows) == alone


def test_the_crop_is_opencvs_own():
    """The way by four channels gives the bytes of a plain `cv2.warpAffine`."""
    random = np.random.default_rng(0)
    for _ in range(20):
        image = random.integers(0, 256, (97, 131, 3), np.uint8)
        affine = random.uniform([[-1.5, -1.5, -60]] * 2, [[1.5, 1.5, 150]] * 2)
        expected = cv2.warpAffine(image, affine, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
        assert np.array_equal(warp(image, affine, SIZE), expected)
