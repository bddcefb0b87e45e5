"""The annotation is drawn where the joints project to."""

from types import SimpleNamespace

import numpy as np

from gesture_pretrain.report.annotated_images import caption_of, draw_annotation
from gesture_pretrain.skeleton import FINGER_COLORS_RGB, finger_of_joint


def record(**changes):
    joints_world_mm = np.full((2, 21, 3), np.nan)
    joints_world_mm[0] = [0.0, 0.0, 100.0]
    joints_world_mm[0, 1] = [20.0, 0.0, 100.0]  # thumb1: 20 px right of the wrist
    triangulated = np.zeros((2, 21), bool)
    triangulated[0, :2] = True
    fields = {
        "bbox_xywh_px": np.float32([2, 3, 50, 40]),
        "joints_world_mm": joints_world_mm,
        "joint_triangulated": triangulated,
        "R_cam_world": np.eye(3),
        "camera_center_mm": np.zeros(3),
        "focal_px": np.float32([100, 100]),
        "princpt_px": np.float32([30, 30]),
    }
    return SimpleNamespace(**{**fields, **changes})


def test_bone_and_box_are_drawn_and_invalid_joints_are_not():
    image = np.zeros((64, 64, 3), np.uint8)
    drawn = draw_annotation(image, record())
    assert not image.any()
    assert tuple(drawn[30, 40]) == FINGER_COLORS_RGB[finger_of_joint(1)]
    assert tuple(drawn[3, 10]) == (255, 255, 255)
    only_bone = draw_annotation(image, record(bbox_xywh_px=None)).any(axis=2)
    rows, columns = np.nonzero(only_bone)
    assert rows.min() >= 27 and rows.max() <= 33  # line of 2 px about row 30
    assert columns.min() >= 27 and columns.max() <= 53  # wrist at 30, thumb1 at 50


def test_without_joints_only_the_box_is_drawn():
    image = np.zeros((64, 64, 3), np.uint8)
    drawn = draw_annotation(image, record(joints_world_mm=None))
    assert drawn[3, 2:53].all() and not drawn[10:40, 10:40].any()


def test_a_photograph_has_no_camera_minus_one():
    """A sheet of a folder of photographs read 'camera , frame -1' under every picture."""
    photograph = record(label="fist", hand="unknown", camera="", frame=-1)
    assert caption_of(photograph) == "fist\nunknown"
    filmed = record(label="fist", hand="left", camera="400012", frame=7)
    assert caption_of(filmed) == "fist\nleft\ncamera 400012, frame 7"
