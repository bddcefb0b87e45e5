"""Contact sheets of index images with annotated joints and boxes, for visual inspection."""

from collections.abc import Sequence

import cv2
import numpy as np

from gesture_pretrain.data.images import read_image_rgb
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HandRecord
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.report.contact_sheet import Tile, contact_sheet
from gesture_pretrain.skeleton import BONES_MANO21, FINGER_COLORS_RGB, finger_of_joint

_BOX_RGB = (255, 255, 255)
_TILE_PX = 350
_REGION_RATIO = 1.6  # side of the shown region relative to the longer side of the box
_IDENTITY = np.float64([[1, 0, 0], [0, 1, 0]])


def annotated_images(index: HandIndex, rows: Sequence[int], *, title: str) -> bytes:
    """Draw the box and all triangulated joints of both hands, and return a PNG.

    Each tile shows a square region around the box, or the whole image if there is no box.
    """
    tiles = []
    for row in rows:
        record = index.record(int(row))
        image = read_image_rgb(record.image_path, record.row)
        affine = _shown_region(record, image.shape[:2])
        tile = cv2.warpAffine(image, affine, (_TILE_PX, _TILE_PX), flags=cv2.INTER_LINEAR)
        tiles.append(Tile(draw_annotation(tile, record, affine), caption_of(record)))
    return contact_sheet(tiles, title=title, columns=4, dpi=200)


def caption_of(record: HandRecord) -> str:
    """Format label, hand, and camera and frame if available."""
    lines = [record.label, record.hand]
    if record.camera:
        lines.append(f"camera {record.camera}, frame {record.frame}")
    return "\n".join(lines)


def draw_annotation(
    image_rgb: np.ndarray, record: HandRecord, affine: np.ndarray = _IDENTITY
) -> np.ndarray:
    """Draw annotated box and bones on a copy of an image.

    Args:
        image_rgb: (H, W, 3) image of the record, or a part of it.
        record: Record with the annotations.
        affine: (2, 3) map from pixels of the record's image to those of `image_rgb`.
    """
    image = image_rgb.copy()
    if record.bbox_xywh_px is not None:
        x, y, w, h = record.bbox_xywh_px
        corners = _mapped(affine, np.float64([[x, y], [x + w, y + h]]))
        cv2.rectangle(image, *map(_pixel, corners), _BOX_RGB, 1)
    if record.joints_world_mm is None or record.princpt_px is None:
        return image
    for joints_world_mm, valid in zip(
        record.joints_world_mm, record.joint_triangulated, strict=True
    ):
        _draw_hand(image, record, joints_world_mm, valid, affine)
    return image


def _draw_hand(
    image: np.ndarray,
    record: HandRecord,
    joints_world_mm: np.ndarray,
    valid: np.ndarray,
    affine: np.ndarray,
) -> None:
    known = np.where(valid[:, None], joints_world_mm, 0)
    joints_cam_mm = world_to_camera_mm(known, record.R_cam_world, record.camera_center_mm)
    keypoints_px = project_px(joints_cam_mm, record.focal_px, record.princpt_px)
    keypoints_px = _mapped(affine, keypoints_px)
    drawn = valid & np.isfinite(keypoints_px).all(axis=1)
    for start, end in BONES_MANO21:
        if drawn[start] and drawn[end]:
            ends = (_pixel(keypoints_px[start]), _pixel(keypoints_px[end]))
            cv2.line(image, *ends, FINGER_COLORS_RGB[finger_of_joint(end)], 2, cv2.LINE_AA)


def _shown_region(record: HandRecord, size_hw: tuple[int, int]) -> np.ndarray:
    height, width = size_hw
    side, centre = max(height, width), np.float64([width, height]) / 2
    if record.bbox_xywh_px is not None:
        x, y, w, h = np.float64(record.bbox_xywh_px)
        side, centre = max(w, h, 1) * _REGION_RATIO, np.float64([x + w / 2, y + h / 2])
    scale = _TILE_PX / side
    shift = _TILE_PX / 2 - scale * centre
    return np.float64([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _mapped(affine: np.ndarray, points_px: np.ndarray) -> np.ndarray:
    return points_px @ affine[:, :2].T + affine[:, 2]


def _pixel(point_px: np.ndarray) -> tuple[int, int]:
    x, y = np.rint(point_px).astype(int).tolist()
    return x, y
