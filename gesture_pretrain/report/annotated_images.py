"""Images of an index with the annotated joints and box drawn on them: do they lie on the hands?"""

from collections.abc import Sequence

import cv2
import numpy as np

from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.picture import read_image_rgb
from gesture_pretrain.data.record import HandRecord
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.report.contact_sheet import Tile, contact_sheet
from gesture_pretrain.skeleton import BONES_MANO21, FINGER_COLORS_RGB, finger_of_joint

_BOX_RGB = (255, 255, 255)


def annotated_images(index: HandIndex, rows: Sequence[int], *, title: str) -> bytes:
    """PNG sheet of whole images with every triangulated joint of both hands and the box."""
    tiles = []
    for row in rows:
        record = index.record(int(row))
        image = draw_annotation(read_image_rgb(record.image_path, record.row), record)
        tiles.append(Tile(_squared(image), caption_of(record)))
    return contact_sheet(tiles, title=title, columns=4)


def caption_of(record: HandRecord) -> str:
    """Label, hand, and camera and frame where the data have them: photographs in folders do not."""
    lines = [record.label, record.hand]
    if record.camera:
        lines.append(f"camera {record.camera}, frame {record.frame}")
    return "\n".join(lines)


def draw_annotation(image_rgb: np.ndarray, record: HandRecord) -> np.ndarray:
    """A copy of the image (H, W, 3) with box and bones; as it is where nothing is annotated."""
    image = image_rgb.copy()
    if record.bbox_xywh_px is not None:
        x, y, w, h = np.rint(record.bbox_xywh_px).astype(int).tolist()
        cv2.rectangle(image, (x, y), (x + w, y + h), _BOX_RGB, 1)
    if record.joints_world_mm is None or record.princpt_px is None:
        return image
    for joints_world_mm, valid in zip(
        record.joints_world_mm, record.joint_triangulated, strict=True
    ):
        _draw_hand(image, record, joints_world_mm, valid)
    return image


def _draw_hand(image, record: HandRecord, joints_world_mm: np.ndarray, valid: np.ndarray) -> None:
    known = np.where(valid[:, None], joints_world_mm, 0)
    joints_cam_mm = world_to_camera_mm(known, record.R_cam_world, record.camera_center_mm)
    keypoints_px = project_px(joints_cam_mm, record.focal_px, record.princpt_px)
    drawn = valid & np.isfinite(keypoints_px).all(axis=1)
    for start, end in BONES_MANO21:
        if drawn[start] and drawn[end]:
            ends = [tuple(np.rint(keypoints_px[j]).astype(int).tolist()) for j in (start, end)]
            cv2.line(image, *ends, FINGER_COLORS_RGB[finger_of_joint(end)], 2, cv2.LINE_AA)


def _squared(image: np.ndarray) -> np.ndarray:
    side = max(image.shape[:2])
    square = np.zeros((side, side, 3), np.uint8)
    square[: image.shape[0], : image.shape[1]] = image
    return square
