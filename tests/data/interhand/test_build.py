"""The InterHand2.6M reader: every value against the JSON, and the traps of the real files."""

import json

import numpy as np
import pytest

from gesture_pretrain.data.description import describe_index
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.skeleton import MANO21_FROM_INTERHAND


def build(root, **arguments):
    return HandIndex.open(build_interhand_index(root, progress=False, **arguments), verify=True)


def data_json(root, split="train"):
    return root / "annotations" / split / f"InterHand2.6M_{split}_data.json"


def in_ours_order(rows_of_file):
    both = np.asarray(rows_of_file, np.float32).reshape(2, 21, -1)
    return both[:, list(MANO21_FROM_INTERHAND)].squeeze(-1 if both.shape[-1] == 1 else ())


@pytest.mark.parametrize("layout", ["v1.0", "v0.0"])
@pytest.mark.parametrize("indent", [None, 4])
def test_every_value_is_bit_identical_to_the_json(tiny_release, tmp_path, layout, indent):
    index = build(tiny_release.write(tmp_path, layout, indent))
    rows = iter(range(len(index)))
    for split, files in tiny_release.json.items():
        by_image = {a["image_id"]: a for a in files["data"]["annotations"]}
        for image in files["data"]["images"]:
            record = index.record(next(rows))
            check_image(record, split, image, by_image[image["id"]], tmp_path)
            check_world(record, image, files)
    assert next(rows, None) is None
    assert index.meta["rounded_to_float32"] == {}


def check_image(record, split, image, annotation, root):
    assert record.split == split
    assert record.image_id == image["id"]
    assert record.image_path == root / "images" / split / image["file_name"]
    assert record.image_size_wh == (image["width"], image["height"])
    assert (record.capture, record.subject) == (image["capture"], image["subject"])
    assert (record.label, record.camera) == (image["seq_name"], image["camera"])
    assert record.frame == image["frame_idx"]
    assert record.grey_camera == image["camera"].startswith("41")
    assert record.hand == annotation["hand_type"] and record.hand_type_valid
    np.testing.assert_array_equal(record.bbox_xywh_px, np.float32(annotation["bbox"]))
    np.testing.assert_array_equal(record.joint_in_view, in_ours_order(annotation["joint_valid"]))


def check_world(record, image, files):
    capture, frame, camera = str(image["capture"]), str(image["frame_idx"]), image["camera"]
    joints = files["joint_3d"][capture][frame]
    triangulated = in_ours_order(joints["joint_valid"]).astype(bool)
    np.testing.assert_array_equal(record.joint_triangulated, triangulated)
    world = np.where(triangulated[..., None], in_ours_order(joints["world_coord"]), np.nan)
    np.testing.assert_array_equal(record.joints_world_mm, world)
    calibration = files["camera"][capture]
    np.testing.assert_array_equal(record.R_cam_world, np.float32(calibration["camrot"][camera]))
    np.testing.assert_array_equal(
        record.camera_center_mm, np.float32(calibration["campos"][camera])
    )
    np.testing.assert_array_equal(record.focal_px, np.float32(calibration["focal"][camera]))
    np.testing.assert_array_equal(record.princpt_px, np.float32(calibration["princpt"][camera]))
    fits = files["MANO_NeuralAnnot"].get(capture, {}).get(frame, {})
    for hand in ("right", "left"):
        fit, given = record.mano[hand], fits.get(hand)
        assert (fit is None) == (given is None)
        if given is not None:
            np.testing.assert_array_equal(fit.pose, np.float32(given["pose"]))
            np.testing.assert_array_equal(fit.shape, np.float32(given["shape"]))
            np.testing.assert_array_equal(fit.trans_m, np.float32(given["trans"]))


def test_the_column_keeps_the_files_fillers_and_the_record_masks_them(tiny_release, tmp_path):
    index = build(tiny_release.write(tmp_path))
    record = index.record(0)
    stored = index.columns["step_joints_world_mm"][index.values("step")[0]]
    assert (stored[~record.joint_triangulated] == 1.0).all()
    assert np.isnan(record.joints_world_mm[~record.joint_triangulated]).all()


def test_the_two_joint_valids_are_kept_apart(tiny_release, tmp_path):
    index = build(tiny_release.write(tmp_path))
    record = index.record(0)
    assert (record.joint_triangulated & ~record.joint_in_view).any()
    assert (record.joint_in_view & ~record.joint_triangulated).any()


def test_same_capture_frame_and_camera_of_two_splits_differ(tiny_release, tmp_path):
    index = build(tiny_release.write(tmp_path))
    train, val = index.record(index.select("train")[0]), index.record(index.select("val")[0])
    assert (train.capture, train.frame, train.camera) == (val.capture, val.frame, val.camera)
    assert train.image_path != val.image_path
    assert not np.array_equal(train.R_cam_world, val.R_cam_world)
    assert not np.array_equal(train.mano["right"].pose, val.mano["right"].pose)


