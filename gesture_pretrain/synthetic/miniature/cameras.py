"""The cameras of the miniature: colour and monochrome, portrait and landscape."""

from typing import NamedTuple

import cv2
import numpy as np

from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.rendering import render_mesh
from gesture_pretrain.synthetic.rig import Camera, make_rig

# 40xxxx is a colour camera and 41xxxx a monochrome one
NAMES = ("400012", "410015", "400263", "400026", "410033", "400041", "410068", "400053")
_LANDSCAPE = "400263"
ASPECT = 334 / 512
_WIDER = 0.7  # of the focal length of a rig that sees one hand


class View(NamedTuple):
    """A camera of one capture and its image size in pixels."""

    camera: Camera
    size_wh: tuple[int, int]

    def keypoints_px(self, joints_mm: np.ndarray) -> np.ndarray:
        """Return (..., 2) pixels of joints (..., 3) in the world frame."""
        return project_px(
            self.to_camera_mm(joints_mm), self.camera.focal_px, self.camera.princpt_px
        )

    def to_camera_mm(self, points_mm: np.ndarray) -> np.ndarray:
        """Return (..., 3) points of the world frame in the camera frame."""
        return world_to_camera_mm(points_mm, self.camera.R_cam_world, self.camera.center_mm)

    def inside(self, keypoints_px: np.ndarray) -> np.ndarray:
        """Return (...) bool: the keypoint lies inside the image."""
        return ((keypoints_px >= 0) & (keypoints_px <= np.array(self.size_wh) - 1)).all(axis=-1)

    def image(self, rng: np.random.Generator, vertices_mm: np.ndarray, faces: np.ndarray):
        """Return (H, W, 3) uint8 BGR image of a mesh before a dark, uneven background."""
        rendered, coverage = render_mesh(
            self.to_camera_mm(vertices_mm) / 1000,
            faces,
            self.camera.focal_px,
            self.camera.princpt_px,
            self.size_wh,
            supersample=1,
        )
        width, height = self.size_wh
        across = np.linspace(20, 70, width)[None, :, None]
        background = across + rng.normal(0, 4, (height, width, 1))
        image = rendered[..., ::-1] + (1 - coverage[..., None]) * background
        image = np.clip(image, 0, 255).astype(np.uint8)
        if self.camera.name.startswith("41"):
            grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
            image = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
        return image


def capture_views(rng: np.random.Generator, *, count: int, long_side_px: int) -> list[View]:
    """Make the cameras of a capture; cameras of different captures share names."""
    rig = make_rig(rng, size_px=long_side_px, num_cameras=count, max_elevation_deg=50.0)
    return [_view(camera, name, long_side_px) for camera, name in zip(rig, NAMES, strict=False)]


def _view(camera: Camera, name: str, long_side_px: int) -> View:
    short = round(ASPECT * long_side_px)
    size = (long_side_px, short) if name == _LANDSCAPE else (short, long_side_px)
    shift = (np.array(size) - long_side_px) / 2
    camera = camera._replace(
        name=name,
        focal_px=(_WIDER * camera.focal_px).astype(np.float32),
        princpt_px=(camera.princpt_px + shift).astype(np.float32),
    )
    return View(camera, size)
