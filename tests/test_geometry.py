"""Cameras, crops, rotations and alignment, against the golden values and against themselves."""

import json

import numpy as np
import pytest

from gesture_pretrain import geometry as geo
from gesture_pretrain.skeleton import MANO21_FROM_INTERHAND

# Tolerances of the golden values, whose makers computed in float32.
PIXEL, MM, BOX_PX, AFFINE = 2e-3, 2e-3, 1e-2, 1e-5


@pytest.fixture(scope="module")
def golden(shared_dir):
    return json.loads((shared_dir / "interhand" / "golden.json").read_text())["samples"]


@pytest.fixture(scope="module")
def annotations(shared_dir):
    folder = shared_dir / "interhand" / "sample"
    return {
        kind: json.loads((folder / f"test_interhand2.6m_{kind}.json").read_text())
        for kind in ("camera", "data", "joint_3d")
    }


def _camera(annotations, sample):
    capture = annotations["camera"][str(sample["capture"])]
    keys = ("camrot", "campos", "focal", "princpt")
    return tuple(np.array(capture[key][sample["camera"]]) for key in keys)


def _joints_cam_mm(annotations, sample):
    frame = annotations["joint_3d"][str(sample["capture"])][str(sample["frame_idx"])]
    rotation, centre, *_ = _camera(annotations, sample)
    joints = geo.world_to_camera_mm(frame["world_coord"], rotation, centre)
    return joints, np.array(frame["joint_valid"], bool).ravel()


def test_cameras_equal_golden(golden, annotations):
    for sample in golden:
        rotation, centre, focal, princpt = _camera(annotations, sample)
        np.testing.assert_allclose(rotation, sample["eanet"]["R"], atol=1e-7)
        translation = geo.translation_of_camera_mm(rotation, centre)
        np.testing.assert_allclose(translation, sample["eanet"]["t_mm"], atol=MM)
        joints, _ = _joints_cam_mm(annotations, sample)
        expected = sample["mmpose"]
        seen = np.array(expected["keypoints_visible"], bool)
        pixels = geo.project_px(joints, focal, princpt)
        np.testing.assert_allclose(
            joints[seen], np.array(expected["keypoints_cam_mm"])[seen], atol=MM
        )
        np.testing.assert_allclose(
            pixels[seen], np.array(expected["keypoints_image_px"])[seen], atol=PIXEL
        )


def test_boxes_equal_golden(golden, annotations):
    box_of = {a["image_id"]: a["bbox"] for a in annotations["data"]["annotations"]}
    for sample in golden:
        expected = sample["eanet"]
        height, width = sample["image_shape_hw"]
        before = expected["hand_bbox_xywh_before_process"]
        clipped = geo.clip_box_eanet(before, (width, height))
        np.testing.assert_allclose(clipped, expected["bbox_xywh_after_sanitize"], atol=BOX_PX)
        square = geo.square_box(clipped, 1.25)
        np.testing.assert_allclose(square, expected["bbox_xywh_after_process_bbox"], atol=BOX_PX)
        internet = geo.square_box(box_of[sample["image_id"]], 1.25)
        np.testing.assert_allclose(
            internet, sample["internet"]["bbox_xywh_after_process_bbox"], atol=BOX_PX
        )


def test_tight_and_union_boxes_equal_golden(golden, annotations):
    for sample in golden:
        joints, valid = _joints_cam_mm(annotations, sample)
        pixels = geo.project_px(joints, *_camera(annotations, sample)[2:])
        hands = [slice(0, 21), slice(21, 42)]
        boxes = [geo.tight_box(pixels[h], valid[h], 1.25) for h in hands if valid[h].any()]
        expected = sample["eanet"]["hand_bbox_xywh_before_process"]
        if len(boxes) == 2:
            expected = sample["eanet"]["union_bbox_xywh_as_probably_intended"]
            boxes = [geo.union_box(*boxes)]
        np.testing.assert_allclose(boxes[0], expected, atol=BOX_PX)


