"""The second edition: takes, continuous poses, surroundings, backgrounds of each split."""

import json

import cv2
import numpy as np
import pytest

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.geometry.boxes import square_box
from gesture_pretrain.synthetic.background import SplitPool, find_photographs
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.taxonomy import Taxonomy

ARGUMENTS = {
    "images_per_split": {"train": 160, "test": 48},
    "subjects": {"train": 4, "test": 3},
    "continuous": {"train": 0.25, "test": 0.5},
    "cameras_per_frame": 2,
    "frames_per_take": 4,
    "size_px": 48,
    "seed": 5,
    "edition": 2,
    "workers": 0,
    "progress": False,
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for k in range(7):
        image = np.random.default_rng(k).integers(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f"{k}.png"), image)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory, photographs):
    folder = tmp_path_factory.mktemp("second") / "set"
    return write_synthetic(folder, backgrounds=photographs, **ARGUMENTS)


def read(root, path: str):
    return json.loads((root / path).read_text(encoding="utf-8"))


def images(root, split: str) -> list[dict]:
    return read(root, f"annotations/{split}/InterHand2.6M_{split}_data.json")["images"]


def takes(root, split: str) -> list[list[dict]]:
    """Images of each take: frames of a folder that follow each other at the usual step."""
    found, before = [], None
    for image in sorted(images(root, split), key=lambda i: (i["capture"], i["frame_idx"])):
        key = image["capture"], image["seq_name"]
        step = {"train": 18, "test": 6}[split]
        if before is None or key != before[0] or image["frame_idx"] - before[1] > step:
            found.append([])
        found[-1].append(image)
        before = key, image["frame_idx"]
    return found


@pytest.mark.parametrize(("split", "fraction"), [("train", 0.25), ("test", 0.5)])
def test_takes_have_their_frames_and_a_fraction_of_them_no_gesture(root, split, fraction):
    found = takes(root, split)
    assert {len({i["frame_idx"] for i in take}) for take in found} == {4}
    continuous = [take[0]["seq_name"].startswith("ROM") for take in found]
    assert len(found) == ARGUMENTS["images_per_split"][split] / 8
    assert np.mean(continuous) == fraction


def test_continuous_poses_have_joints_and_no_class(root):
    index = HandIndex.open(build_interhand_index(root, progress=False))
    labels = [index.record(row).label for row in range(len(index))]
    coarse, _, _ = Taxonomy.load("interhand26m").assign_codes(
        index.values("sequence"), index.labels, index.values("hand"), HANDS
    )
    assert [c == -1 for c in coarse] == [label.startswith("ROM") for label in labels]
    assert all(index.record(row).joints_world_mm is not None for row in range(0, len(index), 10))


def test_splits_share_no_background_and_no_light(root):
    scenes = {split: read(root, f"scenes/{split}.json") for split in ("train", "test")}
    for split, scene in scenes.items():
        assert set(scene["images"]) == {str(image["id"]) for image in images(root, split)}
        assert all(0.4 <= image["visible"] <= 1 for image in scene["images"].values())
    behind = [{i["background"] for i in s["images"].values()} for s in scenes.values()]
    lights = [{d for of in s["lights"].values() for d in of.values()} for s in scenes.values()]
    assert not behind[0] & behind[1] and not lights[0] & lights[1]
    assert {name for name in behind[0] if name.endswith(".png")}  # photographs are used
    card = read(root, "synthetic.json")["parameters"]["second_edition"]["photographs"]
    assert sorted(name for names in card.values() for name in names) == [
        f"{k}.png" for k in range(7)
    ]


def test_another_seed_has_other_backgrounds_lights_and_cameras(root, tmp_path):
    few = {**ARGUMENTS, "images_per_split": {"test": 16}, "seed": 6}
    other = write_synthetic(tmp_path / "set", **few)
    ours, theirs = (read(r, "scenes/test.json") for r in (root, other))
    assert not _digests(ours["lights"]) & _digests(theirs["lights"])
    made = [{i["background"] for i in s["images"].values()} for s in (ours, theirs)]
    assert not made[0] & made[1]
    cameras = [read(r, "annotations/test/InterHand2.6M_test_camera.json") for r in (root, other)]
    assert cameras[0]["0"]["campos"] != cameras[1]["0"]["campos"]


