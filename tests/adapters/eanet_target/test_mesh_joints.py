"""The loader's joints of a fit are those of its mesh."""

import numpy as np
import pytest
import torch

from adapters.eanet.mano import mano_hands
from gesture_pretrain.hand.model import load_hand_model


@pytest.fixture(scope="module")
def models():
    return {s: load_hand_model(s, "open", tip_convention="interhand") for s in ("right", "left")}


def random_fits(count: int):
    random = np.random.default_rng(3)
    pose, shape = random.normal(0, 0.6, (count, 48)), random.normal(size=(count, 10))
    return pose, shape, random.random((count, 3))


@pytest.mark.parametrize("side", [0, 1])
def test_joints_are_those_of_the_mesh(models, side):
    fits, hands = random_fits(6), mano_hands(models)
    joints = hands.fit_joints_m(side, *fits)
    exact = load_hand_model(("right", "left")[side], "open", tip_convention="interhand").double()
    mesh = exact(*map(torch.from_numpy, fits)).vertices_m.numpy()
    # smplx adds 1e-8 to the components of a rotation and keeps the mean pose in float32 (6e-8 of
    # 1 rad): along three joints and a root, 0.2 m turn by 4 * 6e-8
    np.testing.assert_allclose(joints, hands.regressor21.double().numpy() @ mesh, rtol=0, atol=5e-8)
    in_float32 = hands.fit_vertices_m(side, *fits)
    # float32 of points up to 1 m away: 6e-8, of sums of some ten
    np.testing.assert_allclose(in_float32, mesh, rtol=0, atol=6e-7)


def test_a_fit_does_not_depend_on_its_batch(models):
    fits, hands = random_fits(5), mano_hands(models)
    for function in (hands.fit_joints_m, hands.fit_vertices_m):
        together = function(1, *fits)
        for i in range(5):
            alone = function(1, *(each[i : i + 1] for each in fits))
            np.testing.assert_array_equal(alone[0], together[i])
