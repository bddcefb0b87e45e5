"""InterHand2.6M's samples with the values that other code bases compute for them."""

import json
from typing import NamedTuple

import numpy as np
import pytest

from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm


class GoldenView(NamedTuple):
    """One annotated image: the golden values, the annotated camera, and 42 joints in it."""

    golden: dict
    rotation: np.ndarray
    centre_mm: np.ndarray
    joints_cam_mm: np.ndarray
    pixels: np.ndarray
    valid: np.ndarray
    bbox_xywh: list[float]


@pytest.fixture(scope="package")
def golden_views(shared_dir) -> list[GoldenView]:
    folder = shared_dir / "interhand"
    samples = json.loads((folder / "golden.json").read_text())["samples"]
    annotations = {
        kind: json.loads((folder / "sample" / f"test_interhand2.6m_{kind}.json").read_text())
        for kind in ("camera", "data", "joint_3d")
    }
    return [_view(sample, annotations) for sample in samples]


def _view(sample: dict, annotations: dict) -> GoldenView:
    camera = annotations["camera"][str(sample["capture"])]
    rotation, centre_mm, focal_px, princpt_px = (
        np.array(camera[key][sample["camera"]]) for key in ("camrot", "campos", "focal", "princpt")
    )
    frame = annotations["joint_3d"][str(sample["capture"])][str(sample["frame_idx"])]
    joints_cam_mm = world_to_camera_mm(frame["world_coord"], rotation, centre_mm)
    box_of = {a["image_id"]: a["bbox"] for a in annotations["data"]["annotations"]}
    return GoldenView(
        golden=sample,
        rotation=rotation,
        centre_mm=centre_mm,
        joints_cam_mm=joints_cam_mm,
        pixels=project_px(joints_cam_mm, focal_px, princpt_px),
        valid=np.array(frame["joint_valid"], bool).ravel(),
        bbox_xywh=box_of[sample["image_id"]],
    )
