"""Pinhole and weak-perspective cameras of a crop, in torch.

Points are in the camera frame of the crop: x right, y down, z away from the camera, millimetres.
`camera` is `(B, 2, 3)`, the matrix K with `px = K @ (x / z, y / z, 1)`; its left 2 x 2 part need
not be diagonal, since a crop may be rotated.
"""

import torch
from torch import Tensor

# A joint nearer than this is behind the lens; the floor keeps the gradient of a division bounded.
_NEAREST_MM = 10.0


def back_project_mm(points_px: Tensor, depth_mm: Tensor, camera: Tensor) -> Tensor:
    """Map pixels `(B, N, 2)` at depths `(B, N)` to points `(B, N, 3)`."""
    (a, b, u), (c, d, v) = (row.unbind(-1) for row in camera[:, None].unbind(-2))
    x, y = points_px[..., 0] - u, points_px[..., 1] - v
    determinant = a * d - b * c
    ray = torch.stack([(d * x - b * y) / determinant, (a * y - c * x) / determinant], dim=-1)
    return torch.cat([ray * depth_mm[..., None], depth_mm[..., None]], dim=-1)


def project_px(points_mm: Tensor, camera: Tensor) -> Tensor:
    """Project points `(B, N, 3)` to pixels `(B, N, 2)`, clamping depths to at least 10 mm."""
    depth = points_mm[..., 2:].clamp(min=_NEAREST_MM)
    ray = torch.cat([points_mm[..., :2] / depth, torch.ones_like(depth)], dim=-1)
    return (camera[:, None] * ray[..., None, :]).sum(-1)


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
