"""The kinematics from rotation matrices are those of smplx."""

import pytest
import torch
from smplx.lbs import batch_rodrigues

from gesture_pretrain.hand.kinematics import ManoKinematics
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.hand.rotation import matrix_from_axis_angle


@pytest.fixture(scope="module", params=["smplx", "interhand"])
def model(request):
    return load_hand_model("right", "open", tip_convention=request.param)


def random_hands(count: int):
    generator = torch.Generator().manual_seed(0)
    pose = 0.6 * torch.randn(count, 48, generator=generator)
    return pose, torch.randn(count, 10, generator=generator)


def test_mesh_and_joints_are_those_of_smplx(model):
    pose, shape = random_hands(4)
    expected = model(pose, shape, torch.zeros(4, 3))
    found = ManoKinematics(model).of_pose(pose, shape)
    # float32, sums of 200 mm numbers over chains of 4: some 1e-7 of 0.2 m. smplx itself adds 1e-8
    # to angles, which turns a fingertip at 0.2 m by 2e-9 m
    torch.testing.assert_close(found.vertices_m, expected.vertices_m, atol=2e-6, rtol=0)
    torch.testing.assert_close(found.joints_m, expected.joints_m, atol=2e-6, rtol=0)


def test_in_float64_the_same_rotations_give_the_same_hand(model):
    """smplx's own rotations, as it adds 1e-8 to angles: what is left is sums in another order."""
    pose, shape = (each.double() for each in random_hands(4))
    exact = load_hand_model("right", "open", tip_convention=model.tip_convention).double()
    kinematics = ManoKinematics(model, dtype=torch.float64)
    mean_pose = torch.from_numpy(model.hands_mean).float().double()  # as smplx stores it
    full = torch.cat([pose[:, :3], pose[:, 3:] + mean_pose], dim=1)
    rotations = batch_rodrigues(full.reshape(-1, 3)).reshape(4, 16, 3, 3)
    found, expected = kinematics(rotations, shape), exact(pose, shape, torch.zeros(4, 3).double())
    torch.testing.assert_close(found.vertices_m, expected.vertices_m, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.joints_m, expected.joints_m, atol=1e-12, rtol=0)


def test_a_hand_that_bulges_with_its_pose_as_mano_does():
    """The open hand has no pose blend shapes; without this nothing would try them."""
    model = load_hand_model("right", "open").double()
    directions = model._mano.posedirs
    assert not directions.any()
    generator = torch.Generator().manual_seed(1)
    directions += 1e-3 * torch.randn(directions.shape, generator=generator, dtype=torch.float64)
    pose, shape = (each.double() for each in random_hands(4))
    found = ManoKinematics(model, dtype=torch.float64).of_pose(pose, shape)
    expected = model(pose, shape, torch.zeros(4, 3).double())
    # smplx adds 1e-8 to angles: sqrt(3) * 1e-8 rad at each of four joints over 0.2 m
    torch.testing.assert_close(found.vertices_m, expected.vertices_m, atol=2e-8, rtol=0)
    torch.testing.assert_close(found.joints_m, expected.joints_m, atol=2e-8, rtol=0)


def test_joints_alone_are_the_joints_of_the_mesh(model):
    pose, shape = random_hands(4)
    kinematics = ManoKinematics(model)
    rotations = matrix_from_axis_angle(pose.unflatten(1, (16, 3)))
    alone = kinematics.joints_m(rotations, shape)
    torch.testing.assert_close(alone, kinematics(rotations, shape).joints_m, atol=1e-6, rtol=0)


def test_a_checkpoint_holds_nothing_of_the_hand(model):
    assert ManoKinematics(model).state_dict() == {}


def test_autocast_does_not_coarsen_the_hand(model):
    pose, shape = random_hands(2)
    kinematics = ManoKinematics(model)
    rotations = matrix_from_axis_angle(pose.unflatten(1, (16, 3)))
    with torch.autocast("cpu", torch.bfloat16):
        found = kinematics(rotations, shape)
    assert torch.equal(found.vertices_m, kinematics(rotations, shape).vertices_m)
