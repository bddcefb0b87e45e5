"""EANet's eight losses of a batch of our dataset."""

import torch
from torch import Tensor

from adapters.eanet.dataset import EanetSample
from adapters.eanet.mano import ManoHands
from eanet.losses import FACTORS, TrainingTargets, unreduced_terms
from eanet.mano_joints import PlacedHand, place_hand
from eanet.network import EANetOutput
from eanet.quirks import Quirks
from gesture_pretrain.training.step_mean import step_mean_count

REDUCTIONS = ("valid", "mean")


def training_targets(batch: EanetSample, *, cell_offset: float) -> TrainingTargets:
    """Build targets and masks of a batch, in the network's heat-map cells.

    Args:
        batch: Collated samples.
        cell_offset: Reference point of a cell index within the cell: 0 its edge, as in
            upstream; 0.5 its centre.
    """
    return TrainingTargets(
        rel_trans=batch.rel_trans,
        mano_pose=batch.mano_pose,
        mano_shape=batch.mano_shape,
        joint_cam=batch.joint_cam,
        mano_joint_cam=batch.mano_joint_cam,
        joint_img=batch.joint_img - cell_offset,
        mano_joint_img=batch.mano_joint_img - cell_offset,
        rel_trans_valid=batch.rel_trans_valid,
        mano_param_valid=batch.mano_param_valid,
        mano_shape_valid=batch.mano_shape_valid,
        joint_valid=batch.joint_valid,
        joint_trunc=batch.joint_trunc,
        mano_joint_valid=batch.mano_joint_valid,
        mano_joint_trunc=batch.mano_joint_trunc,
        is_3d=batch.is_3D,
    )


def placed_hands(output: EANetOutput, hands: ManoHands) -> tuple[PlacedHand, PlacedHand]:
    """Return the predicted meshes and joints of the right and left hand, metres."""
    right_pose = torch.cat([output.rroot_pose_aa, output.rpose_aa], dim=1)
    left_pose = torch.cat([output.lroot_pose_aa, output.lpose_aa], dim=1)
    right = hands.vertices_m(0, right_pose, output.rshape)
    left = hands.vertices_m(1, left_pose, output.lshape)
    regressor = hands.regressor21.to(right.dtype)
    return place_hand(right, output.rcam, regressor), place_hand(left, output.lcam, regressor)


def weighted_losses(
    output: EANetOutput,
    right: PlacedHand,
    left: PlacedHand,
    targets: TrainingTargets,
    *,
    reduction: str,
    quirks: Quirks,
) -> dict[str, Tensor]:
    """Compute the eight weighted terms as scalars, named `*_loss`.

    Args:
        output: Output of the network.
        right, left: Hands from `placed_hands`.
        targets: Targets and masks.
        reduction: "valid": the mean over what is known in the whole step; a term about which
            nothing is known is 0.
            "mean": over all entries, what is masked counted as zeros, as upstream: there a batch
            of single hands has half the loss, and half the gradient, of one of two hands.
        quirks: `nan_predictions_as_zero` applies.
    """
    terms = unreduced_terms(output, right, left, targets, quirks=quirks)
    if reduction == "mean":
        reduced = {name: term.mean() for name, term in terms.items()}
    else:
        known = _known(targets)
        reduced = {
            name: term.sum() / step_mean_count(_count(known[name], term)).to(term.dtype)
            for name, term in terms.items()
        }
    return {f"{name}_loss": FACTORS[name] * value for name, value in reduced.items()}


def _known(t: TrainingTargets) -> dict[str, Tensor]:
    """Return masks that broadcast to the terms."""
    has_depth = t.is_3d.to(t.joint_valid)[:, None, None]
    ones = torch.ones_like(has_depth)
    return {
        "rel_trans": t.rel_trans_valid[:, None],
        "mano_pose": t.mano_param_valid,
        "mano_shape": t.mano_shape_valid,
        "joint_cam": t.joint_valid * has_depth,
        "mano_joint_cam": t.mano_joint_valid,
        "joint_img": t.joint_trunc * torch.cat([ones, ones, has_depth], dim=-1),
        "mano_joint_img": t.mano_joint_trunc,
        "joint_proj": t.joint_valid,
    }


def _count(mask: Tensor, term: Tensor) -> Tensor:
    return mask.expand_as(term).sum()
