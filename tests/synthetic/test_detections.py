"""RootNet's file and grey cameras of the rendered set, through the reader of the real data."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.geometry.boxes import square_box
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.synthetic.detections import detection_note
from gesture_pretrain.taxonomy import Taxonomy

ARGUMENTS = {
    "images_per_split": {"train": 24, "val": 24},
    "subjects": {"train": 1, "val": 1},
    "size_px": 64,
    "cameras_per_frame": 4,
    "seed": 7,
    "progress": False,
    "workers": 0,
}


@pytest.fixture(scope="module")
def colour(tmp_path_factory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("colour") / "set", **ARGUMENTS)


@pytest.fixture(scope="module")
def grey(tmp_path_factory) -> Path:
    root = write_synthetic(tmp_path_factory.mktemp("grey") / "set", grey_cameras=12, **ARGUMENTS)
    build_interhand_index(root, progress=False)
    return root


@pytest.fixture(scope="module")
def index(colour) -> HandIndex:
    return HandIndex.open(build_interhand_index(colour, progress=False))


def test_the_file_has_the_published_name_and_format(colour):
    folder = colour / "rootnet_output"
    assert [path.name for path in folder.iterdir()] == ["rootnet_interhand2.6m_output_val.json"]
    entries = json.loads((folder / "rootnet_interhand2.6m_output_val.json").read_text())
    assert len(entries) == 24
    for entry in entries:
        assert list(entry) == ["annot_id", "bbox", "abs_depth", "root_valid"]
        x, y, width, height = entry["bbox"]
        assert width == height > 0
        assert np.array_equal(np.float32(entry["abs_depth"]), entry["abs_depth"])


def test_the_reader_finds_boxes_and_depths_near_the_true_ones(index):
    rows = index.select("val")
    boxes = index.values("detected_bbox_xywh_px", rows)
    depths = index.values("detected_wrist_depth_mm", rows)
    for row, box, depth in zip(rows, boxes, depths, strict=True):
        record = index.record(int(row))
        side = ("right", "left").index(record.hand)
        wrist_mm = record.joints_world_mm[side, 0] - record.camera_center_mm
        # 6 standard errors of the largest kind of error
        assert abs(np.log(depth[side] / (record.R_cam_world[2] @ wrist_mm))) < 6 * 4 * 0.04
        assert np.isnan(depth[1 - side])
        true = square_box(record.bbox_xywh_px, 1.25)
        assert abs(np.log(box[2] / true[2])) < 6 * 4 * 0.06
    assert np.isnan(index.values("detected_bbox_xywh_px", index.select("train"))).all()


def test_errors_have_the_stated_size():
    """20,000 draws: standard deviations to 5 %, outliers' fourfold included."""
    rng = np.random.default_rng(0)
    entries = [
        detection_note(
            rng, annotation_id=i, hand="left", bbox_xywh_px=[10, 20, 80, 40], wrist_depth_mm=900
        )
        for i in range(20_000)
    ]
    boxes = np.array([entry["bbox"] for entry in entries])
    depths = np.array([entry["abs_depth"][1] for entry in entries])
    assert all(entry["root_valid"][1] > 0.5 > entry["root_valid"][0] for entry in entries)
    spread = np.sqrt(0.98 + 0.02 * 16)  # 2 % of the draws are four times as wide
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    np.testing.assert_allclose(centres.std(axis=0), 3.0 * spread, rtol=0.05)  # 3 % of 100 px
    np.testing.assert_allclose(centres.mean(axis=0), [50, 40], atol=0.15)
    np.testing.assert_allclose(np.log(boxes[:, 2] / 100).std(), 0.06 * spread, rtol=0.05)
    np.testing.assert_allclose(np.log(depths / 900).std(), 0.04 * spread, rtol=0.05)


def test_a_data_set_crops_the_detected_boxes(index):
    rows, taxonomy = index.select("val"), Taxonomy.load("interhand26m")
    dataset = GestureDataset(index, rows, taxonomy, 32, box_source="rootnet", announce=None)
    box = index.values("detected_bbox_xywh_px", rows)[3]
    annotated = GestureDataset(index, rows, taxonomy, 32, announce=None)
    notes = dataset.annotations.read(rows[[3]])
    assert np.array_equal(notes.boxes_xywh_px[0], box)
    # a joint is where the box puts it: pixel p of the image at 32 (p - corner) / side
    expected = 32 * (notes.keypoints_px[0] - box[:2]) / box[2]
    np.testing.assert_allclose(dataset[3].keypoints_px, expected, rtol=1e-5, atol=1e-4)
    assert not np.allclose(annotated[3].keypoints_px, expected, atol=0.01)


def test_rows_without_a_detected_box_are_refused(index):
    with pytest.raises(ValueError, match="24 of 48 rows have no box from rootnet, first row 0"):
        GestureDataset(index, range(48), Taxonomy.load("interhand26m"), 32, box_source="rootnet")


def test_grey_cameras_have_grey_images_and_the_reader_knows_them(grey):
    index = HandIndex.open(grey)
    is_grey = index.values("grey_camera")
    assert 0 < is_grey.sum() < len(index)
    for row in range(len(index)):
        record = index.record(row)
        assert record.grey_camera == record.camera.startswith("41") == is_grey[row]
        image = cv2.imread(str(record.image_path), cv2.IMREAD_UNCHANGED)
        assert image.shape == (64, 64, 3)
        equal = (image == image[..., :1]).all()
        assert equal == record.grey_camera


def test_colour_images_do_not_change_with_the_grey_cameras(colour, grey):
    def images(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*.jpg")}

    plain, mixed = images(colour), images(grey)
    shared = plain.keys() & mixed.keys()
    assert len(shared) == sum("cam40" in name for name in mixed)
    assert all(plain[name] == mixed[name] for name in shared)
    renamed = {name.replace("cam41", "cam40") for name in mixed}
    assert renamed == plain.keys()


def test_the_card_names_grey_cameras_only_where_there_are_some(colour, grey):
    cards = [json.loads((root / "synthetic.json").read_text()) for root in (colour, grey)]
    assert "grey_cameras" not in cards[0]["parameters"]
    assert cards[1]["parameters"]["grey_cameras"] == 12
    with pytest.raises(FileExistsError, match=r"other \['grey_cameras'\]"):
        write_synthetic(grey, **ARGUMENTS)
    with pytest.raises(ValueError, match="grey_cameras is 25"):
        write_synthetic(grey, grey_cameras=25, **ARGUMENTS)