def test_flags_may_be_bare_or_boolean_and_seq_may_be_there(tiny_release, tmp_path):
    plain = build(tiny_release.write(tmp_path / "a"))
    for files in tiny_release.json.values():
        for annotation in files["data"]["annotations"]:
            annotation["joint_valid"] = [bool(flag) for (flag,) in annotation["joint_valid"]]
            annotation["hand_type_valid"] = True
        for frames in files["joint_3d"].values():
            for entry in frames.values():
                entry["joint_valid"] = [int(flag) for (flag,) in entry["joint_valid"]]
                entry["seq"] = "0007_thumbup_normal"
    loose = build(tiny_release.write(tmp_path / "b"))
    for name in plain.columns:
        np.testing.assert_array_equal(plain.columns[name], loose.columns[name], err_msg=name)


def test_absent_joints_calibration_and_fits_are_none_and_counted(tiny_release, tmp_path):
    files = tiny_release.json["train"]
    del files["joint_3d"]["3"]["100"], files["MANO_NeuralAnnot"]["3"]
    del files["camera"]["0"]
    index = build(tiny_release.write(tmp_path))
    first, both = index.record(0), index.record(4)
    assert first.R_cam_world is None and first.princpt_px is None
    assert (both.capture, both.frame) == (3, 100)
    assert both.joints_world_mm is None and not both.joint_triangulated.any()
    assert both.mano == {"right": None, "left": None}
    assert "1 time steps without joints" in describe_index(index)


def test_without_mano_file_there_are_no_fits(tiny_release, tmp_path):
    for files in tiny_release.json.values():
        del files["MANO_NeuralAnnot"]
    index = build(tiny_release.write(tmp_path))
    assert index.record(0).mano == {"right": None, "left": None}


def test_joins_through_image_id_not_annotation_id(tiny_release, tmp_path):
    for k, annotation in enumerate(tiny_release.json["train"]["data"]["annotations"]):
        annotation["id"] = 900 + k
    index = build(tiny_release.write(tmp_path))
    files = tiny_release.json["train"]["data"]
    by_image = {a["image_id"]: a for a in files["annotations"]}
    for row, image in enumerate(files["images"]):
        annotation = by_image[image["id"]]
        np.testing.assert_array_equal(
            index.record(row).bbox_xywh_px, np.float32(annotation["bbox"])
        )
        assert index.values("annotation_id")[row] == annotation["id"]


def test_an_image_without_annotation_has_no_box_and_an_unknown_hand(tiny_release, tmp_path):
    missing = tiny_release.json["train"]["data"]["annotations"].pop()["image_id"]
    index = build(tiny_release.write(tmp_path))
    row = int(np.flatnonzero(index.values("image_id") == missing)[0])
    record = index.record(row)
    assert record.bbox_xywh_px is None and record.hand == "unknown"
    assert not record.joint_in_view.any()
    assert "1 images without annotation" in describe_index(index)


def test_numbers_that_are_not_float32_are_counted(tiny_release, tmp_path):
    tiny_release.json["train"]["data"]["annotations"][0]["bbox"][0] = 0.1
    index = build(tiny_release.write(tmp_path))
    assert index.meta["rounded_to_float32"] == {"bbox_xywh_px": 1}


def test_detections_are_optional_columns(tiny_release, tmp_path):
    root = tiny_release.write(tmp_path)
    ids = [a["id"] for a in tiny_release.json["val"]["data"]["annotations"]]
    folder = root / "rootnet_output"
    folder.mkdir()
    detection = {
        "annot_id": ids[0],
        "bbox": [-41.5, -57.25, 416.25, 416.25],
        "abs_depth": [1000.0, 2.0],
        "root_valid": [1.0, 0.0],
    }
    path = folder / "rootnet_interhand2.6m_output_val.json"
    path.write_text(json.dumps([detection]))
    index = build(root)
    row = int(np.flatnonzero(index.values("image_id") == ids[0])[-1])
    np.testing.assert_array_equal(index.values("detected_bbox_xywh_px")[row], detection["bbox"])
    assert np.isnan(index.values("detected_bbox_xywh_px")[0]).all()
    assert index.values("detected_wrist_depth_mm")[row, 0] == 1000.0
    assert np.isnan(index.values("detected_wrist_depth_mm")[row, 1])
    path.write_text(json.dumps([{**detection, "annot_id": 999_999}]))
    with pytest.raises(DataError, match="5 fps and the 30 fps"):
        build(root)


def test_the_same_input_gives_the_same_index_bytes(tiny_release, tmp_path):
    tiny_release.write(tmp_path)
    folders = [
        build_interhand_index(tmp_path, tmp_path / name, progress=False) for name in ("a", "b")
    ]
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name


def test_synthetic_json_marks_the_index(tiny_release, tmp_path):
    (tmp_path / "synthetic.json").write_text('{"licence": "CC0-1.0", "seed": 0}')
    index = build(tiny_release.write(tmp_path))
    assert index.meta["synthetic"]["seed"] == 0
    assert index.meta["licence"] == "CC0-1.0"
    assert "rendered" in describe_index(index)
