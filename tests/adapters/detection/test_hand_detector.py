"""Hands in whole images: rendered ones, photographs, and images without hands."""

import configparser
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from adapters.detection import lite_network
from adapters.detection.lite_network import MODELS, SHA256, LiteNetwork
from gesture_pretrain.data.images import read_image_rgb
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.weights.initial_weights import WeightFileError


def size_px(landmarks_px: np.ndarray) -> float:
    return float(np.ptp(landmarks_px, axis=0).max())


def contains(box_xyxy_px: np.ndarray, points_px: np.ndarray) -> bool:
    return bool((points_px >= box_xyxy_px[:2]).all() and (points_px <= box_xyxy_px[2:]).all())


def mean_distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first - second, axis=-1).mean())


def joints_px(index: HandIndex, row: int, hand: int) -> np.ndarray:
    """Project the annotated joints to pixels, `(21, 2)`."""
    record = index.record(row)
    joints_cam_mm = world_to_camera_mm(
        record.joints_world_mm[hand], record.R_cam_world, record.camera_center_mm
    )
    return project_px(joints_cam_mm, record.focal_px, record.princpt_px)


def test_rendered_hands_are_found_where_they_are(detector, open_hands):
    for row in range(len(open_hands)):
        (hand,) = detector(read_image_rgb(open_hands.record(row).image_path, row))
        truth_px = joints_px(open_hands, row, hand=0)
        assert hand.handedness == open_hands.record(row).hand == "right"
        assert mean_distance(hand.landmarks_px, truth_px) < 0.08 * size_px(truth_px)
        assert contains(hand.box_xyxy_px, truth_px)
        assert np.ptp(hand.landmarks_px, axis=0) * 1.2 == pytest.approx(
            hand.box_xyxy_px[2:] - hand.box_xyxy_px[:2]
        )
        assert 0.1 < np.ptp(hand.landmarks_world_m, axis=0).max() < 0.25
        # x right, y down: the tips of the raised fingers are above the wrist
        assert hand.landmarks_world_m[12, 1] < hand.landmarks_world_m[0, 1] - 0.1


def test_mirroring_flips_the_handedness(detector, open_hand):
    (hand,) = detector(open_hand)
    (mirrored,) = detector(np.ascontiguousarray(open_hand[:, ::-1]))
    assert (hand.handedness, mirrored.handedness) == ("right", "left")
    back_px = mirrored.landmarks_px * [-1, 1] + [open_hand.shape[1], 0]
    assert mean_distance(hand.landmarks_px, back_px) < 0.05 * size_px(back_px)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_landmarks_turn_with_the_image(detector, open_hand, quarters):
    (hand,) = detector(open_hand)
    (turned,) = detector(np.ascontiguousarray(np.rot90(open_hand, quarters)))
    angle = np.pi / 2 * quarters
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected_px = (hand.landmarks_px - 128) @ turn.T + 128
    assert mean_distance(turned.landmarks_px, expected_px) < 0.05 * size_px(expected_px)
    expected_m = hand.landmarks_world_m[:, :2] @ turn.T
    assert mean_distance(turned.landmarks_world_m[:, :2], expected_m) < 0.01


