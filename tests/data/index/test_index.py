"""Opening, reading, filtering and checking an index."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from gesture_pretrain.data.index.errors import DataError, IndexFormatError
from gesture_pretrain.data.index.index import INDEX_FORMAT, HandIndex
from gesture_pretrain.data.index.writer import path_columns, smallest
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.taxonomy import Taxonomy


@pytest.fixture
def index(tiny_release, tmp_path):
    return HandIndex.open(build_interhand_index(tiny_release.write(tmp_path), progress=False))


# --- opening -----------------------------------------------------------------------------------


def test_opens_by_its_own_folder_or_the_data_sets(index, tmp_path):
    assert HandIndex.open(tmp_path).path == index.path == (tmp_path / "index").resolve()
    assert index.root == tmp_path.resolve() and len(index) == 16


def test_a_moved_data_set_still_opens(index, tmp_path):
    moved = tmp_path.parent / (tmp_path.name + "_moved")
    tmp_path.rename(moved)
    assert HandIndex.open(moved).image_path(0).is_relative_to(moved.resolve())


def test_an_index_elsewhere_takes_the_root_it_is_told(tiny_release, tmp_path):
    root = tiny_release.write(tmp_path / "data")
    out = build_interhand_index(root, tmp_path / "elsewhere", progress=False)
    assert HandIndex.open(out).root == root.resolve()
    other = tmp_path / "other"
    assert HandIndex.open(out, root=other).image_path(0).is_relative_to(other)


def test_pickles_by_path_and_not_by_content(index):
    data = pickle.dumps(index)
    copy = pickle.loads(data)
    assert len(data) < 1000
    assert copy.image_path(3) == index.image_path(3) and copy.root == index.root


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        HandIndex.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no index"):
        HandIndex.open(tmp_path)


def test_another_format_version_is_refused(index):
    meta = json.loads((index.path / "meta.json").read_text())
    (index.path / "meta.json").write_text(json.dumps({**meta, "format": INDEX_FORMAT + 1}))
    with pytest.raises(IndexFormatError, match=f"format {INDEX_FORMAT + 1}.*reads {INDEX_FORMAT}"):
        HandIndex.open(index.path)


def test_a_torn_meta_or_column_is_named(index):
    column = index.path / "hand.npy"
    whole = column.read_bytes()
    column.write_bytes(whole[:20])
    with pytest.raises(IndexFormatError, match="hand.npy"):
        HandIndex.open(index.path)
    column.unlink()
    with pytest.raises(IndexFormatError, match="hand.npy"):
        HandIndex.open(index.path)
    np.save(column, np.zeros(3, np.uint8))
    with pytest.raises(IndexFormatError, match=r"meta.json says \|u1 \(16,\)"):
        HandIndex.open(index.path)
    (index.path / "meta.json").write_text('{"format": 1')
    with pytest.raises(IndexFormatError, match="meta.json: not JSON"):
        HandIndex.open(index.path)


def test_a_changed_column_is_found_by_its_hash(index):
    HandIndex.open(index.path, verify=True)
    column = index.path / "bbox_xywh_px.npy"
    data = bytearray(column.read_bytes())
    data[-1] ^= 1
    column.write_bytes(bytes(data))
    with pytest.raises(IndexFormatError, match="bbox_xywh_px"):
        HandIndex.open(index.path, verify=True)


def test_reading_an_index_does_not_import_torch():
    code = (
        "import gesture_pretrain.data.index.index, gesture_pretrain.data.interhand.build, "
        "gesture_pretrain.data.folders, sys; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- reading -----------------------------------------------------------------------------------


def test_values_agree_with_records(index):
    split, capture, frame = (index.values(name) for name in ("split", "capture", "frame"))
    width, height, grey = (index.values(name) for name in ("width", "height", "grey_camera"))
    for i in range(len(index)):
        record = index.record(i)
        assert ("train", "val", "test")[split[i]] == record.split
        assert (capture[i], frame[i]) == (record.capture, record.frame)
        assert (width[i], height[i]) == record.image_size_wh
        assert grey[i] == record.grey_camera
        assert index.hand_of(i) == record.hand
        assert index.image_path(i) == record.image_path
    np.testing.assert_array_equal(index.values("frame", np.array([5, 2])), frame[[5, 2]])


def test_unknown_values_and_rows_are_refused(index):
    with pytest.raises(KeyError, match="no quantity 'colour'.*grey_camera"):
        index.values("colour")
    with pytest.raises(KeyError, match="no quantity 'mano'"):  # not per image
        index.values("mano")
    for row in (-1, 16):
        with pytest.raises(IndexError, match=f"row {row} of an index with 16 images"):
            index.record(row)


def test_a_record_can_be_changed_without_changing_the_index(index):
    record = index.record(0)
    record.bbox_xywh_px[:] = 0
    record.mano["right"].pose[:] = 0
    again = index.record(0)
    assert again.bbox_xywh_px.any() and again.mano["right"].pose.any()


def test_narrow_columns_hold_their_values():
    for values, dtype in (
        ([0, 255], "u1"),
        ([0, 256], "u2"),
        ([-1, 127], "i1"),
        ([-1, 128], "i2"),
        ([0, 70_000], "u4"),
        ([-1, 2**40], "i8"),
    ):
        narrow = smallest(np.array(values, np.int64))
        assert narrow.dtype == dtype and narrow.tolist() == values


def test_paths_of_some_images_only():
    columns = path_columns({2: "é.jpg", 0: "a"}, 4)
    starts, text = columns["path_start"], columns["path_text"].tobytes()
    assert [text[starts[i] : starts[i + 1]].decode() for i in range(4)] == ["a", "", "é.jpg", ""]


# --- choosing ----------------------------------------------------------------------------------


def test_filters(index):
    hands = index.values("hand")
    assert index.select().tolist() == list(range(16)) and index.select().dtype == np.int64
    assert index.select("val").tolist() == list(range(8, 16))
    assert (hands[index.select(hands=["left"])] == 1).all()
    assert len(index.select(single_hand_only=True)) == 12
    assert len(index.select("train", labels=["0007_thumbup_normal"])) == 4
    assert len(index.select("train", subjects=[8])) == 4
    assert index.select("train", exclude_rows=[0, 3]).tolist() == [1, 2, 4, 5, 6, 7]
    both = index.select("train", labelled_by=Taxonomy.load("interhand26m"))
    assert "0390_dh_touchROM" not in {index.record(i).label for i in both} and len(both) == 6


def test_a_label_on_the_other_hand_is_not_labelled(tiny_release, tmp_path):
    for annotation in tiny_release.json["train"]["data"]["annotations"]:
        if annotation["hand_type"] == "right":
            annotation["hand_type"] = "left"
    build_interhand_index(tiny_release.write(tmp_path), progress=False)
    index = HandIndex.open(tmp_path)
    rows = index.select("train", labelled_by=Taxonomy.load("interhand26m"))
    assert {index.record(i).label for i in rows} == {"0107_thumbup_normal"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev'; there are train, val, test"),
        ({"hands": ["both"]}, "unknown hand 'both'; there are right, left"),
        ({"labels": ["0099_none"]}, "unknown label '0099_none'; there are 0007"),
        ({"subjects": [99]}, "no images of subject 99; there are 5, 8"),
        ({"fraction": 0.0}, "fraction is 0.0"),
        ({"fraction": 1.5}, "fraction is 1.5"),
    ],
)
def test_what_is_not_there_is_refused(index, arguments, message):
    with pytest.raises(ValueError, match=message):
        index.select(**arguments)
