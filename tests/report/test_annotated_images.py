"""The annotation is drawn where the joints project to."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from gesture_pretrain.report.annotated_images import annotated_images, caption_of, draw_annotation
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


def test_the_affine_moves_bones_and_box_alike():
    image = np.zeros((200, 200, 3), np.uint8)
    threefold = np.float64([[3, 0, -6], [0, 3, -9]])  # the box's corner (2, 3) comes to (0, 0)
    drawn = draw_annotation(image, record(), threefold)
    assert tuple(drawn[0, 0]) == (255, 255, 255) and drawn[120, 150].all()
    assert tuple(drawn[81, 100]) == FINGER_COLORS_RGB[finger_of_joint(1)]  # (30..50, 30) x 3


def test_a_sheet_shows_the_hand_and_not_the_room(tmp_path, monkeypatch):
    """A hand of 60 px in an image of 512 was 20 px of the sheet: nobody saw where joints lay."""
    image = np.zeros((512, 512, 3), np.uint8)
    image[103:143, 302:352] = 200  # the box
    path = tmp_path / "room.png"
    cv2.imwrite(str(path), image)
    of_room = record(
        bbox_xywh_px=np.float32([302, 103, 50, 40]),
        joints_world_mm=None,
        image_path=path,
        row=0,
        label="fist",
        hand="left",
        camera="",
    )
    shown = []
    monkeypatch.setattr(
        "gesture_pretrain.report.annotated_images.contact_sheet",
        lambda tiles, **_: shown.extend(tiles) or b"",
    )
    annotated_images(SimpleNamespace(record=lambda row: of_room), [0], title="one")
    (tile,) = shown
    height, width = tile.image.shape[:2]
    rows, columns = np.nonzero(tile.image[..., 0] >= 150)
    assert np.ptp(columns) / width == pytest.approx(1 / 1.6, abs=0.02)  # the longer side
    assert np.ptp(rows) / height == pytest.approx(0.8 / 1.6, abs=0.02)
    assert columns.mean() == pytest.approx(width / 2, abs=2)


def test_a_photograph_has_no_camera_minus_one():
    """A sheet of a folder of photographs read 'camera , frame -1' under every image."""
    photograph = record(label="fist", hand="unknown", camera="", frame=-1)
    assert caption_of(photograph) == "fist\nunknown"
    filmed = record(label="fist", hand="left", camera="400012", frame=7)
    assert caption_of(filmed) == "fist\nleft\ncamera 400012, frame 7"
