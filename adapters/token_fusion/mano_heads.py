"""MANO parameters from the fused joint tokens.

Paper, section 3.2.3: two MLP heads, one for the joint rotations in 6D (Zhou et al. 2019), one for
the shape coefficients. Our assumptions: each MLP reads all tokens side by side and has one hidden
layer; the rotations are those that MANO applies, mean pose included, so that they need no axis
angles on the way to the mesh; and an optional weak-perspective camera for crops of unknown
intrinsics.

Letters: B batch, J joints, d width.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gesture_pretrain.precision import at_least_float32

NUM_ROTATIONS, NUM_SHAPE = 16, 10
IDENTITY_6D = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)  # interleaved, see gesture_pretrain.hand.rotation


class ManoOutput(NamedTuple):
    """Output of the MANO heads.

    Attributes:
        pose_6d: `(B, 16, 6)`, the root and 15 joints in mano16 order, interleaved 6D, mean pose
            included; not normalised.
        shape: `(B, 10)`.
        weak_camera: `(B, 3)`, see `camera.project_weak_perspective_px`; None without that head.
    """

    pose_6d: Tensor
    shape: Tensor
    weak_camera: Tensor | None


class ManoHeads(nn.Module):
    """Map tokens `(B, J, d)` to `ManoOutput`.

    Args:
        width: Token width d.
        num_joints: J.
        hidden: Hidden units of each head.
        camera_head: Whether there is a weak-perspective camera.
    """

    def __init__(
        self, width: int, *, num_joints: int = 21, hidden: int = 512, camera_head: bool = False
    ):
        super().__init__()
        inputs = num_joints * width
        identity = torch.tensor(IDENTITY_6D).repeat(NUM_ROTATIONS)
        self.pose = regression_mlp(inputs, hidden, start=identity)
        self.shape = regression_mlp(inputs, hidden, start=torch.zeros(NUM_SHAPE))
        self.camera = None
        if camera_head:
            self.camera = regression_mlp(inputs, hidden, start=torch.tensor([1.0, 0.0, 0.0]))

    def forward(self, tokens: Tensor) -> ManoOutput:
        # a bfloat16 rotation is off by up to 0.4 %, a millimetre at a fingertip
        with torch.autocast(tokens.device.type, enabled=False):
            joined = at_least_float32(tokens).flatten(1)
            pose_6d = self.pose(joined).unflatten(1, (NUM_ROTATIONS, 6))
            camera = None if self.camera is None else self.camera(joined)
            return ManoOutput(pose_6d, self.shape(joined), camera)


def regression_mlp(inputs: int, hidden: int, *, start: Tensor) -> nn.Sequential:
    """MLP from `(B, inputs)` to `(B, len(start))`, initially close to `start`."""
    last = nn.Linear(hidden, len(start))
    nn.init.normal_(last.weight, std=1e-3)
    with torch.no_grad():
        last.bias.copy_(start)
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), last)
