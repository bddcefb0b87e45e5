"""The index as a gate: impossible annotations are named, and dropped only on request."""

import json

import numpy as np
import pytest

from gesture_pretrain.data.index.checks import check_relative_path
from gesture_pretrain.data.index.errors import DataError, IndexFormatError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index


def _set(place, value):
    """A change of the training split's files at a place such as "data/annotations/0/bbox/2"."""

    def change(files):
        *path, last = [int(k) if k.isdigit() and n > 0 else k for n, k in enumerate(place)]
        node = files
        for key in path:
            node = node[key if isinstance(node, list) else str(key)]
        node[last if isinstance(node, list) else str(last)] = value

    return change


BOX, CAMERA = ("data", "annotations", "0", "bbox"), ("camera", "0")
JOINTS, FIT = ("joint_3d", "0", "100", "world_coord"), ("MANO_NeuralAnnot", "0", "100", "right")
FAULTS = {
    "box_without_area": _set((*BOX, "2"), 0.0),
    "box_not_finite": _set((*BOX, "0"), float("nan")),
    "box_outside": _set((*BOX, "1"), 1e9),
    "camera": _set((*CAMERA, "focal", "400002"), [0.0, 1200.0]),
    "joint_not_finite": _set((*JOINTS, "20"), [float("nan")] * 3),
    "bone_length": _set(JOINTS, (np.arange(126).reshape(42, 3) * 1e-3).tolist()),
    "fit": _set((*FIT, "pose"), [1e6] * 48),
}
CAMERAS = {
    "not finite": ("focal", [float("inf"), 1200.0]),
    "negative": ("focal", [-1200.0, 1200.0]),
    "no rotation": ("camrot", np.eye(3)[[0, 1, 1]].tolist()),
    "mirrored": ("camrot", np.diag([1.0, 1.0, -1.0]).tolist()),
    "scaled": ("camrot", (2 * np.eye(3)).tolist()),
}


def _build(release, root, **options):
    path = build_interhand_index(release.write(root), progress=False, **options)
    return HandIndex.open(path, verify=True)


@pytest.mark.parametrize("kind", FAULTS)
def test_impossible_numbers_are_refused_or_dropped(tiny_release, tmp_path, kind, capsys):
    FAULTS[kind](tiny_release.json["train"])
    with pytest.raises(DataError, match=r"the first is image .* capture \d"):
        _build(tiny_release, tmp_path)
    assert not (tmp_path / "index").exists()
    index = _build(tiny_release, tmp_path, on_invalid="drop")
    checked = index.meta["checked"]
    assert set(checked["found"]) == {kind}
    assert len(index) + checked["dropped_images"] == 16 and checked["dropped_images"] > 0
    assert "Left out" in capsys.readouterr().out
    assert len(index.select("val")) == 8
    assert sum(of["images"] for of in index.meta["counts"].values()) == len(index)


@pytest.mark.parametrize("fault", CAMERAS)
def test_every_impossible_camera_is_refused(tiny_release, tmp_path, fault):
    key, value = CAMERAS[fault]
    _set((*CAMERA, key, "400002"), value)(tiny_release.json["train"])
    with pytest.raises(DataError, match="camera"):
        _build(tiny_release, tmp_path)


def test_joints_behind_their_camera_are_refused(tiny_release, tmp_path):
    for centre in tiny_release.json["val"]["camera"]["3"]["campos"].values():
        centre[:] = [-value for value in centre]
    with pytest.raises(DataError, match="behind"):
        _build(tiny_release, tmp_path, splits=["val"])


def test_dropping_keeps_the_file_names_of_the_others(tiny_release, tmp_path):
    files = tiny_release.json["train"]["data"]
    for number, image in enumerate(files["images"]):
        image["file_name"] = f"odd/{number}.jpg"
    FAULTS["box_outside"](tiny_release.json["train"])
    index = _build(tiny_release, tmp_path, splits=["train"], on_invalid="drop")
    names = {image["id"]: image["file_name"] for image in files["images"]}
    assert len(index) == 7
    for row in range(7):
        record = index.record(row)
        assert str(record.image_path).endswith(names[record.image_id])


def test_nothing_is_left(tiny_release, tmp_path):
    for annotation in tiny_release.json["train"]["data"]["annotations"]:
        annotation["bbox"] = [0.0] * 4
    with pytest.raises(DataError, match="every image"):
        _build(tiny_release, tmp_path, splits=["train"], on_invalid="drop")


