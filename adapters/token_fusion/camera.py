"""Pinhole and weak-perspective cameras of a crop, in torch.

Points are in the frame of the crop: x right, y down, z away from the camera, millimetres. `camera`
is `(B, 3, 3)`, the matrix P with `px = (P @ x)[:2] / (P @ x)[2]`: the crop may be rotated, and its
frame may look at the middle of the crop, see `PoseDataset`.
"""

import torch
from torch import Tensor

# A joint nearer than this is behind the lens; the floor keeps the gradient of a division bounded.
_NEAREST_MM = 10.0


def back_project_mm(points_px: Tensor, depth_mm: Tensor, camera: Tensor) -> Tensor:
    """Map pixels `(B, N, 2)` at depths `(B, N)` to points `(B, N, 3)`."""
    first, second, last = camera.unbind(1)
    # the columns of the inverse, up to a common factor, which the division by z removes
    columns = [torch.linalg.cross(*rows) for rows in ((second, last), (last, first))]
    inverse = torch.stack([*columns, torch.linalg.cross(first, second)], dim=-1)
    homogeneous = torch.cat([points_px, torch.ones_like(points_px[..., :1])], dim=-1)
    rays = _mapped(homogeneous, inverse)
    return rays / rays[..., 2:] * depth_mm[..., None]


def project_px(points_mm: Tensor, camera: Tensor) -> Tensor:
    """Project points `(B, N, 3)` to pixels `(B, N, 2)`, clamping depths to at least 10 mm."""
    moved = _mapped(points_mm, camera)
    return moved[..., :2] / moved[..., 2:].clamp(min=_NEAREST_MM)


def _mapped(points: Tensor, maps: Tensor) -> Tensor:
    """Map points `(B, N, 3)` by `(B, 3, 3)`, without the matrix product that autocast rounds."""
    return (maps[:, None] * points[..., None, :]).sum(-1)


def project_weak_perspective_px(points_rel_mm: Tensor, weak: Tensor, size_px: int) -> Tensor:
    """Project wrist-relative points `(B, N, 3)` to pixels `(B, N, 2)`, all at one depth.

    Args:
        points_rel_mm: Points relative to the wrist.
        weak: `(B, 3)`: scale, where 1 shows 300 mm across the crop, then the wrist from the
            middle of the crop, in crops.
        size_px: Side of the crop.
    """
    scale, place = weak[:, None, :1], weak[:, None, 1:]
    return (0.5 + place + scale * points_rel_mm[..., :2] / 300.0) * size_px
