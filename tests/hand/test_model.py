"""The torch hand against an independent float64 skinning, and its mirror."""

import sys

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gesture_pretrain.hand.mano_file import mirror_hand, open_hand
from gesture_pretrain.hand.model import HandModel, load_hand_model
from gesture_pretrain.skeleton import MANO21_FROM_MANO16_TIPS, PARENTS_MANO16, TIP_VERTICES


def _arrays(hand):
    """The open hand with pose correctives, which it lacks, so that their path is tested too."""
    posedirs = np.random.default_rng(0).normal(size=(778, 3, 135)) * 1e-3
    right = {**open_hand("right"), "posedirs": posedirs}
    return right if hand == "right" else mirror_hand(right)


def _random_parameters(count=4, seed=0):
    rng = np.random.default_rng(seed)
    pose, shape = rng.normal(size=(count, 48)) * 0.35, rng.normal(size=(count, 10))
    return pose, shape, rng.normal(size=(count, 3)) * 0.3


def _skinning(arrays, pose, shape, trans, mean):
    """Linear blend skinning of one hand by explicit 4x4 chains; vertices and 16 joints, m."""
    rest = arrays["v_template"] + arrays["shapedirs"] @ shape
    joints = arrays["J_regressor"] @ rest
    turns = Rotation.from_rotvec((pose + np.r_[0, 0, 0, mean]).reshape(16, 3)).as_matrix()
    rest = rest + arrays["posedirs"] @ (turns[1:] - np.eye(3)).ravel()
    chain = []
    for j, parent in enumerate(PARENTS_MANO16):
        local = np.eye(4)
        local[:3, :3] = turns[j]
        local[:3, 3] = joints[j] - (joints[parent] if j else 0)
        chain.append(chain[parent] @ local if j else local)
    vertices = np.zeros_like(rest)
    for j, world in enumerate(chain):
        moved = (rest - joints[j]) @ world[:3, :3].T + world[:3, 3]
        vertices += arrays["weights"][:, j : j + 1] * moved
    return vertices + trans, np.array([world[:3, 3] for world in chain]) + trans


def _forward(model, parameters, dtype):
    with torch.no_grad():
        return model.to(dtype)(*(torch.tensor(value, dtype=dtype) for value in parameters))


@pytest.mark.parametrize("hand", ["right", "left"])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("tips", ["smplx", "manopth"])
# smplx stores float32 (arrays rounded by 6e-8 of at most 0.3 m, through a chain of 4 and sums of
# 778 or 135 terms) and adds 1e-8 rad to angles: 2e-7 m in float64; float32 arithmetic a few more
@pytest.mark.parametrize(("dtype", "limit_m"), [(torch.float64, 2e-7), (torch.float32, 2e-6)])
@pytest.mark.parametrize("with_smplx", [False, True])
def test_equals_independent_skinning(hand, flat, tips, dtype, limit_m, with_smplx):
    arrays, parameters = _arrays(hand), _random_parameters()
    options = {"hand": hand, "tip_convention": tips, "flat_hand_mean": flat}
    model = HandModel(arrays, **options, with_smplx=with_smplx)
    mesh = _forward(model, parameters, dtype)
    mean = np.zeros(45) if flat else arrays["hands_mean"]
    tip_rows = list(TIP_VERTICES[tips].values())
    for i, row in enumerate(zip(*parameters, strict=True)):
        vertices, joints = _skinning(arrays, *row, mean)
        np.testing.assert_allclose(mesh.vertices_m[i], vertices, atol=limit_m)
        joints = np.concatenate([joints, vertices[tip_rows]])[list(MANO21_FROM_MANO16_TIPS)]
        np.testing.assert_allclose(mesh.joints_m[i], joints, atol=limit_m)


@pytest.mark.parametrize("with_smplx", [False, True])
def test_left_hand_is_the_mirror_image(with_smplx):
    right = HandModel(_arrays("right"), hand="right", with_smplx=with_smplx)
    left = HandModel(_arrays("left"), hand="left", with_smplx=with_smplx)
    pose, shape, trans = _random_parameters()
    mirrored = pose * np.tile([1, -1, -1], 16), shape, trans * [-1, 1, 1]
    for ours, theirs in zip(
        _forward(right, (pose, shape, trans), torch.float64),
        _forward(left, mirrored, torch.float64),
        strict=True,
    ):
        # smplx adds 1e-8 to angles, which is not symmetric
        np.testing.assert_allclose(ours * torch.tensor([-1.0, 1, 1]), theirs, atol=1e-7)


@pytest.mark.parametrize("hand", ["right", "left"])
def test_faces_look_outwards(hand):
    model = load_hand_model(hand, "open")
    mesh = model(torch.zeros(1, 48), torch.zeros(1, 10), torch.zeros(1, 3))
    vertices = mesh.vertices_m[0].double().numpy()
    corners = vertices[model.faces] - vertices.mean(axis=0)
    volume = np.einsum("ni,ni->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 1e-4 < volume < 1e-3  # 299 cm^3 less the open wrist


@pytest.mark.parametrize("with_smplx", [False, True])
def test_is_quiet_differentiable_and_has_nothing_to_train(with_smplx, capfd, recwarn):
    model = HandModel(_arrays("left"), hand="left", with_smplx=with_smplx)
    inputs = [torch.zeros(2, n, requires_grad=True) for n in (48, 10, 3)]
    model(*inputs).joints_m.square().sum().backward()
    assert all(torch.isfinite(value.grad).all() and value.grad.any() for value in inputs)
    assert list(model.parameters()) == []
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn] == []


def test_wrong_input_is_named():
    model = load_hand_model("right", "open")
    with pytest.raises(ValueError, match=r"pose has shape \(1, 45\)"):
        model(torch.zeros(1, 45), torch.zeros(1, 10), torch.zeros(1, 3))
    with pytest.raises(ValueError, match="shape has shape"):
        model(torch.zeros(2, 48), torch.zeros(1, 10), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="fingertip convention"):
        load_hand_model("right", "open", tip_convention="mano")
    with pytest.raises(ValueError, match="unknown hand"):
        load_hand_model("both", "open")


@pytest.mark.parametrize("with_smplx", [False, True])
def test_state_dict_is_empty_and_a_network_around_it_saves_nothing_of_it(with_smplx):
    # so that no weights file holds arrays of a licensed MANO file
    model = HandModel(_arrays("right"), hand="right", with_smplx=with_smplx)
    assert model.state_dict() == {}
    holder = torch.nn.Sequential(torch.nn.Linear(1, 1))
    holder.hand = model
    assert list(holder.state_dict()) == ["0.weight", "0.bias"]


def test_the_bundled_hand_model_can_do_without_smplx(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "smplx", None)
    monkeypatch.delitem(sys.modules, "gesture_pretrain.hand.smplx_hand", raising=False)
    assert load_hand_model("right", "open", with_smplx=False).hand == "right"
    np.savez(tmp_path / "MANO_RIGHT.npz", **open_hand("right"))
    with pytest.raises(ModuleNotFoundError, match=r"gesture-pretrain\[mano\]"):
        load_hand_model("right", tmp_path)
