"""Skin for rendered hands: palms, nails, creases, redness and unevenness, baked once per mesh.

Every face of the mesh carries a small (u, v) grid of values ("mesh colours"), so that a pixel costs
one look-up and the mesh needs no texture coordinates. What a grid cell shows depends only on the
rest hand; a person's tone is mixed from it in a few milliseconds.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from gesture_pretrain.rendering import vertex_normals

GRID = 12
# Finger joints in mano21 and in mano16 order
_FINGER_JOINTS = {"thumb": 1, "index": 5, "middle": 9, "ring": 13, "pinky": 17}
_FINGER_BONES = {"thumb": 13, "index": 1, "middle": 4, "ring": 10, "pinky": 7}
_TONES_SRGB = np.array(
    [
        (250, 222, 203),
        (240, 200, 176),
        (226, 176, 148),
        (205, 150, 118),
        (176, 118, 86),
        (141, 88, 60),
        (105, 63, 42),
        (72, 43, 30),
    ]
) / np.float32(255)
_NOISE_VOXEL_M = 0.0012
_NOISE_SIGMAS = (0.7, 0.7, 2.0, 2.0, 5.0)
_NOISE_STRENGTHS = (1.0, 1.0, 0.6, 0.6, 0.4)
_BUMP = 0.05


class SkinTexture(NamedTuple):
    """One person's skin, one row per grid cell; ``cell_of`` returns the row of a hit point."""

    values: np.ndarray  # (F * GRID^2, 8): linear RGB, bump xyz, gloss, metres behind the wrist

    def at(self, face: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return (N, 8) values at hit points."""
        return self.values[cell_of(face, u, v)]


def cell_of(face: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the row of the grid cell at barycentric coordinates (u, v) of a face."""
    row = np.minimum((v * GRID).astype(np.int32), GRID - 1)
    column = np.minimum((u * GRID).astype(np.int32), GRID - 1)
    return (face * GRID + row) * GRID + column


class SkinMap:
    """Masks of a rest hand that textures are mixed from.

    Args:
        vertices_m: (V, 3) right rest hand, with a straight forearm appended or without.
        faces: (F, 3) faces of the same.
        weights: (Vh, 16) skinning weights of the hand's own vertices, Vh <= V.
        rest_joints_m: (21, 3) rest joints, mano21 order.
        seed: Random seed of the unevenness.
    """

    def __init__(
        self,
        *,
        vertices_m: np.ndarray,
        faces: np.ndarray,
        weights: np.ndarray,
        rest_joints_m: np.ndarray,
        seed: int = 0,
    ):
        corner_weights = _cell_weights()
        normals = vertex_normals(vertices_m, faces)
        points = np.einsum("ck,fkx->fcx", corner_weights, vertices_m[faces]).reshape(-1, 3)
        directions = np.einsum("ck,fkx->fcx", corner_weights, normals[faces]).reshape(-1, 3)
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        influence = np.zeros((len(vertices_m), 16))
        influence[: len(weights)] = weights
        influence[len(weights) :, 0] = 1.0
        influence = np.einsum("ck,fkx->fcx", corner_weights, influence[faces]).reshape(-1, 16)
        self._bake(points, directions, influence, np.asarray(rest_joints_m, np.float64))
        self.noise = _noise_at(points, seed)

    def _bake(self, points, normals, influence, joints) -> None:
        wrist_x = joints[0, 0]
        facing_palm = -normals[:, 1]
        size = len(points)
        self.redness, self.crease = np.zeros(size), np.zeros(size)
        self.nail, self.nail_edge = np.zeros(size), np.zeros(size)
        for finger, first in _FINGER_JOINTS.items():
            bone = _FINGER_BONES[finger]
            share = influence[:, bone : bone + 3].sum(axis=1)
            frame = _FingerFrame(finger, joints[first : first + 4])
            dorsal = normals @ frame.up
            facing_palm = facing_palm + share * (-dorsal - facing_palm)
            self.redness += _redness(points, dorsal, joints[first : first + 3])
            self.crease += share * frame.creases(points, dorsal)
            nail, edge = frame.nail(points, dorsal, share > 0.5)
            self.nail = np.maximum(self.nail, nail)
            self.nail_edge = np.maximum(self.nail_edge, edge)
        fade = np.clip((wrist_x + 0.015 - points[:, 0]) / 0.030, 0.0, 1.0)
        self.palm = np.clip(1.3 * facing_palm + 0.15, 0.0, 1.0) * fade
        self.behind_wrist_m = points[:, 0] - wrist_x

    def texture(self, rng: np.random.Generator, *, varied: bool = False) -> SkinTexture:
        """Draw the skin of a person.

        Args:
            rng: The random stream.
            varied: Whether people differ in unevenness, freckles, nail polish and shine, too.
        """
        position = rng.uniform(0, len(_TONES_SRGB) - 1)
        low = min(int(position), len(_TONES_SRGB) - 2)
        tone = _TONES_SRGB[low] + (position - low) * (_TONES_SRGB[low + 1] - _TONES_SRGB[low])
        tone = np.clip(tone * rng.uniform(0.9, 1.08) * rng.normal(1.0, 0.02, 3), 0.02, 1.0)
        dark = tone.mean() < 0.42
        palm_share = rng.uniform(0.6, 0.85) if dark else rng.uniform(0.2, 0.5)
        palm_tone = (1 - (1 - tone) * [0.55, 0.62, 0.62]) * [1.0, 0.93, 0.90]
        colour = tone + palm_share * self.palm[:, None] * (palm_tone - tone)
        redness = self.redness * rng.uniform(0.4, 1.2)
        brightness = self.noise @ rng.normal(0.0, 0.018, len(_NOISE_SIGMAS))
        redness = redness + self.noise @ rng.normal(0.0, 0.05, len(_NOISE_SIGMAS))
        colour = colour * (1 - redness[:, None] * [0.02, 0.16, 0.14])
        colour = colour * (1 + brightness - rng.uniform(0.7, 1.2) * self.crease)[:, None]
        nail_tone = 0.62 * tone + 0.38 * np.array([0.95, 0.78, 0.74])
        colour = colour + self.nail[:, None] * (nail_tone - colour)
        edge_tone = 0.35 * tone + 0.65 * np.array([0.93, 0.90, 0.85])
        colour = colour + self.nail_edge[:, None] * (edge_tone - colour)
        bump = _BUMP * self.noise[:, [0, 1, 2]] * (1 - self.nail[:, None])
        gloss = self.nail
        if varied:
            colour, bump, gloss = self._vary(rng, colour, bump)
        columns = [
            np.square(np.clip(colour, 0.0, 1.0)),
            bump,
            gloss[:, None],
            self.behind_wrist_m[:, None],
        ]
        return SkinTexture(np.concatenate(columns, axis=1).astype(np.float32))

    def _vary(self, rng: np.random.Generator, colour: np.ndarray, bump: np.ndarray):
        """Draw sRGB colours, bumps and gloss for edition 2."""
        skin = 1 - self.nail
        spots = 1 + self.noise @ rng.normal(0.0, rng.uniform(0.0, 0.03), len(_NOISE_SIGMAS))
        freckles = self.noise[:, 2] > rng.uniform(1.2, 4.0)
        colour = colour * (spots - rng.uniform(0.1, 0.3) * freckles * skin)[:, None]
        if rng.uniform() < 0.15:
            colour = colour + 0.85 * self.nail[:, None] * (rng.uniform(0.0, 1.0, 3) - colour)
        gloss = np.maximum(self.nail, 0.25 * rng.uniform() ** 2)
        return colour, bump * rng.uniform(0.2, 2.0), gloss


class _FingerFrame:
    """Axes of one straight rest finger: along it, towards its back, and across."""

    def __init__(self, finger: str, joints: np.ndarray):
        self.joints = joints  # (4, 3) base knuckle to tip
        self.along = _unit(joints[3] - joints[0])
        up = np.ones(3) if finger == "thumb" else np.array([0.0, 1.0, 0.0])
        self.up = _unit(up - (up @ self.along) * self.along)
        self.across = np.cross(self.along, self.up)

    def creases(self, points: np.ndarray, dorsal: np.ndarray) -> np.ndarray:
        """Return the darkness of the skin folds at the two finger joints, in [0, 0.4]."""
        palmar_side, dorsal_side = np.clip(-2 * dorsal, 0, 1), np.clip(2 * dorsal, 0, 1)
        dark = np.zeros(len(points))
        for joint in self.joints[1:3]:
            t = 1000 * ((points - joint) @ self.along)
            palmar = 0.22 * _bell(t, 0.0, 0.7) + 0.15 * _bell(t, 2.2, 0.6)
            back = 0.13 * (_bell(t, 1.0, 0.6) + _bell(t, -1.4, 0.6))
            dark += palmar_side * palmar + dorsal_side * back
        return dark

    def nail(self, points, dorsal, mine) -> tuple[np.ndarray, np.ndarray]:
        """Return masks of the nail and its free edge, in [0, 1]."""
        base, tip = self.joints[2], self.joints[3]
        s = (points - base) @ self.along / ((tip - base) @ self.along)
        lateral = (points - base) @ self.across
        near = mine & (s > 0.6) & (s < 0.9)
        half_width = np.abs(lateral[near]).max()
        inside = 1 - np.abs((s - 0.76) / 0.245) ** 3 - np.abs(lateral / half_width / 0.8) ** 3
        nail = np.clip(4 * inside, 0, 1) * mine * np.clip(6 * (dorsal - 0.3), 0, 1)
        return nail, nail * np.clip((s - 0.93) / 0.02, 0, 1)


def _bell(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    return np.exp(-np.square((x - centre) / width))


def _redness(points: np.ndarray, dorsal: np.ndarray, joints: np.ndarray) -> np.ndarray:
    red = np.zeros(len(points))
    for joint in joints:
        squared = np.square(points - joint).sum(axis=1)
        red += 0.5 * np.exp(-squared / (2 * 0.010**2)) * np.clip(2 * dorsal, 0, 1)
    return red


def _cell_weights() -> np.ndarray:
    """Return (GRID^2, 3) corner weights at the cell centres, pulled inside the face."""
    v, u = (index.ravel() for index in np.mgrid[:GRID, :GRID])
    u, v = (u + 0.5) / GRID, (v + 0.5) / GRID
    outside = np.maximum(u + v, 1.0)
    u, v = u / outside, v / outside
    return np.stack([1 - u - v, u, v], axis=-1)


def _noise_at(points: np.ndarray, seed: int) -> np.ndarray:
    """Return (N, 5) noise at points, from fine to coarse."""
    rng = np.random.Generator(np.random.Philox(key=[seed, 0x5C1]))
    position = (points / _NOISE_VOXEL_M).T
    channels = []
    for sigma, strength in zip(_NOISE_SIGMAS, _NOISE_STRENGTHS, strict=True):
        volume = rng.standard_normal((96, 96, 96)).astype(np.float32)
        volume = gaussian_filter(volume, sigma, mode="wrap")
        volume /= volume.std()
        channels.append(strength * map_coordinates(volume, position, order=1, mode="grid-wrap"))
    return np.stack(channels, axis=-1).astype(np.float32)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
