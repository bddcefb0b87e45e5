"""The miniature has the shape of the real release, trap by trap (see docs/data.md)."""

import json
from collections import Counter
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.interhand import build_interhand_index
from gesture_pretrain.files import DiskFull
from gesture_pretrain.synthetic.miniature import write_miniature
from gesture_pretrain.synthetic.miniature.recordings import plan_recordings
from gesture_pretrain.taxonomy import Taxonomy

SPLITS = ("train", "val", "test")
SIZES = {"gestures": 2, "frames": 5, "long_side_px": 64}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = write_miniature(tmp_path_factory.mktemp("miniature") / "data", **SIZES)
    build_interhand_index(folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def files(root):
    """split -> kind -> content."""
    return {
        split: {
            kind: json.loads(
                (root / f"annotations/{split}/InterHand2.6M_{split}_{kind}.json").read_text()
            )
            for kind in ("data", "camera", "joint_3d", "MANO_NeuralAnnot")
        }
        for split in SPLITS
    }


def sequences(files, split, *captures):
    images = files[split]["data"]["images"]
    return {i["seq_name"] for i in images if not captures or i["capture"] in captures}


def test_which_sequences_are_in_which_split(files, root):
    assert all(name.startswith("ROM") for name in sequences(files, "val"))
    assert all(name.startswith("ROM") for name in sequences(files, "test", 0, 1))
    assert any(name.startswith("00") for name in sequences(files, "test", 2))
    assert {name[:2] for name in sequences(files, "train")} == {"00", "01", "02", "03", "RO"}
    subjects = {s: {i["subject"] for i in files[s]["data"]["images"]} for s in SPLITS}
    assert len(subjects["train"]) >= 2 and not subjects["train"] & subjects["test"]
    index, taxonomy = HandIndex.open(root), Taxonomy.load("interhand26m")
    counts = [len(index.select(split, labelled_by=taxonomy)) for split in SPLITS]
    assert counts[0] and not counts[1] and 0 < counts[2] < len(index.select("test"))


def test_names_captures_and_calibrations_repeat_across_splits(files):
    names = {s: {i["file_name"] for i in files[s]["data"]["images"]} for s in SPLITS}
    assert len(names["val"] & names["test"]) > 10
    calibrations = [files[s]["camera"]["0"]["focal"]["410015"] for s in SPLITS]
    assert len({tuple(focal) for focal in calibrations}) == 3


def test_ids_have_gaps_and_annotations_another_order(files):
    for split in SPLITS:
        images, notes = (files[split]["data"][kind] for kind in ("images", "annotations"))
        ids = [image["id"] for image in images]
        assert ids == sorted(set(ids)) and ids[-1] - ids[0] > len(ids)
        order = [note["image_id"] for note in notes]
        assert order != ids and sorted(order) == ids


def test_frame_steps_and_neutral_ends(files):
    for split, step in (("train", 18), ("val", 6), ("test", 6)):
        frames = {}
        for image in files[split]["data"]["images"]:
            key = image["capture"], image["seq_name"]
            frames.setdefault(key, set()).add(image["frame_idx"])
        assert all(not np.any(np.diff(sorted(f)) % step) for f in frames.values())
    for recording in plan_recordings(gestures=2, frames=6, seed=0):
        if recording.folder[:2] in ("00", "01"):
            assert recording.poses[0].startswith("neutral")
            assert recording.amount[0] == recording.amount[-1] == 0 and max(recording.amount) == 1


def test_fits_are_complete_null_or_absent(files):
    found = Counter()
    for split in SPLITS:
        for capture, joints in files[split]["joint_3d"].items():
            fits = files[split]["MANO_NeuralAnnot"][capture]
            for frame, entry in joints.items():
                hands = ("right", "left")
                hands = hands if entry["hand_type"] == "interacting" else (entry["hand_type"],)
                for hand in hands:
                    absent = frame not in fits
                    found["absent" if absent else "null" if not fits[frame][hand] else "fit"] += 1
    assert found["fit"] > 5 * found["null"] > 0 and found["absent"] > 0


def test_joints_that_are_not_known_are_fillers_and_the_others_lie_on_the_hand(files, root):
    for split in SPLITS:
        for capture in files[split]["joint_3d"].values():
            for entry in capture.values():
                world, valid = np.array(entry["world_coord"]), np.array(entry["joint_valid"])[:, 0]
                assert (world[valid == 0] == 1.0).all() and (world[valid != 0] != 1.0).any()
    index = HandIndex.open(root)
    checked = 0
    for row in index.select("train", hands=["right"])[::7]:
        record = index.record(int(row))
        known = record.joint_triangulated[0] & record.joint_in_view[0]
        image = cv2.imread(str(record.image_path))
        camera = (record.joints_world_mm[0] - record.camera_center_mm) @ record.R_cam_world.T
        pixels = record.focal_px * camera[:, :2] / camera[:, 2:] + record.princpt_px
        column, line = np.rint(pixels[known]).astype(int).T
        assert (image[line, column].max(axis=1) > 80).mean() > 0.7  # skin before a dark wall
        checked += 1
    assert checked > 5


def test_views_of_two_hands_may_have_one_annotated(files):
    found = Counter()
    for split in SPLITS:
        images = {image["id"]: image for image in files[split]["data"]["images"]}
        for note in files[split]["data"]["annotations"]:
            image = images[note["image_id"]]
            entry = files[split]["joint_3d"][str(image["capture"])][str(image["frame_idx"])]
            found[entry["hand_type"], note["hand_type"]] += 1
            shown = np.array(note["joint_valid"]).reshape(2, 21).any(axis=1)
            assert shown.tolist() == [note["hand_type"] != "left", note["hand_type"] != "right"]
    assert found["interacting", "right"] and found["interacting", "left"]
    assert found["interacting", "interacting"] > found["interacting", "right"]


def test_portrait_landscape_and_monochrome_images(files, root):
    shapes, grey = Counter(), {"40": set(), "41": set()}
    for image in files["train"]["data"]["images"][::5]:
        pixels = cv2.imread(str(root / "images/train" / image["file_name"]))
        assert pixels.shape[:2] == (image["height"], image["width"])
        shapes[pixels.shape[:2]] += 1
        channels_agree = (pixels == pixels[..., :1]).all()
        grey[image["camera"][:2]].add(bool(channels_agree))
    assert shapes[64, 42] > shapes[42, 64] > 0
    assert grey == {"40": {False}, "41": {True}}


def test_detections_and_human_lists(files, root):
    for split in ("val", "test"):
        path = root / f"rootnet_output/rootnet_interhand2.6m_output_{split}.json"
        notes = json.loads(path.read_text())
        ids = {note["id"] for note in files[split]["data"]["annotations"]}
        assert {note["annot_id"] for note in notes} == ids
        boxes = np.array([note["bbox"] for note in notes])
        assert np.allclose(boxes[:, 2], boxes[:, 3]) and (boxes[:, :2] < 0).any()
    listed = (root / "annotations/aid_human_annot_train.txt").read_text().split()
    assert listed != sorted(listed, key=int)


def test_the_same_seed_gives_the_same_bytes_and_the_index_says_what_it_is(root, tmp_path):
    again = write_miniature(tmp_path / "again", **SIZES)
    for path in sorted(again.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (root / path.relative_to(again)).read_bytes(), path
    index = HandIndex.open(root)
    assert index.meta["data_name"] == "InterHand2.6M miniature" and index.meta["synthetic"]


def test_the_space_is_estimated_before_anything_is_rendered(root, tmp_path, monkeypatch):
    size_bytes = sum(
        path.stat().st_size for path in root.rglob("*.j*") if "index" not in path.parts
    )
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(DiskFull, match="MB needed") as caught:
        write_miniature(tmp_path / "data", **SIZES)
    assert 0.5 * size_bytes < caught.value.bytes_needed < size_bytes
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"gestures": 0}, {"frames": 3}, {"cameras": 2}])
def test_impossible_sizes_are_refused(options, tmp_path):
    with pytest.raises(ValueError, match=next(iter(options))):
        write_miniature(tmp_path / "data", **options)
    assert not list(tmp_path.iterdir())