def test_affines_equal_golden(golden):
    for sample in golden:
        expected = sample["eanet"]
        affine = geo.crop_affine(expected["bbox_xywh_after_process_bbox"], 256)
        np.testing.assert_allclose(affine, expected["img2bb_trans_256"], atol=AFFINE)
        inverse = geo.invert_affine(affine)
        np.testing.assert_allclose(inverse, expected["bb2img_trans_256"], atol=AFFINE)


@pytest.mark.parametrize(
    ("target", "rotation_deg", "flip"),
    [("target_no_aug", 0, False), ("target_flip_rot30", 30, True)],
)
def test_crop_of_points_and_vectors_equals_golden(golden, annotations, target, rotation_deg, flip):
    """Heat map cells of 1/32 of the crop; joints relative to the wrist, in metres."""
    for sample in golden:
        expected = sample["eanet"][target]
        joints, valid = _joints_cam_mm(annotations, sample)
        pixels = geo.project_px(joints, *_camera(annotations, sample)[2:])
        affine = geo.crop_affine(
            sample["eanet"]["bbox_xywh_after_process_bbox"], 256,
            rotation_deg=rotation_deg, flip=flip,
        )  # fmt: skip
        turn = geo.crop_rotation(rotation_deg=rotation_deg, flip=flip)
        for hand in (0, 1):
            rows = 21 * hand + np.array(MANO21_FROM_INTERHAND)
            hand_out = 1 - hand if flip else hand
            out = slice(21 * hand_out, 21 * hand_out + 21)
            seen = valid[rows]
            if not seen[0]:
                continue
            cells = geo.apply_affine(pixels[rows], affine) / 32
            golden_cells = np.array(expected["joint_img_hm8_mano_order"])[out, :2]
            np.testing.assert_allclose(cells[seen], golden_cells[seen], atol=PIXEL / 32 * 2)
            relative_m = (joints[rows] - joints[rows[0]]) @ turn.T / 1000
            golden_m = np.array(expected["joint_cam_root_relative_m_mano_order"])[out]
            np.testing.assert_allclose(relative_m[seen], golden_m[seen], atol=MM / 1000)


def test_points_behind_the_camera_have_no_pixel():
    pixels = geo.project_px([[1, 1, -5], [1, 1, 0], [1, 1, 2]], (100, 100), (0, 0))
    assert np.isnan(pixels[:2]).all()
    np.testing.assert_array_equal(pixels[2], [50, 50])


def test_box_errors():
    with pytest.raises(ValueError, match="at least one valid point"):
        geo.tight_box(np.zeros((3, 2)), np.zeros(3, bool))
    with pytest.raises(ValueError, match="no area inside"):
        geo.clip_box_eanet((600, 10, 20, 20), (512, 334))
    with pytest.raises(ValueError, match="width > 0"):
        geo.crop_affine((0, 0, 0, 5), 256)
    with pytest.raises(ValueError, match="must be positive"):
        geo.crop_affine((0, 0, 5, 5), 256, scale=0)


def test_crop_maps_centre_and_corner():
    affine = geo.crop_affine((10, 20, 40, 40), 80)
    mapped = geo.apply_affine([[30, 40], [10, 20]], affine)
    np.testing.assert_allclose(mapped, [[40, 40], [0, 0]], atol=1e-5)


@pytest.mark.parametrize("angle", [0, 1e-7, 1e-4, 0.5, 3.0, np.pi - 1e-7, np.pi])
def test_axis_angle_round_trip(angle):
    axes = np.random.default_rng(0).normal(size=(200, 3))
    vectors = axes / np.linalg.norm(axes, axis=1, keepdims=True) * angle
    rotations = geo.rodrigues(vectors)
    products = rotations @ np.swapaxes(rotations, 1, 2)
    np.testing.assert_allclose(products, np.tile(np.eye(3), (200, 1, 1)), atol=1e-14)
    back = geo.rotation_vector(rotations)
    # a few roundings of numbers up to pi; at pi both signs mean the same rotation
    if angle == np.pi:
        back *= np.sign(np.sum(back * vectors, axis=1, keepdims=True))
    np.testing.assert_allclose(back, vectors, atol=1e-14, rtol=1e-8)
    np.testing.assert_allclose(geo.rodrigues(back), rotations, atol=1e-14)