def test_ten_hands_in_one_image(detector, open_hand):
    tile = open_hand[20:230, 50:225]
    hands = detector(np.tile(tile, (2, 5, 1)))
    centres = [tuple(hand.landmarks_px.mean(0) // [175, 210]) for hand in hands]
    assert sorted(centres) == [(x, y) for x in range(5) for y in range(2)]


def test_a_hand_that_fills_the_image(detector, open_hand):
    (hand,) = detector(open_hand)
    low, high = hand.landmarks_px.min(0).astype(int), hand.landmarks_px.max(0).astype(int)
    (filling,) = detector(np.ascontiguousarray(open_hand[low[1] : high[1], low[0] : high[0]]))
    assert mean_distance(filling.landmarks_px + low, hand.landmarks_px) < 0.1 * max(high - low)


def test_the_code_of_the_document_runs(
    detector, open_hand, repo_root, tmp_path, monkeypatch, capsys
):
    code = re.findall(r"```python\n(.*?)```", (repo_root / "docs/prediction.md").read_text(), re.S)
    (block,) = [text for text in code if "HandDetector" in text]
    cv2.imwrite(str(tmp_path / "photo.jpg"), open_hand[..., ::-1])
    monkeypatch.chdir(tmp_path)
    exec(block, {})  # noqa: S102
    assert capsys.readouterr().out.startswith("right 0.9")


def packaged_images() -> list:
    """Photographs without visible hands that installed packages contain."""
    folders = {
        "skimage": "data",
        "sklearn": "datasets/images",
        "matplotlib": "mpl-data/sample_data",
    }
    paths = []
    for package, folder in folders.items():
        if spec := find_spec(package):
            paths += sorted((Path(spec.origin).parent / folder).glob("*.[jp][pn]g"))
    images = {path.name: cv2.imread(str(path)) for path in paths}
    return [(name, i) for name, i in images.items() if i is not None and min(i.shape[:2]) >= 32]


def test_no_hand_in_images_without_hands(detector):
    images = packaged_images()
    found = [name for name, image in images if detector(np.ascontiguousarray(image[..., ::-1]))]
    assert len(images) > 3 and found == []


def test_black_and_noise_hold_no_hand(detector):
    noise = np.random.default_rng(0).integers(0, 256, (100, 3000, 3), np.uint8)
    assert detector(np.zeros_like(noise)) == detector(noise) == []


@pytest.mark.parametrize(
    ("image", "error", "keyword"),
    [
        (np.zeros((31, 200, 3), np.uint8), ValueError, "at least 32"),
        (np.zeros((64, 64), np.uint8), ValueError, "shape"),
        (np.zeros((64, 64, 3), np.float32), TypeError, "uint8"),
        ("photo.jpg", TypeError, "uint8"),
    ],
)
def test_other_images_are_refused(detector, image, error, keyword):
    with pytest.raises(error, match=keyword):
        detector(image)


@pytest.mark.parametrize("name", SHA256)
def test_a_damaged_file_is_named(monkeypatch, tmp_path, name):
    pytest.importorskip("ai_edge_litert", reason="the extra detect is not installed")
    content = bytearray((MODELS / f"{name}.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / f"{name}.tflite").write_bytes(content)
    monkeypatch.setattr(lite_network, "MODELS", tmp_path)
    with pytest.raises(WeightFileError, match=f"{name}.*Reinstall"):
        LiteNetwork(name)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ModuleNotFoundError, match=r"gesture-pretrain\[detect\]"):
        LiteNetwork("palm_detection_full")


def test_the_package_contains_networks_licence_and_provenance(repo_root):
    config = configparser.ConfigParser()
    config.read(repo_root / "setup.cfg", encoding="utf-8")
    patterns = config["options.package_data"]["adapters"].split()
    packed = {path for pattern in patterns for path in (repo_root / "adapters").glob(pattern)}
    files = {*(f"{name}.tflite" for name in SHA256), "LICENSE", "PROVENANCE.md"}
    assert {MODELS / name for name in files} <= packed
    provenance = (MODELS / "PROVENANCE.md").read_text()
    assert all(sha256 in provenance for sha256 in SHA256.values())


# --- photographs outside of the repository ------------------------------------------------------


def test_photographs_of_right_hands(detector, shared_dir):
    paths = sorted((shared_dir / "real_gestures" / "sign_digits").glob("*/*/*.jpg"))[::53]
    images = [cv2.imread(str(path))[..., ::-1] for path in paths]
    hands = [detector(np.ascontiguousarray(image)) for image in images]
    assert sum(len(found) == 1 for found in hands) >= 0.9 * len(paths)
    sides = [found[0].handedness for found in hands if found]
    assert sides.count("right") >= 0.9 * len(sides)


@pytest.mark.parametrize(
    ("name", "image_id", "handedness"),
    [
        ("freihand", 355, "right"),
        ("freihand", 17620, "right"),
        ("freihand", 32915, "right"),
        ("onehand10k", 1402, "right"),
        ("rhd", 111, "left"),
        ("rhd", 1111, "left"),
    ],
)
def test_boxes_contain_the_annotated_joints(detector, shared_dir, name, image_id, handedness):
    folder = shared_dir / "interhand" / "sample_other" / name
    content = json.loads((folder / f"test_{name}.json").read_text())
    (file,) = [image["file_name"] for image in content["images"] if image["id"] == image_id]
    (joints,) = [a["keypoints"] for a in content["annotations"] if a["image_id"] == image_id]
    joints_px = np.array(joints, float).reshape(21, 3)[:, :2]
    (hand,) = detector(read_image_rgb(folder / file, 0))
    slack = 0.05 * size_px(joints_px) * np.array([-1, -1, 1, 1])
    assert contains(hand.box_xyxy_px + slack, joints_px)
    assert hand.handedness == handedness


def test_a_hand_of_interhand_has_the_annotated_box(detector, shared_dir):
    folder = shared_dir / "interhand" / "sample"
    (hand,) = detector(read_image_rgb(folder / "image29590.jpg", 0))
    x, y, width, height = 32.6, 116.9, 183.0, 117.8  # of the annotation, a left hand
    assert hand.handedness == "left"
    assert hand.box_xyxy_px == pytest.approx([x, y, x + width, y + height], abs=0.1 * width)
