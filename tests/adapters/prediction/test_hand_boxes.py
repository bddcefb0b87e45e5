"""Boxes by file: every layout gives the same, and what is no box is named with its place."""

import json

import numpy as np
import pytest

from adapters.prediction.box_file import boxes_from_file
from adapters.prediction.hand_boxes import HandBox, HandBoxes
from adapters.prediction.hand_crops import square_hand_box

A, B = (1.0, 2.0, 30.0, 40.0), (5.0, 6.0, 7.0, 8.0)
BY_NAME = {"a.jpg": [*A], "b.png": [{"box": [*A], "hand": "left"}, {"box": [*B]}]}
COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "Capture0/b.png"}],
    "annotations": [
        {"image_id": 7, "bbox": [*A]},
        {"image_id": 9, "bbox": [*A], "hand_type": "left"},
        {"image_id": 9, "bbox": [*B], "hand_type": "interacting"},
    ],
}
CSV = "image,x,y,width,height,hand\na.jpg,1,2,30,40,\nb.png,1,2,30,40,left\nb.png,5,6,7,8,\n"


@pytest.mark.parametrize("content", [BY_NAME, COCO, CSV], ids=["name", "coco", "csv"])
def test_every_layout_gives_the_same(tmp_path, content):
    path = tmp_path / ("boxes.csv" if isinstance(content, str) else "boxes.json")
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    boxes = boxes_from_file(path)
    assert boxes.of("a.jpg") == [HandBox(A, None)]
    assert boxes.of("b.png") == [HandBox(A, "left"), HandBox(B, None)]
    assert boxes.of("c.png") == []


def test_boxes_of_frames(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,x,y,width,height,frame\nv.mp4,1,2,30,40,3\nv.mp4,5,6,7,8,\n")
    boxes = boxes_from_file(path)
    assert boxes.of("v.mp4", 3) == [HandBox(A), HandBox(B)]
    assert boxes.of("v.mp4", 4) == [HandBox(B)]


def test_without_a_file_every_image_has_one_box():
    assert HandBoxes().of("any.jpg", 5) == [HandBox(None, None)]
    assert HandBoxes(HandBox(A, "left")).of("any.jpg") == [HandBox(A, "left")]
    HandBoxes().require_some(["any.jpg"])


def test_boxes_of_other_images_only_are_refused(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(BY_NAME))
    boxes = boxes_from_file(path)
    boxes.require_some(["b.png", "z.png"])
    with pytest.raises(ValueError, match=r"a\.jpg, b\.png.*z\.png"):
        boxes.require_some(["z.png"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.json", '{"a.jpg": [1, 2, 3]}', r"a\.jpg: box\[3\]"),
        ("b.json", '{"a.jpg": [1, 2, 3, "wide"]}', r"a\.jpg: box\[3\] is 'wide'"),
        ("b.json", '{"a.jpg": [1, 2, 3, NaN]}', "not JSON"),
        ("b.json", '{"a": [{"box": [1,2,3,4], "hand": "both"}]}', "both"),
        ("b.json", '{"": [1, 2, 3, 4]}', "image is ''"),
        ("b.json", '{"a": [{"box": [1,2,3,4], "score": 1}]}', "score"),
        ("b.json", "[1, 2, 3, 4]", "unknown layout"),
        ("b.json", "{", "not JSON"),
        ("b.json", '{"images": [{"id": 1}], "annotations": []}', "COCO"),
        ("b.csv", "", "lacks the columns image"),
        ("b.csv", "image,x,y\na,1,2\n", "lacks the columns width, height"),
        ("b.csv", "image,x,y,width,height,hands\na,1,2,9,9,left\n", "has .'hands'"),
        ("b.csv", "image,x,y,width,height\na,1,2,3,\n", r"line 2: box\[3\]"),
        ("b.csv", "image,x,y,width,height,frame\na,1,2,3,4,x\n", "line 2: frame is 'x'"),
        ("b.txt", "", "read from .csv or .json, not '.txt'"),
    ],
)
def test_what_is_no_box_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        boxes_from_file(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file of boxes"):
        boxes_from_file(tmp_path / "absent.csv")


@pytest.mark.parametrize("box", [[0, 0, 1e-30, 1e-30], [0, 0, 1e30, 1e30], [5, 5, 0.5, 9]])
def test_boxes_that_no_hand_has_are_refused(box):
    """They ended the whole prediction: a singular matrix, and an error of OpenCV."""
    with pytest.raises(ValueError, match="box of image 3"):
        square_hand_box(np.zeros((20, 30, 3), np.uint8), box, box_ratio=1.25, number=3)
