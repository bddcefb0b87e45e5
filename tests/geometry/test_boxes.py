"""Boxes against the golden values, whose makers computed in float32."""

import numpy as np
import pytest

from gesture_pretrain.geometry.boxes import clip_box_eanet, square_box, tight_box, union_box

BOX_PX = 1e-2


def test_boxes_equal_golden(golden_views):
    for view in golden_views:
        expected = view.golden["eanet"]
        height, width = view.golden["image_shape_hw"]
        before = expected["hand_bbox_xywh_before_process"]
        clipped = clip_box_eanet(before, (width, height))
        np.testing.assert_allclose(clipped, expected["bbox_xywh_after_sanitize"], atol=BOX_PX)
        square = square_box(clipped, 1.25)
        np.testing.assert_allclose(square, expected["bbox_xywh_after_process_bbox"], atol=BOX_PX)
        internet = view.golden["internet"]["bbox_xywh_after_process_bbox"]
        np.testing.assert_allclose(square_box(view.bbox_xywh, 1.25), internet, atol=BOX_PX)


def test_tight_and_union_boxes_equal_golden(golden_views):
    for view in golden_views:
        hands = [slice(0, 21), slice(21, 42)]
        boxes = [
            tight_box(view.pixels[h], view.valid[h], 1.25) for h in hands if view.valid[h].any()
        ]
        expected = view.golden["eanet"]["hand_bbox_xywh_before_process"]
        if len(boxes) == 2:
            expected = view.golden["eanet"]["union_bbox_xywh_as_probably_intended"]
            boxes = [union_box(*boxes)]
        np.testing.assert_allclose(boxes[0], expected, atol=BOX_PX)


def test_boxes_without_points_or_area_are_errors():
    with pytest.raises(ValueError, match="at least one valid point"):
        tight_box(np.zeros((3, 2)), np.zeros(3, bool))
    with pytest.raises(ValueError, match="no area inside"):
        clip_box_eanet((600, 10, 20, 20), (512, 334))


def test_boxes_by_hand():
    points = [[10.0, 40], [30, 20], [99, 99]]
    valid = [True, True, False]
    np.testing.assert_array_equal(tight_box(points, valid), [10, 20, 20, 20])
    np.testing.assert_array_equal(tight_box(points, valid, 1.5), [5, 15, 30, 30])
    np.testing.assert_array_equal(square_box([10, 20, 40, 20], 1.5), [0, 0, 60, 60])
    np.testing.assert_array_equal(union_box([0, 10, 20, 20], [10, 0, 5, 50]), [0, 0, 20, 50])


def test_clipping_counts_pixels_inclusively_and_shifts_what_begins_outside():
    np.testing.assert_array_equal(clip_box_eanet([10, 20, 30, 40], (100, 90)), [10, 20, 29, 39])
    np.testing.assert_array_equal(clip_box_eanet([-5, 20, 30, 90], (100, 90)), [0, 20, 29, 69])
    with pytest.raises(ValueError, match="no area inside"):
        clip_box_eanet([10, 20, 1, 40], (100, 90))  # a pixel wide
