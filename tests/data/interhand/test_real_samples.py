"""The four real InterHand2.6M samples through the reader, against their golden values."""

import json

import numpy as np
import pytest

from gesture_pretrain.geometry.boxes import square_box
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.skeleton import INTERHAND_FROM_MANO21, MANO21_FROM_INTERHAND

# golden.json states these: what separates right from wrong, given oracles in float32
TOLERANCE_PX = 2e-3
TOLERANCE_MM = 2e-3
TOLERANCE_BOX_PX = 1e-2


def in_ours_order(rows_of_file):
    both = np.asarray(rows_of_file, np.float32).reshape(2, 21, -1)
    return both[:, list(MANO21_FROM_INTERHAND)].squeeze(-1 if both.shape[-1] == 1 else ())


def golden_cases(shared_dir):
    golden = json.loads((shared_dir / "interhand" / "golden.json").read_text())
    return golden["samples"]


def record_of(index, name):
    rows = [i for i in range(len(index)) if index.image_path(i).name == name]
    return index.record(rows[0])


def file_order(ours):
    return ours[:, list(INTERHAND_FROM_MANO21)].reshape(42, *ours.shape[2:])


@pytest.mark.parametrize("number", range(3))
def test_real_samples_match_golden_values(sample_index, shared_dir, number):
    golden = golden_cases(shared_dir)[number]
    record = record_of(sample_index, golden["image"])
    height, width = golden["image_shape_hw"]
    assert record.image_size_wh == (width, height)
    assert record.image_id == golden["image_id"] and record.label == golden["seq_name"]
    assert record.grey_camera == golden["image_is_gray"]
    assert record.hand == golden["hand_type"]
    mmpose, eanet = golden["mmpose"], golden["eanet"]
    visible = np.array(mmpose["keypoints_visible"], bool)
    np.testing.assert_array_equal(file_order(record.joint_in_view), visible)
    np.testing.assert_array_equal(
        file_order(record.joint_triangulated), np.array(eanet["joint_valid_ih26m_order"], bool)
    )
    cam = world_to_camera_mm(record.joints_world_mm, record.R_cam_world, record.camera_center_mm)
    expected = np.array(mmpose["keypoints_cam_mm"])[visible]
    np.testing.assert_allclose(file_order(cam)[visible], expected, rtol=0, atol=TOLERANCE_MM)
    pixels = project_px(cam, record.focal_px, record.princpt_px)
    expected = np.array(mmpose["keypoints_image_px"])[visible]
    np.testing.assert_allclose(file_order(pixels)[visible], expected, rtol=0, atol=TOLERANCE_PX)


@pytest.mark.parametrize("number", range(3))
def test_real_samples_boxes_match_golden_values(sample_index, shared_dir, number):
    golden = golden_cases(shared_dir)[number]
    box = record_of(sample_index, golden["image"]).bbox_xywh_px
    corners = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
    np.testing.assert_allclose(
        corners, golden["mmpose"]["bbox_xyxy"], rtol=0, atol=TOLERANCE_BOX_PX
    )
    expected = golden["internet"]["bbox_xywh_after_process_bbox"]
    np.testing.assert_allclose(square_box(box, 1.25), expected, rtol=0, atol=TOLERANCE_BOX_PX)


def test_the_left_hand_sample_is_consistent(sample_index):
    record = record_of(sample_index, "image29590.jpg")
    assert record.hand == "left" and record.grey_camera and record.label == "0115_rocker_backside"
    assert not record.joint_triangulated[0].any() and record.joint_triangulated[1].all()
    cam = world_to_camera_mm(record.joints_world_mm, record.R_cam_world, record.camera_center_mm)
    pixels = project_px(cam, record.focal_px, record.princpt_px)[1]
    assert ((pixels >= 0) & (pixels < record.image_size_wh)).all()
    # the annotation's box is 1.2 times the tight one about its centre (float32 coordinates)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    centre, size = (low + high) / 2, 1.2 * (high - low)
    expected = [*(centre - size / 2), *size]
    np.testing.assert_allclose(record.bbox_xywh_px, expected, rtol=0, atol=TOLERANCE_BOX_PX)
    assert record.image_path.is_file()