IMAGE, ANNOTATION = ("data", "images", "0"), ("data", "annotations", "0")
ODD_ENTRIES = {
    "fraction of a frame": (_set((*IMAGE, "frame_idx"), 100.5), "frame_idx"),
    "text as capture": (_set((*IMAGE, "capture"), "0"), "capture"),
    "huge id": (_set((*IMAGE, "id"), 2**40), "id"),
    "negative id": (_set((*ANNOTATION, "id"), -1), "id"),
    "no width": (_set((*IMAGE, "width"), 0), "width"),
    "path upwards": (_set((*IMAGE, "file_name"), "../../etc/passwd"), "leads out"),
    "absolute path": (_set((*IMAGE, "file_name"), "/etc/passwd"), "leads out"),
    "label upwards": (_set((*IMAGE, "seq_name"), "../.."), "leads out"),
    "list as label": (_set((*IMAGE, "seq_name"), []), "seq_name"),
    "text in a camera": (_set((*CAMERA, "focal", "400002"), ["a", 1]), "capture 0, camera 400002"),
    "no camera": (_set((*CAMERA, "focal"), {}), "capture 0"),
    "calibration of nothing": (_set(("camera", "x"), {"campos": {}}), "'x'"),
    "joints as text": (_set(JOINTS, "x"), "capture 0 frame 100"),
    "fit as list": (_set(FIT, [1]), "capture 0 frame 100"),
}


@pytest.mark.parametrize("case", ODD_ENTRIES)
def test_odd_entries_are_named_with_their_place(tiny_release, tmp_path, case):
    change, message = ODD_ENTRIES[case]
    change(tiny_release.json["train"])
    with pytest.raises(DataError, match=message):
        _build(tiny_release, tmp_path)


def test_repeated_annotation_ids_are_refused(tiny_release, tmp_path):
    annotations = tiny_release.json["train"]["data"]["annotations"]
    annotations[1]["id"] = annotations[0]["id"]
    with pytest.raises(DataError, match="repeated annotation ids"):
        _build(tiny_release, tmp_path)


def test_captures_of_any_number_keep_their_cameras(tiny_release, tmp_path):
    """A dense table took 22 TiB for 2^31 - 1, and gave capture 0 the camera of capture -1."""
    files = tiny_release.json["train"]
    for old, new in ((3, -1), (0, 2**31 - 1)):
        for image in files["data"]["images"]:
            image["capture"] = new if image["capture"] == old else image["capture"]
        for kind in ("camera", "joint_3d", "MANO_NeuralAnnot"):
            files[kind][str(new)] = files[kind].pop(str(old))
    index = _build(tiny_release, tmp_path, splits=["train"])
    assert {index.record(row).capture for row in range(8)} == {-1, 2**31 - 1}
    for row in range(8):
        record = index.record(row)
        calibration = files["camera"][str(record.capture)]
        np.testing.assert_array_equal(
            record.focal_px, np.float32(calibration["focal"][record.camera])
        )
    assert sum(file.stat().st_size for file in index.path.iterdir()) < 100_000


META = {
    "no licence": (lambda meta: meta.pop("licence"), "licence"),
    "unknown key": (lambda meta: meta.update(colour=1), "colour"),
    "no step": (lambda meta: meta["columns"].pop("step"), "step"),
    "another file": (lambda m: m["columns"]["step"].update(file="../../x.npy"), "file"),
    "a folder upwards": (lambda m: m["image_folders"].update(train="../x"), "image folder"),
    "sizes as text": (lambda m: m.update(image_sizes="x"), "image_sizes"),
}


@pytest.mark.parametrize("case", META)
def test_a_changed_meta_json_is_refused(tiny_release, tmp_path, case):
    change, message = META[case]
    path = build_interhand_index(tiny_release.write(tmp_path), progress=False) / "meta.json"
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))
    with pytest.raises(IndexFormatError, match=message):
        HandIndex.open(path.parent)


@pytest.mark.parametrize("path", ["", "/a", "a/../b", "..", "a\0b", "\\a", "a\\..\\b", None, 3])
def test_paths_out_of_the_dataset_are_refused(path):
    with pytest.raises(DataError, match="leads out"):
        check_relative_path(path, "x.json")


def test_ordinary_paths_pass():
    for path in ("a.jpg", "Capture0/ROM..1/cam/image.jpg", "a b/..c"):
        check_relative_path(path, "x.json")
