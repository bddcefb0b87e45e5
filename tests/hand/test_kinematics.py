"""The kinematics from rotation matrices are those of smplx."""

import numpy as np
import pytest
import torch
from smplx.lbs import batch_rodrigues

from gesture_pretrain.hand.kinematics import ManoKinematics
from gesture_pretrain.hand.mano_file import open_hand
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.hand.rotation import matrix_from_axis_angle


@pytest.fixture(scope="module", params=["smplx", "interhand"])
def model(request):
    """A hand that bulges with its pose as MANO does, posed by smplx."""
    posedirs = np.random.default_rng(1).normal(0, 1e-3, (778, 3, 135))
    arrays = {**open_hand("right"), "posedirs": posedirs}
    return HandModel(arrays, hand="right", tip_convention=request.param, with_smplx=True)


def kinematics_of(model, dtype=torch.float32):
    return ManoKinematics(model.blend_arrays(), model.tip_convention, dtype=dtype)


def random_hands(count: int):
    generator = torch.Generator().manual_seed(0)
    pose = 0.6 * torch.randn(count, 48, generator=generator)
    return pose, torch.randn(count, 10, generator=generator)


def test_mesh_and_joints_are_those_of_smplx(model):
    pose, shape = random_hands(4)
    expected = model.float()(pose, shape, torch.zeros(4, 3))
    found = kinematics_of(model).of_pose(pose, shape)
    # float32, sums of 200 mm numbers over chains of 4: some 1e-7 of 0.2 m. smplx itself adds 1e-8
    # to angles, which turns a fingertip at 0.2 m by 2e-9 m
    torch.testing.assert_close(found.vertices_m, expected.vertices_m, atol=2e-6, rtol=0)
    torch.testing.assert_close(found.joints_m, expected.joints_m, atol=2e-6, rtol=0)


def test_in_float64_the_same_rotations_give_the_same_hand(model):
    """smplx's own rotations, as it adds 1e-8 to angles: what is left is sums in another order."""
    pose, shape = (each.double() for each in random_hands(4))
    mean_pose = torch.from_numpy(model.hands_mean).float().double()  # as smplx stores it
    full = torch.cat([pose[:, :3], pose[:, 3:] + mean_pose], dim=1)
    rotations = batch_rodrigues(full.reshape(-1, 3)).reshape(4, 16, 3, 3)
    found = kinematics_of(model, torch.float64)(rotations, shape)
    expected = model.double()(pose, shape, torch.zeros(4, 3).double())
    torch.testing.assert_close(found.vertices_m, expected.vertices_m, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.joints_m, expected.joints_m, atol=1e-12, rtol=0)


def test_joints_alone_are_the_joints_of_the_mesh(model):
    pose, shape = random_hands(4)
    kinematics = kinematics_of(model)
    rotations = matrix_from_axis_angle(pose.unflatten(1, (16, 3)))
    alone = kinematics.joints_m(rotations, shape)
    torch.testing.assert_close(alone, kinematics(rotations, shape).joints_m, atol=1e-6, rtol=0)


def test_a_checkpoint_holds_nothing_of_the_hand(model):
    assert kinematics_of(model).state_dict() == {}


def test_autocast_does_not_coarsen_the_hand(model):
    pose, shape = random_hands(2)
    kinematics = kinematics_of(model)
    rotations = matrix_from_axis_angle(pose.unflatten(1, (16, 3)))
    with torch.autocast("cpu", torch.bfloat16):
        found = kinematics(rotations, shape)
    assert torch.equal(found.vertices_m, kinematics(rotations, shape).vertices_m)
