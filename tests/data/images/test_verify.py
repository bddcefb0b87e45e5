"""Finding missing, unreadable, black and wrongly sized images."""

import json

import cv2
import numpy as np
import pytest

from gesture_pretrain.data.images.verify import KINDS, verify_index
from gesture_pretrain.data.index.errors import IndexFormatError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index


@pytest.fixture
def index(tiny_release, tmp_path):
    tiny_release.write_images(tmp_path)
    return HandIndex.open(build_interhand_index(tiny_release.write(tmp_path), progress=False))


def test_a_whole_data_set_is_ok(index):
    report = verify_index(index, progress=False)
    assert report.ok and report.rows == [] and report.images == 16


def test_every_fault_is_found_under_its_name(index):
    index.image_path(1).unlink()
    cut = index.image_path(2)
    noise = np.random.default_rng(0).integers(0, 256, (512, 334, 3), np.uint8)
    cv2.imwrite(str(cut), noise)
    cut.write_bytes(cut.read_bytes()[:5000])  # the head is whole, the image is not
    index.image_path(4).write_bytes(b"<html>not found</html>")
    cv2.imwrite(str(index.image_path(5)), np.full((334, 512, 3), 9, np.uint8))
    cv2.imwrite(str(index.image_path(7)), np.full((100, 100, 3), 90, np.uint8))
    report = verify_index(index, workers=2, progress=False)
    rows = {kind: [finding.row for finding in report.of_kind(kind)] for kind in KINDS}
    assert rows == {"missing": [1], "unreadable": [2, 4], "black": [5], "wrong_size": [7]}
    assert not report.ok and report.rows == [1, 2, 4, 5, 7]
    text = report.describe()
    for row in report.rows:
        assert str(index.image_path(row)) in text
    assert "mean grey value 9.0" in text and "100x100, annotated as 512x334" in text
    assert json.loads(report.to_json())["missing"][0]["path"] == str(index.image_path(1))
    kept = index.select(exclude_rows=report.rows)
    assert verify_index(index, kept, progress=False).ok


def test_a_dark_but_not_black_image_passes(index):
    """The limit is a mean grey value of 10, as in IntagHand's preparation."""
    cv2.imwrite(str(index.image_path(0)), np.full((512, 334, 3), 11, np.uint8))
    assert verify_index(index, progress=False).ok


def test_changed_columns_are_an_error(index):
    column = index.path / "hand.npy"
    column.write_bytes(column.read_bytes()[:-1] + b"\x07")
    with pytest.raises(IndexFormatError, match="hand"):
        verify_index(HandIndex.open(index.path), progress=False)
