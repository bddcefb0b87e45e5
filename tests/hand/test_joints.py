"""Joints without a mesh equal those of the hand model."""

import numpy as np
import pytest
import torch

from gesture_pretrain.hand.joints import HandJoints
from gesture_pretrain.hand.mano_file import open_hand
from gesture_pretrain.hand.model import HandModel, load_hand_model


@pytest.mark.parametrize("hand", ["right", "left"])
@pytest.mark.parametrize("tips, flat", [("smplx", False), ("interhand", False), ("manopth", True)])
def test_equals_the_hand_model(hand, tips, flat):
    rng = np.random.default_rng(0)
    # unlike the open hand, MANO has a mean pose and bulges with its pose
    arrays = {
        **open_hand(hand),
        "hands_mean": np.linspace(-0.3, 0.4, 45),
        "posedirs": rng.normal(0, 1e-3, (778, 3, 135)),
    }
    options = {"hand": hand, "tip_convention": tips, "flat_hand_mean": flat}
    model = HandModel(arrays, **options, with_smplx=True).double()
    joints = HandJoints(model)
    for _ in range(5):
        pose, shape, trans = rng.normal(0, 0.8, 48), rng.normal(0, 1.5, 10), rng.normal(0, 1, 3)
        mesh = model(*(torch.from_numpy(v)[None] for v in (pose, shape, trans)))
        # smplx's Rodrigues adds 1e-8 to the vector before its norm: an angle error of up to
        # sqrt(3) * 1e-8 rad at each of up to four joints over 0.2 m; smplx rounds the mean pose
        np.testing.assert_allclose(
            joints.joints_m(pose, shape, trans), mesh.joints_m[0].numpy(), rtol=0, atol=3e-8
        )


def test_a_hand_of_a_batch_is_the_hand_alone_to_the_last_digit():
    """A sample of the loader must not depend on the batch that it is in."""
    joints = HandJoints(load_hand_model("right", "open"))
    rng = np.random.default_rng(1)
    poses = np.float32(rng.normal(0, 0.8, (37, 48)))
    shapes, shifts = np.float32(rng.normal(0, 1.5, (37, 10))), np.float32(rng.normal(0, 1, (37, 3)))
    together = joints.joints_m(poses, shapes, shifts)
    assert together.shape == (37, 21, 3)
    for i in range(37):
        assert np.array_equal(
            joints.joints_m(poses[i : i + 1], shapes[i : i + 1], shifts[i : i + 1])[0], together[i]
        )
    half = joints.joints_m(poses[5:12], shapes[5:12], shifts[5:12])
    assert np.array_equal(half, together[5:12])
    assert np.array_equal(joints.joints_m(poses[3], shapes[3], shifts[3]), together[3])
