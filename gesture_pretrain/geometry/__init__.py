"""Cameras, boxes, crops, rotations and similarity alignment, in numpy.

Frames: *world* is the frame of the calibration, in millimetres. *cam* has x right, y down, z away
from the viewer. *px* are pixels of the stored image, with the origin of the annotations. A crop
maps the left edge of its box to 0 and the right edge to its size, hence the centre of the box to
size / 2. There are no half-pixel shifts.

All computations and results use float64.
"""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "Similarity": "gesture_pretrain.geometry.similarity",
        "apply_affine": "gesture_pretrain.geometry.crop",
        "crop_affine": "gesture_pretrain.geometry.crop",
        "crop_rotation": "gesture_pretrain.geometry.crop",
        "invert_affine": "gesture_pretrain.geometry.crop",
        "mirror_pose": "gesture_pretrain.geometry.axis_angle",
        "procrustes_align": "gesture_pretrain.geometry.similarity",
        "project_px": "gesture_pretrain.geometry.camera",
        "rodrigues": "gesture_pretrain.geometry.axis_angle",
        "rotation_vector": "gesture_pretrain.geometry.axis_angle",
        "square_box": "gesture_pretrain.geometry.boxes",
        "tight_box": "gesture_pretrain.geometry.boxes",
        "viewing_rotation": "gesture_pretrain.geometry.camera",
        "world_to_camera_mm": "gesture_pretrain.geometry.camera",
    },
)
