"""Conversion between crop pixels, metres and cells of EANet's heat-map volume.

One cell is 32 px of the 256 px crop. Cell index i stands for pixel 32 i (not for the cell's centre)
and depth spans 0.3 m about the wrist. Checkpoints depend on both.
"""

import torch
from torch import Tensor

CROP_PX = 256
CELLS = 8
DEPTH_RANGE_M = 0.3  # whole extent, the wrist in its middle


def cells_from_crop(
    keypoints_px: Tensor,
    depth_rel_m: Tensor,
    *,
    crop_px: int = CROP_PX,
    cells: int = CELLS,
    depth_cells: int = CELLS,
) -> Tensor:
    """Map (..., 2) px of the crop and (...) m behind the wrist to (..., 3) cells."""
    depth = (depth_rel_m / (DEPTH_RANGE_M / 2) + 1) / 2 * depth_cells
    return torch.cat([keypoints_px / crop_px * cells, depth.unsqueeze(-1)], dim=-1)


def crop_from_cells(
    joints_cells: Tensor,
    *,
    crop_px: int = CROP_PX,
    cells: int = CELLS,
    depth_cells: int = CELLS,
) -> tuple[Tensor, Tensor]:
    """Map (..., 3) cells to (..., 2) px of the crop and (...) m behind the wrist."""
    depth_rel_m = (joints_cells[..., 2] / depth_cells * 2 - 1) * (DEPTH_RANGE_M / 2)
    return joints_cells[..., :2] / cells * crop_px, depth_rel_m


def lift_joints(
    joints_cells: Tensor,
    *,
    image_from_crop: Tensor,
    root_depth_m: Tensor | float,
    focal_px: Tensor,
    center_px: Tensor,
) -> Tensor:
    """Convert 2.5D joints to camera coordinates, given the wrist's depth.

    Args:
        joints_cells: (..., J, 3) cells, of one hand or of hands with one root depth.
        image_from_crop: (..., 2, 3) affine map from crop px to image px.
        root_depth_m: (...) m, depth of the wrist.
        focal_px: (..., 2).
        center_px: (..., 2) principal point.

    Returns:
        (..., J, 3) m: x right, y down, z forward.
    """
    crop_px, depth_rel_m = crop_from_cells(joints_cells)
    linear, offset = image_from_crop[..., :2], image_from_crop[..., None, :, 2]
    image_px = crop_px @ linear.mT + offset
    depth_m = depth_rel_m + torch.as_tensor(root_depth_m, dtype=depth_rel_m.dtype).unsqueeze(-1)
    rays = (image_px - center_px.unsqueeze(-2)) / focal_px.unsqueeze(-2)
    return torch.cat([rays * depth_m.unsqueeze(-1), depth_m.unsqueeze(-1)], dim=-1)
