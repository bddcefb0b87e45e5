"""EANet's joints of a MANO mesh, and their position in camera and image.

Letters: B batch, V = 778 vertices, J = 21 joints. The frame is MANO's with the root rotation
applied: camera axes, metres, origin as the MANO layer puts it.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

# mano16 joints (wrist, index, middle, pinky, ring, thumb, three each), then the tips of thumb,
# index, middle, ring, pinky -> mano21
_MANO21_FROM_MANO16_TIPS = (
    0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20,
)  # fmt: skip
MIDDLE_TIP_OF_MODEL = 445  # in the network's losses
MIDDLE_TIP_OF_METRIC = 444  # in upstream's evaluation
_NUM_VERTICES = 778


class ManoLayer(Protocol):
    """Interface of a MANO layer.

    It adds the model's mean hand pose to the 45 finger numbers (``flat_hand_mean=False``).
    """

    def __call__(self, pose: Tensor, shape: Tensor) -> Tensor:
        """Map pose (B, 48), rad, root first, and shape (B, 10) to vertices (B, 778, 3), m."""
        ...


class PlacedHand(NamedTuple):
    """A hand from its vertices and weak-perspective camera."""

    joint_proj: Tensor  # (B, 21, 2) heat-map cells
    joint_cam: Tensor  # (B, 21, 3) m, relative to the wrist
    mesh_cam: Tensor  # (B, 778, 3) m, relative to the wrist
    root_cam: Tensor  # (B, 1, 3) m, the wrist


def joint_regressor(regressor16: Tensor, *, middle_tip: int = MIDDLE_TIP_OF_MODEL) -> Tensor:
    """Build rows of 21 joints: the model's 16, reordered, and one vertex per fingertip.

    Args:
        regressor16: (16, 778), MANO's own. For the network's losses the *right* hand's serves both
            hands; a metric takes each hand's own.
        middle_tip: Vertex of the middle fingertip: 445 in the model, 444 in upstream's metric.

    Returns:
        (21, 778), mano21 order.

    Raises:
        ValueError: The regressor has another shape.
    """
    if regressor16.shape != (16, _NUM_VERTICES):
        raise ValueError(f"the regressor is {tuple(regressor16.shape)}, expected (16, 778)")
    tips = torch.tensor([745, 317, middle_tip, 556, 673], device=regressor16.device)
    tip_rows = torch.nn.functional.one_hot(tips, _NUM_VERTICES).to(regressor16)
    return torch.cat([regressor16, tip_rows])[list(_MANO21_FROM_MANO16_TIPS)]


def place_hand(vertices: Tensor, cam: Tensor, regressor21: Tensor) -> PlacedHand:
    """Compute joints of a mesh, wrist-relative and projected.

    Args:
        vertices: (B, 778, 3) m, not centred.
        cam: (B, 3) weak perspective: scale in cells per metre, x and y offset in cells.
        regressor21: (21, 778) of ``joint_regressor``.

    Returns:
        The hand; the projection is taken before the wrist is subtracted.
    """
    with torch.autocast(vertices.device.type, enabled=False):  # 8 bits of 0.1 m are 0.4 mm
        joints = regressor21 @ vertices
    projected = joints[..., :2] * cam[:, None, :1] + cam[:, None, 1:]
    wrist = joints[:, :1]
    return PlacedHand(projected, joints - wrist, vertices - wrist, wrist)
