"""`gesture-pretrain predict` without boxes: detection, videos, the page, and what can go wrong."""

import csv
import json
import shutil
import sys

import cv2
import numpy as np
import pytest
from random_pose_model import store_random_pose_model

from adapters.detection import DetectedHand
from adapters.pose.checkpoint import release_pose_model
from adapters.prediction import HandEstimator, hand_estimator
from gesture_pretrain.commands.main import run_commands
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights import released

SIZE = 320


class FakeDetector:
    """Find the bright squares of an image, as right hands."""

    def __call__(self, image_rgb):
        if min(image_rgb.shape[:2]) < 32:
            raise ValueError("The image has sides below 32 pixels.")
        bright = (image_rgb.min(-1) > 200).astype(np.uint8)
        _, _, boxes, _ = cv2.connectedComponentsWithStats(bright)
        return [
            DetectedHand(np.array([x, y, x + w, y + h]), "right", 0.9, *np.zeros((2, 21, 3)))
            for x, y, w, h, _ in boxes[1:]
        ]


@pytest.fixture(autouse=True)
def detector(monkeypatch):
    monkeypatch.setattr(hand_estimator, "HandDetector", FakeDetector)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A released network of random weights; returns the folder of released weights."""
    folder = tmp_path_factory.mktemp("released")
    stored = store_random_pose_model(folder / "run", taxonomy=Taxonomy.load("interhand26m"))
    release_pose_model(stored, released.POSE_NETWORK, notes="Random weights.", out=folder)
    return folder


@pytest.fixture(autouse=True)
def released_here(network, monkeypatch):
    monkeypatch.setattr(released, "FOLDER", network)


def image_of(squares: int) -> np.ndarray:
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    for k in range(squares):
        row, column = divmod(k, 5)
        image[20 + 60 * row :, 10 + 60 * column :][:40, :40] = 255
    return image


def write(path, squares: int):
    cv2.imwrite(str(path), image_of(squares))
    return path


def predict(*arguments) -> int:
    return run_commands(["predict", *map(str, arguments)])


def read(out) -> dict:
    return json.loads((out / "predictions.json").read_text())


def test_two_lines_of_python():
    hands = HandEstimator()(image_of(2))
    assert [hand.hand for hand in hands] == ["right", "right"]
    assert HandEstimator()(image_of(0)) == []


def test_one_command_writes_everything(tmp_path):
    write(tmp_path / "two.png", 2)
    out = tmp_path / "out"
    assert predict(tmp_path / "*.png", "--out", out, "--html") == 0
    (entry,) = read(out)["images"]
    assert [hand["presence"] for hand in entry["hands"]] == [0.9, 0.9]
    assert entry["camera"]["assumed"] and len(entry["hands"][0]["keypoints_px"]) == 21
    table = list(csv.DictReader((out / "predictions.csv").open()))
    assert len(table) == 42 and table[21]["number"] == "1" and table[0]["joint"] == "wrist"
    assert float(table[5]["x_rel_mm"]) == entry["hands"][0]["joints_rel_mm"][5][0]
    assert (out / "overlays" / "two.png.png").is_file() and len(list(out.glob("meshes/*"))) == 2
    assert (out / "index.html").read_text().count("data-mesh=") == 2


def test_a_given_focal_length_is_reported(tmp_path):
    image, out = write(tmp_path / "one.png", 1), tmp_path / "out"
    assert predict(image, "--out", out, "--focal", "500", "--no-overlays") == 0
    camera = read(out)["images"][0]["camera"]
    assert camera == {"focal_px": 500.0, "centre_px": [159.5, 159.5], "assumed": False}


def test_given_boxes_need_no_detector(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_estimator, "HandDetector", None)
    image, out = write(tmp_path / "one.png", 1), tmp_path / "out"
    assert predict(image, "--out", out, "--box", 10, 20, 40, 40) == 0
    (hand,) = HandEstimator().predict([image_of(1)], [[10, 20, 40, 40]])
    found = read(out)["images"][0]["hands"][0]
    np.testing.assert_allclose(found["keypoints_px"], hand.keypoints_px, atol=1e-3)


def test_ten_hands(tmp_path):
    image, out = write(tmp_path / "ten.png", 10), tmp_path / "out"
    assert predict(image, "--out", out) == 0
    assert len(read(out)["images"][0]["hands"]) == 10


def test_images_that_cannot_be_used_are_named_and_the_others_are_done(tmp_path, capsys):
    write(tmp_path / "good.png", 1)
    write(tmp_path / "none.png", 0)
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "broken.png").write_bytes(b"not an image")
    out = tmp_path / "out"
    assert predict(tmp_path, "--out", out) == 2
    assert [len(entry["hands"]) for entry in read(out)["images"]] == [1, 0, 0]
    said = capsys.readouterr().err
    for name, reason in (
        ("none", "no detected hand"),
        ("tiny", "32"),
        ("broken", "not a readable"),
    ):
        assert any(name in line and reason in line for line in said.splitlines())


def test_no_hand_at_all(tmp_path, capsys):
    assert predict(write(tmp_path / "none.png", 0), "--out", tmp_path / "out") == 1
    assert "no hand was predicted" in capsys.readouterr().err


def test_a_damaged_network(network, tmp_path, capsys, monkeypatch):
    shutil.copytree(network, tmp_path / "released")
    file = tmp_path / "released" / released.POSE_NETWORK / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    monkeypatch.setattr(released, "FOLDER", tmp_path / "released")
    assert predict(write(tmp_path / "one.png", 1), "--out", tmp_path / "out") == 1
    assert "SHA-256" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_without_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    model = store_random_pose_model(tmp_path / "model", taxonomy=None)
    image = write(tmp_path / "one.png", 1)
    assert predict(image, "--model", model, "--out", tmp_path / "out") == 1
    assert "gesture-pretrain[detect]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_stored_network_in_place_of_images(network, tmp_path, capsys):
    assert predict(network / released.POSE_NETWORK, "--out", tmp_path / "out") == 1
    assert "--model" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--box", "1", "2", "3", "4"], ["--html"], ["--every", "2"]])
def test_a_camera_refuses_options_that_it_would_ignore(capsys, monkeypatch, words):
    monkeypatch.setenv("DISPLAY", ":0")
    assert predict("0", *words) == 1
    assert words[0] in capsys.readouterr().err


def test_a_camera_needs_a_display(capsys, monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    assert predict("0") == 1
    assert "display" in capsys.readouterr().err


def test_a_live_view_ends_with_the_key_q(monkeypatch):
    class Camera:
        def __init__(self, index):
            self.frames = [image_of(k) for k in (1, 0, 2)]

        def isOpened(self):
            return True

        def read(self):
            return (True, self.frames.pop(0)) if self.frames else (False, None)

        def release(self):
            pass

    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "")
    monkeypatch.setattr(cv2, "imshow", lambda name, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda milliseconds: ord("q") if len(shown) == 2 else -1)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)
    assert predict("0", "--smooth") == 0
    assert len(shown) == 2 and (shown[0] != image_of(1)).any()


# --- videos ----------------------------------------------------------------------------------


def write_video(path, frames):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (SIZE, SIZE))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def test_hands_of_a_video_are_followed_and_smoothed(tmp_path):
    video = write_video(tmp_path / "v.avi", [image_of(1)] * 4)
    contents = {}
    for name, options in (("raw", []), ("smooth", ["--smooth"])):
        assert predict(video, "--out", tmp_path / name, *options) == 0
        contents[name] = read(tmp_path / name)
    raw, smooth = ([image["hands"][0] for image in c["images"]] for c in contents.values())
    assert [hand["track"] is not None for hand in raw] == [True] * 4
    assert contents["smooth"]["network"]["smoothed"]
    assert smooth[0]["joints_rel_mm"] == raw[0]["joints_rel_mm"]
    assert smooth[0]["mano_pose"] == raw[0]["mano_pose"]
    assert (tmp_path / "raw" / "overlays" / "v.avi.mp4").is_file()


def test_the_unfinished_video_of_a_killed_prediction_is_deleted(tmp_path):
    video, out = write_video(tmp_path / "v.avi", [image_of(1)]), tmp_path / "out"
    left = out / "overlays" / ".other.part.mp4"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a video")
    assert predict(video, "--out", out) == 0
    assert [path.name for path in left.parent.iterdir()] == ["v.avi.mp4"]


@pytest.mark.parametrize("content", [b"", b"RIFF0000AVI LIST"], ids=["empty", "header only"])
def test_a_video_without_frames(tmp_path, capsys, content):
    (tmp_path / "v.avi").write_bytes(content)
    assert predict(tmp_path / "v.avi", "--out", tmp_path / "out") == 1
    assert "v.avi" in capsys.readouterr().err


def test_a_video_whose_frames_cannot_be_decoded_is_noted(tmp_path, monkeypatch, capsys):
    class Undecodable:
        def __init__(self, path):
            pass

        def isOpened(self):
            return True

        def get(self, key):
            return 0.0

        def read(self):
            return False, None

        def release(self):
            pass

    (tmp_path / "v.avi").write_bytes(b"x")
    write(tmp_path / "one.png", 1)
    monkeypatch.setattr(cv2, "VideoCapture", Undecodable)
    assert predict(tmp_path, "--out", tmp_path / "out") == 2
    assert "no frame" in capsys.readouterr().err and len(read(tmp_path / "out")["images"]) == 1
