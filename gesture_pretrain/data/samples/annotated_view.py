"""Combine the pixels and annotations of a single hand in a `HandView`."""

import numpy as np

from gesture_pretrain.data.images import ImagePart
from gesture_pretrain.data.index.record import HandRecord
from gesture_pretrain.data.samples.augmentation import LEFT, NO_SIDE, RIGHT, HandView
from gesture_pretrain.data.samples.hand_annotations import joints_in_view

_SIDE = {"right": RIGHT, "left": LEFT}


def annotated_view(
    record: HandRecord, image: ImagePart, box_xywh_px: np.ndarray, *, coarse: int, fine: int
) -> HandView:
    """Combine a record with its pixels and classes.

    Args:
        record: Annotation of the image.
        image: The image at the annotated size, or the part that a crop shows.
        box_xywh_px: (4,) square to be shown.
        coarse, fine: Gesture classes, -1 for none.
    """
    return HandView(
        image=image,
        box_xywh_px=box_xywh_px,
        hand=_SIDE.get(record.hand, NO_SIDE),
        coarse=coarse,
        fine=fine,
        **_joints(record),
    )


def _joints(record: HandRecord) -> dict[str, np.ndarray]:
    """Return the fields of a `HandView` for camera and joints, if they are known."""
    if record.bbox_xywh_px is None or record.princpt_px is None:
        return {}
    (fx, fy), (cx, cy) = record.focal_px.tolist(), record.princpt_px.tolist()
    camera = {"intrinsics": np.array([[fx, 0.0, cx], [0.0, fy, cy]])}
    if record.joints_world_mm is None or record.hand not in _SIDE:
        return camera
    side = _SIDE[record.hand]
    keypoints_px, joints_rel_mm, valid = joints_in_view(
        record.joints_world_mm[side],
        record.joint_triangulated[side],
        R_cam_world=record.R_cam_world,
        camera_center_mm=record.camera_center_mm,
        focal_px=record.focal_px,
        princpt_px=record.princpt_px,
    )
    return {
        **camera,
        "keypoints_px": keypoints_px,
        "joints_rel_mm": joints_rel_mm,
        "joint_valid": valid,
    }