def _digests(lights: dict) -> set[str]:
    return {digest for of_capture in lights.values() for digest in of_capture.values()}


def test_hands_are_seen_from_everywhere_through_many_lenses(root):
    cameras = read(root, "annotations/train/InterHand2.6M_train_camera.json")
    focal = np.array([list(c["focal"].values()) for c in cameras.values()])[..., 0] / 48
    assert focal.min() < 1.2 and focal.max() > 4.5
    away = np.array([list(c["princpt"].values()) for c in cameras.values()]) / 48 - 0.5
    assert np.linalg.norm(away, axis=-1).max() > 0.3  # part of a larger image
    joints = read(root, "annotations/train/InterHand2.6M_train_joint_3d.json")
    rolls, facing = [], []
    for image in images(root, "train"):
        capture, name = str(image["capture"]), image["camera"]
        hand = np.array(joints[capture][str(image["frame_idx"])]["world_coord"])
        hand = hand[:21] if (hand[21:] == 1).all() else hand[21:]
        rotation = np.array(cameras[capture]["camrot"][name])
        x, y, _ = rotation @ (hand[11] - hand[20])  # wrist to the middle finger's knuckle
        rolls.append(np.arctan2(x, -y))
        facing.append((rotation @ np.cross(hand[7] - hand[20], hand[19] - hand[20]))[2] > 0)
    assert np.histogram(rolls, 4, (-np.pi, np.pi))[0].min() > 10
    assert 0.25 < np.mean(facing) < 0.75


def test_detected_boxes_of_all_splits_are_off_by_more_than_the_first_editions(root):
    detected = read(root, "rootnet_output/rootnet_interhand2.6m_output_train.json")
    data = read(root, "annotations/train/InterHand2.6M_train_data.json")["annotations"]
    square = np.array([square_box(a["bbox"], 1.25) for a in data])
    found = np.array([note["bbox"] for note in detected])
    ratio = np.log(found[:, 2] / square[:, 2])
    # 12 % by design; of 160 draws the deviation is within 30 % of it but for outliers
    assert 0.08 < np.median(np.abs(ratio)) / 0.6745 < 0.17


def test_a_steady_take_keeps_cameras_light_and_background(tmp_path):
    few = {**ARGUMENTS, "images_per_split": {"test": 20}, "frames_per_take": 10, "steady": True}
    root = write_synthetic(tmp_path / "set", **few)
    (take,) = takes(root, "test")
    scene = read(root, "scenes/test.json")
    assert len({image["camera"] for image in take}) <= 3  # a view may become a bad one
    assert len({scene["images"][str(i["id"])]["background"] for i in take}) <= 3
    assert len(_digests(scene["lights"])) == 1
    joints = read(root, "annotations/test/InterHand2.6M_test_joint_3d.json")["0"].values()
    path = np.array([note["world_coord"] for note in joints])
    assert 0 < np.abs(np.diff(path, axis=0)).max() < 60  # mm in a tenth of the take


def test_a_folder_of_photographs_is_dealt_to_the_splits(photographs, tmp_path):
    found = find_photographs(photographs, [])
    assert {split: sorted(of) for split, of in found.items()} == {
        "train": ["0.png", "3.png", "4.png", "5.png", "6.png"],
        "val": ["1.png"],
        "test": ["2.png"],
    }
    with pytest.raises(ValueError, match="holds 0 images"):
        find_photographs(tmp_path, [])


def test_a_damaged_photograph_is_named(tmp_path):
    path = tmp_path / "2.jpg"
    path.write_text("no image")
    with pytest.raises(ValueError, match="2.jpg is not readable"):
        SplitPool(seed=0, split="test", size_px=32, photographs={"2.jpg": path}, count=1)


def test_photographs_of_packages(monkeypatch):
    found = find_photographs(None, ["scikit-learn"])
    assert [len(of) for of in found.values()] == [1, 0, 1]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install scikit-learn"):
        find_photographs(None, ["scikit-learn"])
