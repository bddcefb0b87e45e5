"""Torch rotations against hand-worked values and against the numpy ones in float64."""

import math

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from gesture_pretrain.geometry.axis_angle import rodrigues, rotation_vector
from gesture_pretrain.hand.rotation import (
    axis_angle_from_matrix,
    matrix_from_6d,
    matrix_from_axis_angle,
    rotation_6d_from_axis_angle,
    rotation_6d_from_matrix,
)

# identity, near it (both sides of the series' limit of 0.01 rad), half turns, near half turns
SPECIAL = torch.tensor(
    [
        [0.0, 0.0, 0.0],
        [1e-9, 0.0, 0.0],
        [0.0, -1e-5, 1e-5],
        [0.0099, 0.0, 0.0],
        [0.0, 0.0101, 0.0],
        [math.pi / 2, 0.0, 0.0],
        [math.pi, 0.0, 0.0],
        [0.0, math.pi, 0.0],
        [0.0, 0.0, math.pi],
        [math.pi / math.sqrt(2), math.pi / math.sqrt(2), 0.0],
        [math.pi - 1e-6, 0.0, 0.0],
    ],
    dtype=torch.float64,
)


def random_vectors(count=200, seed=0):
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(count, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return torch.from_numpy(axes * rng.uniform(0, np.pi, (count, 1)))


def test_quarter_turn_about_z_by_hand():
    turn = matrix_from_axis_angle(torch.tensor([0.0, 0.0, math.pi / 2], dtype=torch.float64))
    expected = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(turn, expected, rtol=0, atol=1e-15)
    # the first two columns (0, 1, 0) and (-1, 0, 0), row by row
    six = rotation_6d_from_matrix(turn)
    torch.testing.assert_close(
        six, torch.tensor([0.0, -1, 1, 0, 0, 0]).double(), rtol=0, atol=1e-15
    )


def test_6d_is_interleaved_and_orthonormalised_by_hand():
    # a1 = (2, 0, 0) and a2 = (3, 5, 0): x axis, then y axis; read as one after the other the same
    # numbers would be (2, 3, 0) and (5, 0, 0)
    six = torch.tensor([2.0, 3.0, 0.0, 5.0, 0.0, 0.0])
    assert torch.equal(matrix_from_6d(six), torch.eye(3))


@pytest.mark.parametrize("vectors", [SPECIAL, random_vectors()], ids=["special", "random"])
def test_equals_the_numpy_rotations(vectors):
    # a dozen float64 roundings of numbers up to 1 (matrices) and pi (vectors)
    tolerance = 12 * np.pi * 2**-53
    matrices = matrix_from_axis_angle(vectors)
    expected = rodrigues(vectors.numpy())
    np.testing.assert_allclose(matrices.numpy(), expected, rtol=0, atol=tolerance)
    back = axis_angle_from_matrix(torch.from_numpy(expected)).numpy()
    np.testing.assert_allclose(back, rotation_vector(expected), rtol=0, atol=tolerance)


def gram_schmidt(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rotations (B, 3, 3) by Zhou et al. (CVPR 2019), column by column in float64."""
    x_axis = first / np.linalg.norm(first, axis=1, keepdims=True)
    rest = second - np.sum(x_axis * second, axis=1, keepdims=True) * x_axis
    y_axis = rest / np.linalg.norm(rest, axis=1, keepdims=True)
    return np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)], axis=-1)


def test_6d_is_gram_schmidt_of_the_two_columns():
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(50, 6))
    interleaved = columns.reshape(50, 2, 3).transpose(0, 2, 1).reshape(50, 6)
    np.testing.assert_allclose(
        matrix_from_6d(torch.from_numpy(interleaved)).numpy(),
        gram_schmidt(columns[:, :3], columns[:, 3:]),
        rtol=0,
        # Gram-Schmidt of nearly parallel vectors loses digits: at most 1 / sin(angle) times
        atol=1e-13,
    )


def test_there_and_back_again():
    vectors = random_vectors(seed=2)
    six = rotation_6d_from_axis_angle(vectors)
    back = axis_angle_from_matrix(matrix_from_6d(six))
    # near pi the vector is as well conditioned as anywhere, through the quaternion
    torch.testing.assert_close(back, vectors, rtol=0, atol=1e-13)


def test_leading_axes_are_kept():
    vectors = random_vectors(24).reshape(2, 3, 4, 3)
    assert matrix_from_axis_angle(vectors).shape == (2, 3, 4, 3, 3)
    assert rotation_6d_from_axis_angle(vectors).shape == (2, 3, 4, 6)
    assert axis_angle_from_matrix(matrix_from_axis_angle(vectors)).shape == (2, 3, 4, 3)
    flat = axis_angle_from_matrix(matrix_from_axis_angle(vectors.reshape(-1, 3)))
    assert torch.equal(
        flat.reshape(2, 3, 4, 3), axis_angle_from_matrix(matrix_from_axis_angle(vectors))
    )


def test_gradients_by_finite_differences():
    # not at the seam of the series (0.01 rad), which a finite difference would straddle
    vectors = torch.cat([SPECIAL[[0, 1, 2, 5, 6, 7, 8, 9]], random_vectors(8)]).requires_grad_()
    assert gradcheck(matrix_from_axis_angle, vectors)
    six = torch.randn(8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert gradcheck(matrix_from_6d, six.requires_grad_())
    # at an exact half turn the vector itself jumps to its opposite, so no finite difference there
    matrices = torch.from_numpy(
        rodrigues(torch.cat([SPECIAL[[0, 1, 2, 5]], random_vectors(8)]).numpy())
    )
    assert gradcheck(axis_angle_from_matrix, matrices.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_identity_and_half_turns(dtype):
    exact_half_turns = torch.diag_embed(torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]]))
    matrices = torch.cat([torch.eye(3)[None], exact_half_turns]).to(dtype)
    matrices = torch.cat([matrices, matrix_from_axis_angle(SPECIAL.to(dtype))]).requires_grad_()
    out = axis_angle_from_matrix(matrices)
    out.square().sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(matrices.grad).all()
    for vectors in (SPECIAL.to(dtype), torch.zeros(1, 3, dtype=dtype)):
        vectors = vectors.clone().requires_grad_()
        six = rotation_6d_from_axis_angle(vectors)
        axis_angle_from_matrix(matrix_from_6d(six)).sum().backward()
        assert torch.isfinite(vectors.grad).all()
    zeros = torch.zeros(1, 6, dtype=dtype, requires_grad=True)
    matrix_from_6d(zeros).sum().backward()
    assert torch.isfinite(zeros.grad).all()


def test_gradient_at_the_identity_by_hand():
    # R = I + [v]x to first order: R[2, 1] - R[1, 2] = 2 v_x, so v_x = (R21 - R12) / 2
    matrix = torch.eye(3, dtype=torch.float64, requires_grad=True)
    axis_angle_from_matrix(matrix)[0].backward()
    expected = torch.zeros(3, 3, dtype=torch.float64)
    expected[2, 1], expected[1, 2] = 0.5, -0.5
    torch.testing.assert_close(matrix.grad, expected, rtol=0, atol=1e-15)


def test_half_precision_is_computed_in_float32():
    six = torch.randn(4, 6).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        matrix = matrix_from_6d(six)
        again = matrix_from_axis_angle(axis_angle_from_matrix(matrix))
    assert matrix.dtype == again.dtype == torch.float32
    # two chains of a dozen roundings of numbers up to pi
    torch.testing.assert_close(matrix, again, rtol=0, atol=2 * 12 * math.pi * 2**-24)
