"""The training loss on values that one can work out by hand."""

import pytest
import torch

from eanet.losses import FACTORS, TrainingTargets, coord_loss, training_loss
from eanet.mano_joints import PlacedHand

B = 2


def _targets(value: float, valid: float) -> TrainingTargets:
    """Every target ``value``, every mask ``valid``; depth is annotated in the first sample."""
    numbers = {"rel_trans": 3, "mano_pose": 96, "mano_shape": 20}
    joints = ("joint_cam", "mano_joint_cam", "joint_img", "mano_joint_img")
    masks = {"rel_trans_valid": (1,), "mano_param_valid": (96,), "mano_shape_valid": (20,)}
    masks |= dict.fromkeys(("joint_valid", "joint_trunc", "mano_joint_trunc"), (42, 1))
    masks["mano_joint_valid"] = (42, 3)
    return TrainingTargets(
        **{name: torch.full((B, width), value) for name, width in numbers.items()},
        **{name: torch.full((B, 42, 3), value) for name in joints},
        **{name: torch.full((B, *shape), valid) for name, shape in masks.items()},
        is_3d=torch.tensor([1.0, 0.0]),
    )


@pytest.fixture
def zeros(build_tiny, tiny_images):
    """An output and two hands that are 0 throughout."""
    output = build_tiny()(tiny_images[:B])
    output = type(output)(*(None if v is None else torch.zeros_like(v) for v in output))
    hand = PlacedHand(
        torch.zeros(B, 21, 2), torch.zeros(B, 21, 3), torch.zeros(B, 778, 3), torch.zeros(B, 1, 3)
    )
    return output, hand, hand


def test_factors_masks_and_depth(zeros):
    """The second sample has no depth: joint_img loses a third of it, joint_cam all of it."""
    terms = training_loss(*zeros, _targets(2.0, 1.0))
    whole = {"rel_trans": 2.0, "mano_pose": 2.0, "mano_shape": 2.0, "joint_proj": 2.0}
    in_cells = {"joint_img": 2.0 * 5 / 6, "mano_joint_img": 2.0}
    expected = whole | in_cells | {"joint_cam": 10 * 2.0 / 2, "mano_joint_cam": 10 * 2.0}
    assert list(terms) == list(FACTORS)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(expected)


def test_masked_entries_count_as_zeros_in_the_mean(zeros):
    targets = _targets(2.0, 1.0)
    targets.mano_param_valid[0] = 0
    assert training_loss(*zeros, targets)["mano_pose"].item() == 1.0
    assert not any(term.any() for term in training_loss(*zeros, _targets(2.0, 0.0)).values())


def test_unknown_targets_have_neither_loss_nor_gradient():
    out = torch.ones(1, 2, 3, requires_grad=True)
    target = torch.tensor([[[float("nan"), 0, 0], [0, 0, 0]]])
    loss = coord_loss(out, target, torch.ones(1, 2, 1))
    loss.sum().backward()
    assert loss.tolist() == out.grad.tolist() == [[[0, 1, 1], [1, 1, 1]]]
