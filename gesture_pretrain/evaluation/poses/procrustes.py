"""Errors after the best similarity alignment, for very many small point sets at once.

The rotation comes in closed form, not from a singular value decomposition per sample: the largest
root of the characteristic polynomial of Horn's 4x4 matrix (Horn, JOSA A 1987), found by Newton's
method from above (Theobald, Acta Cryst. A 2005), and its eigenvector from cofactors. That is
arithmetic on whole arrays, with samples along the contiguous axis. Samples for which it would lose
digits go to ``procrustes_align``, which also refuses what cannot be aligned.

Letters: n samples of a block, J points.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gesture_pretrain.geometry.similarity import procrustes_align

_BLOCK_NUMBERS = 1 << 16  # per array: a block's arrays stay in the processor's cache
_MAX_STEPS = 40
# Least share of the first component in the eigenvector's square, and least slope of the polynomial
# at the root in units of root^3. The root is off by about 1e-15 / slope and the rotation by that
# over the slope again: at 1e-3 by 1e-9 rad, 1e-7 mm on a hand.
_LEAST_SHARE, _LEAST_SLOPE = 0.05, 1e-3


def procrustes_errors(
    predicted: ArrayLike, target: ArrayLike, valid: ArrayLike | None = None
) -> np.ndarray:
    """Distances of each point to its target after ``procrustes_align``, to 1e-9 of them.

    Args:
        predicted: (N, J, 3) points.
        target: (N, J, 3) points in the same unit.
        valid: (N, J) bool, the points that determine the alignment; all by default. Others may
            hold anything, NaN included.

    Returns:
        (N, J) float64 in that unit; NaN where not valid.

    Raises:
        ValueError: shapes that differ, or a sample with fewer than three valid target points, with
            only collinear ones, or with NaN among the valid ones.
    """
    predicted, target = np.asarray(predicted), np.asarray(target)
    if predicted.shape != target.shape or predicted.ndim != 3 or predicted.shape[-1] != 3:
        raise ValueError(f"need two arrays (N, J, 3) alike, got {predicted.shape}, {target.shape}")
    mask = None if valid is None else np.asarray(valid, bool)
    if mask is not None and mask.all():
        mask = None
    errors = np.empty(predicted.shape[:2])
    num_points = predicted.shape[1]
    block = max(1, _BLOCK_NUMBERS // max(1, 3 * num_points))
    room = [np.empty((3 * num_points, min(block, len(predicted)))) for _ in range(3)]
    for start in range(0, len(predicted), block):
        part = slice(start, start + block)
        sub_mask = None if mask is None else mask[part]
        errors[part] = _block_errors(predicted[part], target[part], sub_mask, room)
    return errors


def _block_errors(
    predicted: np.ndarray, target: np.ndarray, mask: np.ndarray | None, room: list[np.ndarray]
) -> np.ndarray:
    """(n, J) errors; `room` holds three arrays (3 J, n or more) to compute in."""
    room = [array[:, : len(predicted)] for array in room]
    source, goal = _centred(predicted, mask, room[0]), _centred(target, mask, room[1])
    aligned = room[2].reshape(source.shape)
    source_spread, goal_spread = (np.einsum("jan,jan->n", x, x) for x in (source, goal))
    with np.errstate(all="ignore"):  # what is not finite goes to the careful way below
        found = _rotations(
            np.einsum("jan,jbn->abn", source, goal), np.sqrt(source_spread * goal_spread)
        )
        matrix = found.rotation * (found.root / source_spread)
        np.einsum("abn,jbn->jan", matrix, source, out=aligned)
        aligned -= goal
        squares = np.einsum("jan,jan->jn", aligned, aligned)
        errors = np.sqrt(squares, out=squares).T
    if not found.sound.all():
        rest = ~found.sound
        sub_mask = None if mask is None else mask[rest]
        moved = procrustes_align(predicted[rest], target[rest], sub_mask)
        errors[rest] = np.linalg.norm(moved - target[rest], axis=-1)
    return errors if mask is None else np.where(mask, errors, np.nan)


def _centred(points: np.ndarray, mask: np.ndarray | None, room: np.ndarray) -> np.ndarray:
    """Points (n, J, 3) as (J, 3, n) in `room`: minus the mean of the valid; others zero."""
    room[...] = points.reshape(len(points), -1).T
    centred = room.reshape(-1, 3, len(points))  # a view: one axis becomes two
    if mask is None:
        centred -= centred.mean(0)
        return centred
    left_out = ~mask.T[:, None]
    np.copyto(centred, 0.0, where=left_out)
    centred -= centred.sum(0) / np.maximum(mask.sum(1), 1)
    np.copyto(centred, 0.0, where=left_out)
    return centred


class _Rotations(NamedTuple):
    rotation: np.ndarray  # (3, 3, n), target from source
    root: np.ndarray  # (n,), trace of rotation times covariance
    sound: np.ndarray  # (n,) bool, found without loss of digits


def _rotations(covariance: np.ndarray, upper_bound: np.ndarray) -> _Rotations:
    """The rotations that fit best, for (3, 3, n) sums of source times target coordinates."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = covariance
    diagonal = (xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy)
    matrix = (*diagonal, yz - zy, zx - xz, xy - yx, xy + yx, zx + xz, yz + zy)
    coefficients = _characteristic_polynomial(covariance, matrix)
    root, slope = _largest_root(coefficients, upper_bound)
    w, x, y, z = _first_cofactors(matrix, root)
    share = -w / slope
    sound = (share > _LEAST_SHARE) & (slope > _LEAST_SLOPE * root * root * root)
    return _Rotations(_rotation_of_quaternion(w, x, y, z), root, sound)


