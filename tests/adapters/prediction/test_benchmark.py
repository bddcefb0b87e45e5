"""Errors of the photograph benchmark, with systems whose errors are known."""

import json

import cv2
import numpy as np
import pytest

from adapters.detection import DetectedHand
from adapters.prediction.benchmark.annotated_hand import AnnotatedHand
from adapters.prediction.benchmark.annotated_images import images_of_file, images_of_interhand
from adapters.prediction.benchmark.errors import joint_errors_mm, keypoint_error, summary
from adapters.prediction.benchmark.measure import (
    measure_annotated,
    measure_rendered,
    measure_signs,
)
from adapters.prediction.benchmark.tables import tables
from adapters.prediction.benchmark.video import measure_video, rendered_video
from adapters.prediction.hand_estimator import HandEstimate

JOINTS = 60 * np.random.default_rng(0).standard_normal((21, 3)) + [0, 0, 600]
PIXELS = np.linspace([20, 30], [80, 110], 21)
BOX = np.array([14.0, 22.0, 72.0, 96.0])


def hand_of(joints_mm: np.ndarray, pixels: np.ndarray, hand: str = "right") -> HandEstimate:
    values = {name: np.ones(3) for name in HandEstimate._fields}
    values |= {"hand": hand, "keypoints_px": pixels, "joints_rel_mm": joints_mm - joints_mm[0]}
    values["camera_from_view"] = np.eye(3)
    return HandEstimate(**values)


class Estimator:
    """Predict the true joints, `scale` times as large, and find them `off_px` pixels away."""

    box_ratio = 1.25

    def __init__(self, cases, *, scale: float = 1.0, off_px: float = 0.0, finds: bool = True):
        self.cases = {id(case.image_rgb): case for case in cases}
        self.scale, self.off_px, self.finds = scale, off_px, finds

    def tells_sides(self):
        return False

    def predict(self, images, boxes=None, hands=None, cameras=None):
        cases = [self.cases[id(image)] for image in images]
        return [
            hand_of(self.scale * case.joints_cam_mm, case.keypoints_px + self.off_px, hand)
            for case, hand in zip(cases, hands, strict=True)
        ]

    def detector(self, image_rgb):
        if not self.finds:
            return []
        case = self.cases[id(image_rgb)]
        x, y, width, height = case.box_xywh_px
        box = np.array([x, y, x + width, y + height])
        world = (case.joints_cam_mm - case.joints_cam_mm.mean(0)) / 1000
        return [DetectedHand(box, "left", 0.9, case.keypoints_px, world)]


def case(name: str = "a.jpg", hand: str | None = "right") -> AnnotatedHand:
    return AnnotatedHand(name, np.zeros((120, 160, 3), np.uint8), BOX, hand, PIXELS, JOINTS)


def test_errors_after_each_alignment():
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = joint_errors_mm(JOINTS + 5, JOINTS)
    assert moved == pytest.approx({"wrist": 0, "centred": 0, "pa": 0}, abs=1e-9)
    turned = joint_errors_mm(2 * JOINTS @ turn.T, JOINTS)
    assert turned["pa"] == pytest.approx(0, abs=1e-9) and turned["centred"] > 30
    one_off = JOINTS.copy()
    one_off[0] += [21, 0, 0]
    errors = joint_errors_mm(one_off, JOINTS)
    assert errors["wrist"] == pytest.approx(20) and errors["centred"] < 3
    unknown = JOINTS.copy()
    unknown[3] = np.nan
    assert joint_errors_mm(one_off, unknown)["wrist"] == pytest.approx(19.95)


def test_keypoint_errors_are_fractions_of_the_longer_side():
    annotated = PIXELS.copy()
    annotated[5:] = np.nan
    assert keypoint_error(PIXELS + [9.6, 0], annotated, BOX) == pytest.approx(0.1)


def test_summary_of_values():
    assert summary([]) == {"count": 0, "mean": None, "median": None, "percentile_90": None}
    found = summary(range(11))
    assert (found["mean"], found["median"], found["percentile_90"]) == (5, 5, 9)


