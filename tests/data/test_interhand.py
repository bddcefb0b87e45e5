"""The InterHand2.6M reader: every value against the JSON, the four real samples, bad input."""

import json

import numpy as np
import pytest

from gesture_pretrain.data import published_counts
from gesture_pretrain.data.annotation_files import AnnotationFiles
from gesture_pretrain.data.annotation_stream import JsonStream
from gesture_pretrain.data.errors import DataError
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.index_report import describe_index
from gesture_pretrain.data.interhand import build_index_from_files, build_interhand_index
from gesture_pretrain.data.published_counts import HandCounts
from gesture_pretrain.geometry import project_px, square_box, world_to_camera_mm
from gesture_pretrain.skeleton import INTERHAND_FROM_MANO21, MANO21_FROM_INTERHAND

# golden.json states these: what separates right from wrong, given oracles in float32
TOLERANCE_PX = 2e-3
TOLERANCE_MM = 2e-3
TOLERANCE_BOX_PX = 1e-2


def build(root, **arguments):
    return HandIndex.open(build_interhand_index(root, progress=False, **arguments), verify=True)


def data_json(root, split="train"):
    return root / "annotations" / split / f"InterHand2.6M_{split}_data.json"


def in_ours_order(rows_of_file):
    both = np.asarray(rows_of_file, np.float32).reshape(2, 21, -1)
    return both[:, list(MANO21_FROM_INTERHAND)].squeeze(-1 if both.shape[-1] == 1 else ())


# --- every value, and the traps ----------------------------------------------------------------


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
    stored = index.columns["step_joints_world_mm"][index.row(0).step]
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


def test_detections_and_human_lists_are_optional_columns(tiny_release, tmp_path):
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
    (root / "annotations" / "aid_human_annot_val.txt").write_text(f"{ids[1]}\n{ids[0]}\n")
    index = build(root)
    row = int(np.flatnonzero(index.values("image_id") == ids[0])[-1])
    np.testing.assert_array_equal(index.values("detected_bbox_xywh_px")[row], detection["bbox"])
    assert np.isnan(index.values("detected_bbox_xywh_px")[0]).all()
    assert index.values("detected_wrist_depth_mm")[row, 0] == 1000.0
    assert np.isnan(index.values("detected_wrist_depth_mm")[row, 1])
    assert len(index.select("val", human_annotated=True)) == 2
    assert len(index.select("train", human_annotated=True)) == 0
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


# --- the four real samples ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample_index(shared_dir, tmp_path_factory):
    sample = shared_dir / "interhand" / "sample"
    files = AnnotationFiles(
        "test",
        sample,
        *(sample / f"test_interhand2.6m_{kind}.json" for kind in ("data", "camera", "joint_3d")),
    )
    out = tmp_path_factory.mktemp("sample") / "index"
    return HandIndex.open(build_index_from_files([files], sample, out, progress=False), verify=True)


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


# --- which release -----------------------------------------------------------------------------


def test_counts_tell_the_release():
    counts = {
        split: published_counts.PUBLISHED["v1.0", "human and machine annotations", split]
        for split in ("train", "val", "test")
    }
    assert published_counts.release_of(counts).name == "v1.0"
    counts["val"] = HandCounts(113_370, 70_917)
    assert published_counts.release_of(counts).name is None
    assert published_counts.release_of({"val": counts["val"]}).name == "v0.0"


def test_published_totals_add_up():
    totals = {key: counts.total for key, counts in published_counts.PUBLISHED.items()}
    both = "human and machine annotations"
    assert totals["v1.0", both, "train"] == 1_361_062
    assert totals["v0.0", both, "train"] == 738_602
    for release in published_counts.RELEASES:  # people and machine do not overlap in test
        parts = (f"{kind} annotations" for kind in ("human", "machine"))
        assert sum(totals[release, part, "test"] for part in parts) == totals[release, both, "test"]


def test_wrong_release_is_refused_and_an_earlier_index_stays(tiny_release, tmp_path, monkeypatch):
    """v0.0 annotations are published under a v1.0 tag: only the counts tell."""
    root = tiny_release.write(tmp_path)
    published = {
        ("v0.0", "human and machine annotations", "train"): HandCounts(6, 2),
        ("v0.0", "human and machine annotations", "val"): HandCounts(6, 2),
    }
    monkeypatch.setattr(published_counts, "PUBLISHED", published)
    index = build(root, expect_release="v0.0")
    assert index.meta["release"]["name"] == "v0.0"
    with pytest.raises(DataError, match="expected InterHand2.6M v1.0.* are of v0.0"):
        build(root, expect_release="v1.0")
    assert len(HandIndex.open(root, verify=True)) == 16


# --- bad input ---------------------------------------------------------------------------------


