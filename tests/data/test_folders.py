"""Class-per-folder photographs."""

import cv2
import numpy as np
import pytest
from PIL import Image

from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.taxonomy import Taxonomy


def write_image(path, size_wh=(20, 10), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size_wh, (120, 60, 30)).save(path, **options)


def build(root, **options):
    return HandIndex.open(build_folder_index(root, progress=False, **options), verify=True)


def test_splits_labels_sizes_and_paths(tmp_path):
    for name in ("train/fist/b.PNG", "train/fist/a.jpg", "train/öpen hand/c.webp"):
        write_image(tmp_path / name)
    write_image(tmp_path / "val/fist/deeper/d.bmp", (7, 9))
    (tmp_path / "train/fist/notes.txt").write_text("no image")
    (tmp_path / "train/fist/.hidden.jpg").write_text("no image")
    index = build(tmp_path, licence="CC0-1.0", data_name="signs")
    assert index.labels == ["fist", "öpen hand"]
    found = [index.image_path(i).relative_to(tmp_path.resolve()).as_posix() for i in range(4)]
    assert found == [
        "train/fist/a.jpg",
        "train/fist/b.PNG",
        "train/öpen hand/c.webp",
        "val/fist/deeper/d.bmp",
    ]
    record = index.record(3)
    assert (record.split, record.label, record.image_size_wh) == ("val", "fist", (7, 9))
    assert record.hand == "unknown" and not record.hand_type_valid and record.camera == ""
    assert record.bbox_xywh_px is None and record.joints_world_mm is None
    assert record.princpt_px is None and record.mano == {"right": None, "left": None}
    assert (record.subject, record.capture, record.frame, record.image_id) == (-1, -1, -1, -1)
    assert (index.meta["data_name"], index.meta["licence"]) == ("signs", "CC0-1.0")


def test_without_split_folders_all_is_train(tmp_path):
    write_image(tmp_path / "fist" / "a.jpg")
    write_image(tmp_path / "flat" / "a.jpg")
    index = build(tmp_path)
    assert index.select("train").tolist() == [0, 1] and index.labels == ["fist", "flat"]
    assert build(tmp_path).labels == ["fist", "flat"]  # its own index is not taken for a class


def test_an_image_stored_on_its_side_has_the_size_that_is_shown(tmp_path):
    """The size was read from the file head as stored, and decoding then gave another."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    write_image(tmp_path / "fist" / "a.jpg", (20, 10), exif=exif)
    index = build(tmp_path)
    decoded = cv2.imread(str(index.image_path(0)))
    assert index.record(0).image_size_wh == (10, 20) == decoded.shape[1::-1]


def test_unreadable_images_are_named_or_left_out(tmp_path, capsys):
    write_image(tmp_path / "fist" / "good.jpg")
    (tmp_path / "fist" / "broken.jpg").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"1 of 2 images.*fist/broken.jpg.*skip_unreadable"):
        build(tmp_path)
    index = build(tmp_path, skip_unreadable=True)
    assert len(index) == 1 and index.image_path(0).name == "good.jpg"
    assert "fist/broken.jpg" in capsys.readouterr().out
    (tmp_path / "fist" / "good.jpg").unlink()
    with pytest.raises(DataError, match="none of the 1 images can be read"):
        build(tmp_path, skip_unreadable=True)


def test_missing_root_and_no_images(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        build(tmp_path / "nowhere")
    write_image(tmp_path / "loose.jpg")
    with pytest.raises(DataError, match="no images in class folders; expected <class>/<image>"):
        build(tmp_path)


def test_fraction_of_photographs(tmp_path):
    for label in ("fist", "flat"):
        for k in range(20):
            write_image(tmp_path / label / f"{k}.png", (4, 4))
    index = build(tmp_path)
    rows = index.select(fraction=0.25)
    assert np.bincount(index.values("sequence", rows)).tolist() == [5, 5]
    write_image(tmp_path / "another" / "0.png", (4, 4))
    again = build(tmp_path)  # other rows, but the same photographs are chosen
    names = {index.image_path(i) for i in rows}
    assert names == {
        again.image_path(i) for i in again.select(fraction=0.25, labels=["fist", "flat"])
    }


def test_real_sign_digits(shared_dir, tmp_path):
    root = shared_dir / "real_gestures" / "sign_digits"
    index = build(root, out=tmp_path / "index", licence="Apache-2.0")
    assert index.labels == list("0123456789")
    assert len(index.select("train")) == 962 and len(index.select("val")) == 300
    width = index.values("width")  # not what its description says: some have 3024 pixels
    assert set(width.tolist()) == {100, 3024} and (width == 100).mean() > 0.99
    taxonomy = Taxonomy.load(root / "taxonomy.csv")
    assert len(index.select(labelled_by=taxonomy)) == 1262
    assert index.image_path(0).is_file()
