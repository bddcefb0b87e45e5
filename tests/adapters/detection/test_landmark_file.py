"""Landmarks of a dataset as an external predictions file, and the command that writes it."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from adapters.detection.detected_hand import DetectedHand
from adapters.detection.landmark_file import hands_of_image
from gesture_pretrain.commands.main import run_commands
from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.evaluation.prediction_files import read_predictions
from gesture_pretrain.geometry.camera import world_to_camera_mm


def test_the_file_is_read_as_another_systems_predictions(detector, open_hands, tmp_path, capsys):
    out = tmp_path / "made" / "mediapipe.npz"
    words = ["data", "landmarks", "--data", open_hands.path, "--split", "test", "--out", out]
    assert run_commands([*map(str, words), "--quiet"]) == 0
    assert "2 hands in 2 of 2 images" in capsys.readouterr().out
    predictions = read_predictions(out, open_hands)
    assert predictions.system == "MediaPipe Hands"
    assert predictions.rows.tolist() == [0, 1] and predictions.hand.tolist() == [0, 0]
    for row, joints_rel_mm in enumerate(predictions.joints_rel_mm):
        record = open_hands.record(row)
        truth_mm = world_to_camera_mm(
            record.joints_world_mm[0], record.R_cam_world, record.camera_center_mm
        )
        apart = (joints_rel_mm - joints_rel_mm.mean(0)) - (truth_mm - truth_mm.mean(0))
        assert np.linalg.norm(apart, axis=-1).mean() < 25
        np.testing.assert_allclose(joints_rel_mm[0], 0, atol=1e-4)


def seen(handedness: str, left_px: float) -> DetectedHand:
    box = np.array([left_px, 0.0, left_px + 100, 100])
    return DetectedHand(box, handedness, 0.9, np.zeros((21, 2)), np.zeros((21, 3)))


@pytest.mark.parametrize(
    ("annotated", "box_xywh_px", "expected"),
    [
        ("left", np.float32([290, 0, 100, 100]), {"left": 2}),
        ("left", None, {"left": 0}),
        ("interacting", np.float32([0, 0, 400, 100]), {"right": 0, "left": 1}),
        ("unknown", None, {"right": 0, "left": 1}),
    ],
)
def test_which_detection_is_which_hand(annotated, box_xywh_px, expected):
    hands = [seen("right", 0), seen("left", 150), seen("right", 300)]
    record = SimpleNamespace(hand=annotated, bbox_xywh_px=box_xywh_px)
    chosen = hands_of_image(hands, record)
    assert {side: hands.index(hand) for side, hand in chosen.items()} == expected
    assert hands_of_image([], record) == {}


@pytest.mark.parametrize(
    ("file", "keyword"), [("mediapipe.npz", "No hand"), ("mediapipe.json", ".npz")]
)
def test_wrong_input_is_one_message(detector, tmp_path, capsys, file, keyword):
    (tmp_path / "photos" / "none").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "photos" / "none" / "0.png"), np.zeros((64, 64, 3), np.uint8))
    data = build_folder_index(tmp_path / "photos", progress=False)
    words = ["data", "landmarks", "--data", data, "--out", tmp_path / file, "--quiet"]
    assert run_commands(list(map(str, words))) == 1
    assert keyword in capsys.readouterr().err
    assert not (tmp_path / file).exists()
