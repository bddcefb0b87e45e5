"""Joints of a mesh."""

import pytest
import torch

from eanet.mano_joints import joint_regressor, place_hand


def test_regressor_rows_are_in_mano21_order():
    """Each of the model's 16 rows picks a vertex of its own number."""
    picks = torch.nn.functional.one_hot(torch.arange(16), 778).double()
    vertices = torch.arange(778).double()[:, None].expand(-1, 3)
    joints = (joint_regressor(picks) @ vertices)[:, 0].int().tolist()
    thumb, index, middle = [13, 14, 15, 745], [1, 2, 3, 317], [4, 5, 6, 445]
    ring, pinky = [10, 11, 12, 556], [7, 8, 9, 673]
    assert joints == [0, *thumb, *index, *middle, *ring, *pinky]


def test_regressor_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(21, 778\), expected \(16, 778\)"):
        joint_regressor(torch.zeros(21, 778))


def test_a_hand_is_projected_where_it_is_and_then_centred_on_its_wrist():
    """By hand: every vertex at (1, 2, 3) but vertex 0, which alone makes the wrist."""
    vertices = torch.tensor([1.0, 2.0, 3.0]).repeat(1, 778, 1)
    vertices[0, 0] = torch.tensor([0.5, 0.0, 1.0])
    regressor = torch.zeros(21, 778)
    regressor[0, 0], regressor[1:, 5] = 1, 1
    hand = place_hand(vertices, torch.tensor([[2.0, 10.0, 20.0]]), regressor)
    assert hand.root_cam.tolist() == [[[0.5, 0.0, 1.0]]]
    assert hand.joint_proj[0, :2].tolist() == [[11.0, 20.0], [12.0, 24.0]]
    assert hand.joint_cam[0, :2].tolist() == [[0, 0, 0], [0.5, 2, 2]]
    assert hand.mesh_cam[0, :2].tolist() == [[0, 0, 0], [0.5, 2, 2]]
