"""EANet's training loss: eight L1 terms.

Every term is the plain mean over all its entries, masked ones counted as zeros: it is not balanced
by the number of valid entries. A NaN in a target means "not annotated": zero loss, zero gradient.

Letters: B batch; 42 = right then left hand, 21 joints each in mano21 order.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from eanet.mano_joints import ManoLayer, PlacedHand, place_hand
from eanet.network import EANetOutput
from eanet.quirks import CORRECT, Quirks


class TrainingTargets(NamedTuple):
    """Targets and their masks (1 = counts, 0 = not)."""

    rel_trans: Tensor  # (B, 3) m, left wrist minus right wrist
    mano_pose: Tensor  # (B, 96) rad: right root 3, right fingers 45, left root, left fingers
    mano_shape: Tensor  # (B, 20) right, left
    joint_cam: Tensor  # (B, 42, 3) m, captured joints relative to their own wrist
    mano_joint_cam: Tensor  # (B, 42, 3) m, the same of the MANO annotation
    joint_img: Tensor  # (B, 42, 3) cells
    mano_joint_img: Tensor  # (B, 42, 3) cells
    rel_trans_valid: Tensor  # (B, 1)
    mano_param_valid: Tensor  # (B, 96)
    mano_shape_valid: Tensor  # (B, 20)
    joint_valid: Tensor  # (B, 42, 1) annotated
    joint_trunc: Tensor  # (B, 42, 1) annotated and inside the heat-map volume
    mano_joint_valid: Tensor  # (B, 42, 3)
    mano_joint_trunc: Tensor  # (B, 42, 1) inside the heat-map volume
    is_3d: Tensor  # (B,) 1 where depth is annotated


FACTORS = {
    "rel_trans": 1.0,
    "mano_pose": 1.0,
    "mano_shape": 1.0,
    "joint_cam": 10.0,
    "mano_joint_cam": 10.0,
    "joint_img": 1.0,
    "mano_joint_img": 1.0,
    "joint_proj": 1.0,
}


def coord_loss(
    out: Tensor,
    target: Tensor,
    valid: Tensor,
    is_3d: Tensor | None = None,
    *,
    quirks: Quirks = CORRECT,
) -> Tensor:
    """Unreduced L1 of coordinates.

    Args:
        out, target: (B, J, 2 or 3).
        valid: (B, J, 1) or as ``out``.
        is_3d: (B,); if given, the third component counts where it is 1.
        quirks: ``nan_predictions_as_zero`` applies.

    Returns:
        As ``out``.
    """
    loss = param_loss(out, target, valid, quirks=quirks)
    if is_3d is None:
        return loss
    depth = loss[..., 2:] * is_3d.to(loss)[:, None, None]
    return torch.cat([loss[..., :2], depth], dim=-1)


def param_loss(out: Tensor, target: Tensor, valid: Tensor, *, quirks: Quirks = CORRECT) -> Tensor:
    """Unreduced L1 of parameters; ``valid`` is broadcast to the shape (B, ...) of both."""
    unknown = target.isnan()
    if quirks.nan_predictions_as_zero:
        unknown = unknown | out.isnan()
    # the NaN is taken out before the difference, as a NaN's gradient survives a mask behind it
    difference = torch.where(unknown, 0.0, out) - torch.where(unknown, 0.0, target)
    return difference.abs() * valid


def place_hands(
    output: EANetOutput, *, right_layer: ManoLayer, left_layer: ManoLayer, regressor21: Tensor
) -> tuple[PlacedHand, PlacedHand]:
    """Return the predicted meshes and joints of the right and left hand.

    Args:
        output: Output of the network.
        right_layer, left_layer: See ``ManoLayer``.
        regressor21: (21, 778) of ``joint_regressor``, used for both hands.
    """
    right = right_layer(torch.cat([output.rroot_pose_aa, output.rpose_aa], 1), output.rshape)
    left = left_layer(torch.cat([output.lroot_pose_aa, output.lpose_aa], 1), output.lshape)
    return (
        place_hand(right, output.rcam, regressor21),
        place_hand(left, output.lcam, regressor21),
    )


def unreduced_terms(
    output: EANetOutput,
    right: PlacedHand,
    left: PlacedHand,
    targets: TrainingTargets,
    *,
    quirks: Quirks = CORRECT,
) -> dict[str, Tensor]:
    """Return the terms before factor and mean, with names and order of ``FACTORS``."""
    t = targets
    is_3d = t.is_3d.to(t.joint_valid)[:, None, None]
    pose = torch.cat(
        [output.rroot_pose_aa, output.rpose_aa, output.lroot_pose_aa, output.lpose_aa], dim=1
    )
    shape = torch.cat([output.rshape, output.lshape], dim=1)
    joint_cam = torch.cat([right.joint_cam, left.joint_cam], dim=1)
    joint_img = torch.cat([output.rjoint_img, output.ljoint_img], dim=1)
    joint_proj = torch.cat([right.joint_proj, left.joint_proj], dim=1)
    compared = {
        "rel_trans": (
            output.rel_trans[:, None],
            t.rel_trans[:, None],
            t.rel_trans_valid[:, None],
        ),
        "mano_pose": (pose, t.mano_pose, t.mano_param_valid),
        "mano_shape": (shape, t.mano_shape, t.mano_shape_valid),
        "joint_cam": (joint_cam, t.joint_cam, t.joint_valid * is_3d),
        "mano_joint_cam": (joint_cam, t.mano_joint_cam, t.mano_joint_valid),
        "joint_img": (joint_img, t.joint_img, t.joint_trunc, t.is_3d),
        "mano_joint_img": (joint_img, t.mano_joint_img, t.mano_joint_trunc),
        # joints outside the crop count here, unlike in joint_img
        "joint_proj": (joint_proj, t.joint_img[..., :2], t.joint_valid),
    }
    return {name: coord_loss(*values, quirks=quirks) for name, values in compared.items()}


def training_loss(
    output: EANetOutput,
    right: PlacedHand,
    left: PlacedHand,
    targets: TrainingTargets,
    *,
    quirks: Quirks = CORRECT,
) -> dict[str, Tensor]:
    """Compute the weighted terms as scalars, whose sum is the loss.

    Args:
        output: Output of the network.
        right, left: Hands from ``place_hands``.
        targets: Targets and masks.
        quirks: ``nan_predictions_as_zero`` applies.

    Returns:
        Keys and order of ``FACTORS``.
    """
    terms = unreduced_terms(output, right, left, targets, quirks=quirks)
    return {name: FACTORS[name] * term.mean() for name, term in terms.items()}