def test_rotation_6d_round_trip_and_errors():
    rotations = geo.rodrigues(np.random.default_rng(1).normal(size=(100, 3)) * 2)
    six = geo.rotation_6d(rotations)
    np.testing.assert_allclose(geo.rotation_from_6d(six), rotations, atol=1e-14)
    # lengths and the part of the second vector along the first are free
    loose = np.concatenate([3 * six[:, :3], 0.5 * six[:, 3:] - 2 * six[:, :3]], axis=1)
    np.testing.assert_allclose(geo.rotation_from_6d(loose), rotations, atol=1e-13)
    with pytest.raises(ValueError, match="no rotation matrix"):
        geo.rotation_from_6d([1, 0, 0, 2, 0, 0])
    with pytest.raises(ValueError, match="no rotation matrix"):
        geo.rotation_from_6d(np.zeros(6))


def test_procrustes_equals_golden(shared_dir):
    folder = shared_dir / "interhand"
    cases = json.loads((folder / "golden_metrics.json").read_text())["mesh_cases"]
    arrays = np.load(folder / "golden_metrics.npz")
    for case in (c for c in cases if c["name"] in ("case0", "case1")):
        for kind, key in (("joints", "PA_MPJPE"), ("verts", "PA_MPVPE")):
            target = arrays[f"{case['name']}_gt_{kind}"]
            aligned = geo.procrustes_align(arrays[f"{case['name']}_pred_{kind}"], target)
            error_mm = 1000 * np.linalg.norm(aligned - target, axis=-1).mean()
            # the makers agree among themselves to 2.5e-5 mm (float32)
            assert error_mm == pytest.approx(case["expected"][key]["eanet_rigid_align"], abs=5e-5)


def test_procrustes_does_not_reflect(shared_dir):
    target = np.load(shared_dir / "interhand" / "golden_metrics.npz")["case0_gt_joints"]
    aligned = geo.procrustes_align(target * [-1, 1, 1], target)
    error_mm = 1000 * np.linalg.norm(aligned - target, axis=-1).mean()
    assert error_mm == pytest.approx(32.99, abs=0.005)


def test_procrustes_undoes_a_similarity_in_batches_with_mask():
    rng = np.random.default_rng(2)
    target = rng.normal(size=(4, 21, 3))
    predicted = 3 * target @ np.swapaxes(geo.rodrigues(rng.normal(size=(4, 3))), 1, 2) + 5
    valid = np.arange(21) < np.array([[21], [10], [3], [7]])
    target_with_gaps = np.where(valid[..., None], target, np.nan)
    np.testing.assert_allclose(
        geo.procrustes_align(predicted, target_with_gaps, valid), target, atol=1e-12
    )


def test_procrustes_degenerate_input():
    target = np.random.default_rng(3).normal(size=(21, 3))
    collapsed = geo.procrustes_align(np.ones((21, 3)), target)
    np.testing.assert_allclose(collapsed, np.tile(target.mean(axis=0), (21, 1)), atol=1e-12)
    with pytest.raises(ValueError, match="1 of 1 samples"):
        geo.procrustes_align(target, target, np.arange(21) < 2)
    with pytest.raises(ValueError, match="on one line"):
        geo.procrustes_align(target, np.outer(np.arange(21), [1, 2, 3]))
    with pytest.raises(ValueError, match="NaN"):
        geo.procrustes_align(target, np.full((21, 3), np.nan))
