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
