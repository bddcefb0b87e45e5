"""Coordinate conventions of the volume.

The volume has `cells` x `cells` x `depth_cells` cells. A *cell coordinate* (x, y, z) is continuous;
cell i has its centre at i, so the volume reaches from -0.5 to `cells` - 0.5.

* **Pixels.** A crop reaches from 0 to `size_px` (`gesture_pretrain.geometry`), and so does the
  volume: `px = (cell + 0.5) * size_px / cells`. The map is symmetric about the middle of the crop,
  so that a mirrored crop has mirrored cells.
* **Depth.** z is the depth relative to the wrist, away from the camera:
  `mm = ((cell + 0.5) / depth_cells - 0.5) * 2 * half_depth_mm`. The wrist is at the middle.
* **Sampling.** `grid_sample(..., align_corners=False)` counts the outer edges as -1 and 1:
  `2 * (cell + 0.5) / cells - 1`.

A soft-argmax is an average of cell centres: it cannot leave 0 .. `cells` - 1. The grid of 16 cells,
16 depths and the box of +-200 mm are our assumptions; the paper gives none of them. InterNet uses
the same depth. A pointing finger can reach 160 mm in front of the wrist.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class VolumeGrid:
    """Size of the volume and the maps between its cells, pixels and millimetres.

    Attributes:
        cells: H' = W', cells along x and along y.
        depth_cells: D.
        half_depth_mm: The volume reaches from minus to plus this depth about the wrist.
    """

    cells: int = 16
    depth_cells: int = 16
    half_depth_mm: float = 200.0

    def __post_init__(self):
        if self.cells < 2 or self.depth_cells < 2 or self.half_depth_mm <= 0:
            raise ValueError(f"{self} is no volume: it needs 2 cells each way and a positive depth")

    def cells_from_px(self, points_px: Tensor, size_px: int) -> Tensor:
        """Convert crop pixels (..., 2) to cells (..., 2)."""
        return points_px * (self.cells / size_px) - 0.5

    def px_from_cells(self, xy_cells: Tensor, size_px: int) -> Tensor:
        """Convert cells (..., 2) to crop pixels (..., 2)."""
        return (xy_cells + 0.5) * (size_px / self.cells)

    def cells_from_depth(self, depth_rel_mm: Tensor) -> Tensor:
        """Convert wrist-relative depth (...), mm, to cells (...)."""
        return (depth_rel_mm / (2 * self.half_depth_mm) + 0.5) * self.depth_cells - 0.5

    def depth_from_cells(self, z_cells: Tensor) -> Tensor:
        """Convert cells (...) to wrist-relative depth (...), mm."""
        return ((z_cells + 0.5) / self.depth_cells - 0.5) * (2 * self.half_depth_mm)

    def cells_from_25d(self, points_px: Tensor, depth_rel_mm: Tensor, size_px: int) -> Tensor:
        """Convert pixels (..., 2) and depths (...), mm, to cells (..., 3)."""
        xy = self.cells_from_px(points_px, size_px)
        return torch.cat([xy, self.cells_from_depth(depth_rel_mm)[..., None]], dim=-1)

    def sampling_from_cells(self, xy_cells: Tensor) -> Tensor:
        """Convert cells (..., 2) to coordinates of `grid_sample` with `align_corners=False`."""
        return (2 * xy_cells + 1) / self.cells - 1

    def contains(self, cells: Tensor) -> Tensor:
        """Return whether a coordinate (..., 3) is within the volume, per axis: (..., 3) bool."""
        # Python numbers, not a tensor of them: a copy to a GPU would make the host wait
        sizes = (self.cells, self.cells, self.depth_cells)
        axes = zip(cells.unbind(-1), sizes, strict=True)
        return torch.stack([(axis >= -0.5) & (axis <= size - 0.5) for axis, size in axes], dim=-1)