def test_missing_root(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        build(tmp_path / "nowhere")


def test_no_annotations(tmp_path):
    with pytest.raises(DataError, match="no folder 'annotations'"):
        build(tmp_path)
    (tmp_path / "annotations").mkdir()
    with pytest.raises(DataError, match="no annotations of any split.*found none"):
        build(tmp_path)


def test_split_or_file_that_is_not_there(tiny_release, tmp_path):
    root = tiny_release.write(tmp_path)
    with pytest.raises(DataError, match="no annotations of test.*found train, val"):
        build(root, splits=["test"])
    (data_json(root).parent / "InterHand2.6M_train_joint_3d.json").unlink()
    with pytest.raises(DataError, match="train_joint_3d.json is missing"):
        build(root)


@pytest.mark.parametrize("kind", ["data", "camera", "joint_3d", "MANO_NeuralAnnot"])
def test_truncated_json_names_file_and_byte(tiny_release, tmp_path, kind):
    root = tiny_release.write(tmp_path)
    path = root / "annotations" / "train" / f"InterHand2.6M_train_{kind}.json"
    whole = path.read_bytes()
    for kept in (0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=rf"train_{kind}.json: .*at byte \d+ of {kept} "):
            build(root)
    assert not (root / "index").exists()
    assert not list(root.glob(".index*"))


def test_truncation_is_called_so_with_the_offset_of_the_end(tmp_path):
    path = tmp_path / "cut.json"
    path.write_text('{"images": [{"id": 1}, {"id": 2')
    with JsonStream(path, block_bytes=8) as stream, pytest.raises(DataError) as caught:
        for _ in stream.members():
            list(stream.element_batches(1))
    assert "truncated JSON at byte 31 of 31" in str(caught.value)


def test_not_json_shows_what_it_is_instead(tiny_release, tmp_path):
    root = tiny_release.write(tmp_path)
    data_json(root).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(DataError, match="at byte 0.*git-lfs"):
        build(root)


def test_damage_inside_is_found_at_its_byte(tmp_path):
    text = '[{"a": 1}, {"é": 2}, {"b" 3}, {"c": 4}]'
    path = tmp_path / "damaged.json"
    path.write_text(text, encoding="utf-8")
    offset = text.encode().index(b" 3}")
    with JsonStream(path, block_bytes=5) as stream:
        with pytest.raises(DataError, match=rf"damaged JSON at byte {offset + 1} "):
            list(stream.element_batches(2))


def test_text_after_the_end_is_an_error(tmp_path):
    path = tmp_path / "two.json"
    path.write_text("[1] [2]")
    with JsonStream(path) as stream:
        assert list(stream.element_batches(8)) == [[1]]
        with pytest.raises(DataError, match="expected the end of the file"):
            stream.finish()


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 64])
def test_stream_equals_json_load_wherever_the_blocks_end(tmp_path, block_bytes, ascii_only):
    content = {
        "numbers": [1, -12.5e-7, 1.5e300, 0, 123456789],
        "text": ["é", "\\", '"]}', "😀", ""],
        "deep": [{"a": [[1], [], {}]}, None, True, False],
        "empty": [],
    }
    path = tmp_path / "content.json"
    path.write_text(json.dumps(content, ensure_ascii=ascii_only, indent=1), "utf-8")
    read = {}
    with JsonStream(path, block_bytes=block_bytes) as stream:
        for key in stream.members():
            read[key] = [value for batch in stream.element_batches(2) for value in batch]
        stream.finish()
    assert read == content


def test_a_stray_annotation_names_its_image(tiny_release, tmp_path):
    tiny_release.json["train"]["data"]["annotations"][0]["image_id"] = 55_555
    with pytest.raises(DataError, match="first image_id 55555"):
        build(tiny_release.write(tmp_path))


def test_repeated_images_and_annotations_are_named(tiny_release, tmp_path):
    data = tiny_release.json["train"]["data"]
    data["annotations"].append(data["annotations"][0])
    repeated = data["annotations"][0]["image_id"]
    with pytest.raises(DataError, match=f"repeated annotated images, first {repeated}"):
        build(tiny_release.write(tmp_path))
    data["images"].append(data["images"][0])
    with pytest.raises(DataError, match="repeated image ids, first 10"):
        build(tiny_release.write(tmp_path))


def test_missing_keys_and_odd_values_are_named(tiny_release, tmp_path):
    annotation = tiny_release.json["train"]["data"]["annotations"][0]
    flag, annotation["joint_valid"][0] = annotation["joint_valid"][0], [2]
    with pytest.raises(DataError, match="joint_valid of 2"):
        build(tiny_release.write(tmp_path))
    annotation["joint_valid"][0] = flag
    del annotation["bbox"]
    with pytest.raises(DataError, match="lacks bbox"):
        build(tiny_release.write(tmp_path))


def test_a_folder_that_is_not_an_index_is_not_replaced(tiny_release, tmp_path):
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="not an index, so it is left alone"):
        build(tiny_release.write(tmp_path), out=out)
    assert (out / "thesis.txt").exists()
