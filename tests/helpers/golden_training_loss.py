"""The targets, masks and MANO stand-ins behind the reference values of the training loss."""

from collections.abc import Callable

import torch
from golden_recipe import FunctionInputs, regressor16
from torch import Tensor

from eanet import EANetOutput
from eanet.losses import TrainingTargets, place_hands, training_loss
from eanet.mano_joints import joint_regressor

_BATCH = 4


def build_targets(inputs: FunctionInputs) -> TrainingTargets:
    """The targets of the reference, float64."""
    per_hand = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1]], dtype=torch.float64)
    joints = (_BATCH, 42)
    joint_valid = inputs.below("t_jv", 0.8, *joints, 1)
    return TrainingTargets(
        rel_trans=inputs.normal("t_rel", _BATCH, 3, scale=0.1),
        mano_pose=inputs.normal("t_pose", _BATCH, 96, scale=0.5),
        mano_shape=inputs.normal("t_shape", _BATCH, 20),
        joint_cam=inputs.normal("t_jc", *joints, 3, scale=0.1),
        mano_joint_cam=inputs.normal("t_mjc", *joints, 3, scale=0.1),
        joint_img=inputs.uniform("t_ji", *joints, 3, scale=8),
        mano_joint_img=inputs.uniform("t_mji", *joints, 3, scale=8),
        rel_trans_valid=torch.tensor([[1.0], [0.0], [1.0], [1.0]], dtype=torch.float64),
        mano_param_valid=per_hand.repeat_interleave(48, dim=1),
        mano_shape_valid=per_hand.repeat_interleave(10, dim=1),
        joint_valid=joint_valid,
        joint_trunc=joint_valid * inputs.below("t_jt", 0.9, *joints, 1),
        mano_joint_valid=inputs.below("t_mjv", 0.8, *joints, 1).expand(-1, -1, 3),
        mano_joint_trunc=inputs.below("t_mjt", 0.8, *joints, 1),
        is_3d=torch.tensor([1.0, 1.0, 0.0, 1.0], dtype=torch.float64),
    )


def build_loss(case: str) -> Callable[[EANetOutput], tuple[Tensor, dict[str, Tensor]]]:
    """The training loss as a function of the network's output, in the output's precision."""
    inputs = FunctionInputs(case)
    targets, layers = build_targets(inputs), {h: inputs.mano_layer(h) for h in "rl"}
    regressor = joint_regressor(regressor16(case))

    def loss(output: EANetOutput) -> tuple[Tensor, dict[str, Tensor]]:
        right, left = place_hands(
            output,
            right_layer=layers["r"],
            left_layer=layers["l"],
            regressor21=regressor.to(output.rcam),
        )
        cast = TrainingTargets(*(value.to(output.rcam) for value in targets))
        terms = training_loss(output, right, left, cast)
        return sum(terms.values()), terms

    return loss