def _characteristic_polynomial(covariance: np.ndarray, matrix: tuple) -> tuple:
    """c2, c1, c0 of l^4 + c2 l^2 + c1 l + c0, each (n,)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = covariance
    k00, k11, k22, k33, k01, k02, k03, k12, k13, k23 = matrix
    quadratic = -2 * np.einsum("abn,abn->n", covariance, covariance)
    determinant = (
        xx * (yy * zz - yz * zy) - xy * (yx * zz - yz * zx) + xz * (yx * zy - yy * zx)
    )  # fmt: skip
    # Laplace expansion along two pairs of rows
    constant = (
        (k00 * k11 - k01 * k01) * (k22 * k33 - k23 * k23)
        - (k00 * k12 - k02 * k01) * (k12 * k33 - k23 * k13)
        + (k00 * k13 - k03 * k01) * (k12 * k23 - k22 * k13)
        + (k01 * k12 - k02 * k11) * (k02 * k33 - k23 * k03)
        - (k01 * k13 - k03 * k11) * (k02 * k23 - k22 * k03)
        + (k02 * k13 - k03 * k12) * (k02 * k13 - k12 * k03)
    )
    return quadratic, -8 * determinant, constant


def _largest_root(coefficients: tuple, upper_bound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The root and the slope there, (n,) each; Newton's method falls onto it from above."""
    quadratic, linear, constant = coefficients
    root = np.minimum(upper_bound, np.sqrt(-1.5 * quadratic))
    for _ in range(_MAX_STEPS):
        square = root * root
        half = (square + quadratic) * root
        value = half + linear
        slope = 2 * square * root + half + value
        step = (value * root + constant) / slope
        root = root - step
        # a step of 1e-9 leaves 1e-18 where the slope is sound
        if not np.any(np.abs(step) > 1e-9 * root):
            break
    return root, slope


def _first_cofactors(matrix: tuple, root: np.ndarray) -> tuple[np.ndarray, ...]:
    """First column of the adjugate of K - root: an eigenvector, a quaternion w, x, y, z."""
    _, k11, k22, k33, k01, k02, k03, k12, k13, k23 = matrix
    a, b, c = k11 - root, k22 - root, k33 - root
    p, q, r = b * c - k23 * k23, k12 * c - k23 * k13, k12 * k23 - b * k13
    s, t, u = k02 * c - k23 * k03, k02 * k23 - b * k03, k02 * k13 - k12 * k03
    w = a * p - k12 * q + k13 * r
    x = k12 * s - k01 * p - k13 * t
    y = k01 * q - a * s + k13 * u
    z = a * t - k01 * r - k12 * u
    return w, x, y, z


def _rotation_of_quaternion(w, x, y, z) -> np.ndarray:
    """(3, 3, n) of quaternions of any length, all components (n,)."""
    double = 2 / (w * w + x * x + y * y + z * z)
    sw, sx, sy, sz = w * double, x * double, y * double, z * double
    ww = w * sw - 1
    xy, xz, yz = x * sy, x * sz, y * sz
    wx, wy, wz = w * sx, w * sy, w * sz
    rotation = np.empty((3, 3, len(w)))
    rotation[0, 0], rotation[1, 1], rotation[2, 2] = ww + x * sx, ww + y * sy, ww + z * sz
    rotation[0, 1], rotation[1, 0] = xy - wz, xy + wz
    rotation[0, 2], rotation[2, 0] = xz + wy, xz - wy
    rotation[1, 2], rotation[2, 1] = yz - wx, yz + wx
    return rotation