def test_rendered_hands():
    cases = [case(), case()]
    found = measure_rendered(Estimator(cases, scale=1.1), cases)
    assert found["network"]["pa_mm"]["mean"] == pytest.approx(0, abs=1e-9)
    assert found["network"]["centred_mm"]["count"] == 2
    assert found["network"]["centred_mm"]["mean"] > 1
    assert found["MediaPipe"]["wrist_mm"]["mean"] == pytest.approx(0, abs=1e-9)
    missed = measure_rendered(Estimator(cases, finds=False), cases)
    assert missed["MediaPipe"]["found"] == 0 and missed["MediaPipe"]["pa_mm"]["mean"] is None
    assert "| MediaPipe | 0 % | - |" in tables({"rendered": missed})


def test_annotated_images():
    cases = [case("right.jpg"), case("unknown.jpg", None)]
    rows = measure_annotated(Estimator(cases, off_px=9.6 / np.sqrt(2)), cases)
    assert [row["error_2d_network"] for row in rows] == pytest.approx([0.1, 0.1])
    assert [row["hand_network"] for row in rows] == ["right", "left"]  # then as detected
    assert "| unknown.jpg |  | left, 0.10 | left, 0.00 |" in tables({"annotated": rows})


def test_photographs_without_annotation(tmp_path, monkeypatch):
    module = "adapters.prediction.benchmark.measure"
    cases = [case(str(k)) for k in range(3)]
    for k in range(5):
        (tmp_path / f"{k}.jpg").touch()
    monkeypatch.setattr(f"{module}.read_image", lambda file: cases[int(file.stem) // 2].image_rgb)
    found = measure_signs(Estimator(cases), tmp_path, every=2, sheet=tmp_path / "s" / "sheet.jpg")
    assert (found["images"], found["detected"]) == (3, 1)
    assert found["right_handedness"] == {"detector": 0, "network": None}
    assert found["pa_to_mediapipe_mm"]["percentile_90"] == pytest.approx(0, abs=1e-9)
    assert cv2.imread(str(tmp_path / "s" / "sheet.jpg")) is not None
    assert "| images | 3 |" in tables({"signs": found})


def test_a_rendered_video(tmp_path):
    frames = rendered_video(tmp_path, 4)
    assert len(frames) == 4 and len({frame.name for frame in frames}) == 4
    found = measure_video(Estimator(frames), frames)
    for values in found.values():
        assert values["raw"]["found"] == 1 and values["raw"]["jitter_mm"] < 1e-3
        assert values["smoothed"]["wrist_mm"]["mean"] > 0  # it lags behind the hand
    assert tables({"video": found}).count("\n") == 5


def test_annotation_files(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    points = [[float(j), 1.0, float(j != 2)] for j in range(21)]
    annotation = {"image_id": 7, "bbox": [0, 0, 8, 8], "keypoints": np.ravel(points).tolist()}
    images = [{"id": 7, "file_name": "a.png"}]
    path = tmp_path / "test.json"
    for extra, first in (({}, [0, 1, np.nan, 3, 4]), ({"joint_cam": []}, [0, 4, 3, np.nan, 1])):
        content = {"images": images, "annotations": [{**annotation, **extra}]}
        path.write_text(json.dumps(content))
        (found,) = images_of_file(path)
        np.testing.assert_array_equal(found.keypoints_px[:5, 0], first)


def test_the_ten_annotated_images(shared_dir):
    other = shared_dir / "interhand" / "sample_other"
    found = [c for file in sorted(other.glob("*/test_*.json")) for c in images_of_file(file)]
    found += images_of_interhand(shared_dir / "interhand" / "sample")
    assert len(found) == 10 and [c.hand for c in found[-2:]] == ["left", "right"]
    for c in found:
        x, y, width, height = c.box_xywh_px
        inside = (c.keypoints_px >= [x - 5, y - 5]) & (
            c.keypoints_px <= [x + width + 5, y + height + 5]
        )
        assert inside[np.isfinite(c.keypoints_px)].mean() > 0.95
