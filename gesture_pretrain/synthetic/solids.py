"""Simple solids and solid patterns for objects in a rendered scene.

A solid is a triangle mesh about the origin. A solid pattern assigns a colour to every point of
space, so any surface that is cut out of it shows stripes, checks, dots or marble.
"""

from typing import NamedTuple

import numpy as np

from gesture_pretrain.geometry.axis_angle import rodrigues
from gesture_pretrain.rendering import Hits

_SEGMENTS = 20
_ARC_POINTS = 8
SOLIDS = ("sphere", "box", "cylinder", "capsule")


class Mesh(NamedTuple):
    """Vertices (V, 3) in metres and faces (F, 3), counter-clockwise seen from outside."""

    vertices_m: np.ndarray
    faces: np.ndarray

    def moved(self, rotation: np.ndarray, offset_m: np.ndarray) -> "Mesh":
        """Rotate by (3, 3) about the origin, then shift by (3,)."""
        return Mesh(self.vertices_m @ rotation.T + offset_m, self.faces)


def solid(kind: str, radius_m: float, half_length_m: float) -> Mesh:
    """Make a solid of `SOLIDS` along z, within a radius of the axis.

    Args:
        kind: One of `SOLIDS`.
        radius_m: Radius; of a box, half of the diagonal of its cross-section.
        half_length_m: Half of the length of the straight part; a sphere has none.
    """
    if kind == "box":
        half = np.array([radius_m / np.sqrt(2), radius_m / np.sqrt(2), half_length_m])
        return _box(half)
    if kind == "cylinder":
        low, high = (radius_m, -half_length_m), (radius_m, half_length_m)
        caps = [(0.0, -half_length_m), low], [high, (0.0, half_length_m)]
        return _revolve([caps[0], [low, high], caps[1]])
    arc = np.linspace(0.0, np.pi / 2, _ARC_POINTS)
    arc = np.concatenate([-arc[::-1], arc])
    profile = radius_m * np.stack([np.cos(arc), np.sin(arc)], axis=-1)
    if kind == "capsule":
        profile[:, 1] += half_length_m * np.repeat([-1.0, 1.0], _ARC_POINTS)
    return _revolve([profile])


def ring(radius_m: float, thickness_m: float) -> Mesh:
    """Make a torus about z with inner radius `radius_m`."""
    arc = np.linspace(0.0, 2 * np.pi, _ARC_POINTS + 1)
    profile = thickness_m / 2 * np.stack([np.cos(arc), np.sin(arc)], axis=-1)
    return _revolve([profile + [radius_m + thickness_m / 2, 0.0]])


def band(loops_m: np.ndarray) -> Mesh:
    """Make a closed strip through loops (L, N, 3) of corresponding points."""
    count, around = loops_m.shape[:2]
    return Mesh(loops_m.reshape(-1, 3), _strip_faces(count, around))


def _revolve(strips) -> Mesh:
    """Make a surface of revolution about z; edges between strips of (radius, z) stay sharp."""
    angles = np.arange(_SEGMENTS) * 2 * np.pi / _SEGMENTS
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    vertices, faces, first = [], [], 0
    for strip in strips:
        strip = np.asarray(strip, np.float64)
        flat = strip[:, None, :1] * circle
        height = np.broadcast_to(strip[:, None, 1:], (*flat.shape[:2], 1))
        vertices.append(np.concatenate([flat, height], axis=-1).reshape(-1, 3))
        faces.append(first + _strip_faces(len(strip), _SEGMENTS))
        first += len(strip) * _SEGMENTS
    return Mesh(np.concatenate(vertices), np.concatenate(faces))


def _strip_faces(count: int, around: int) -> np.ndarray:
    """Return two faces per quad of `count` loops of `around` vertices each."""
    here = np.arange(count * around).reshape(count, around)
    low, high = here[:-1], here[1:]
    next_low, next_high = np.roll(low, -1, axis=1), np.roll(high, -1, axis=1)
    lower = np.stack([low, next_low, next_high], axis=-1).reshape(-1, 3)
    upper = np.stack([low, next_high, high], axis=-1).reshape(-1, 3)
    return np.concatenate([lower, upper])


def _box(half_m: np.ndarray) -> Mesh:
    """Make a box whose sides have their own vertices, and so their own normals."""
    vertices, faces = [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal, across = np.eye(3)[axis] * sign, np.eye(3)[(axis + 1) % 3]
            up = np.cross(normal, across)
            faces += [np.array([[0, 1, 2], [0, 2, 3]]) + 4 * len(vertices)]
            corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
            vertices.append([(normal + a * across + b * up) * half_m for a, b in corners])
    return Mesh(np.concatenate(vertices), np.concatenate(faces))


class SolidPattern(NamedTuple):
    """Pattern of one or two linear colours (C, 3) that fills space."""

    kind: str
    colours: np.ndarray
    waves: np.ndarray | None = None  # (3, 3) wave vectors, rad/m

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "SolidPattern":
        """Draw a pattern with a period of 4 to 30 mm."""
        kinds = ("plain", "stripes", "checks", "dots", "marble")
        kind = kinds[rng.choice(5, p=[0.4, 0.2, 0.15, 0.1, 0.15])]
        waves = rodrigues(rng.normal(size=3)) * 2 * np.pi / rng.uniform(0.004, 0.03)
        return cls(kind, np.stack([draw_colour(rng), draw_colour(rng)]), waves)

    def at(self, points_m: np.ndarray) -> np.ndarray:
        """Return linear colours (N, 3), float32, of points (N, 3)."""
        if self.kind == "plain":
            return np.broadcast_to(self.colours[0], (len(points_m), 3))
        phase = points_m.astype(np.float32) @ self.waves.T.astype(np.float32)
        if self.kind == "marble":
            value = np.sin(phase[:, 0] + 2 * np.sin(phase[:, 1] / 2) + 2 * np.sin(phase[:, 2] / 3))
        else:
            x, y, z = np.sin(phase).T
            value = {"stripes": x, "checks": np.sign(x) * y, "dots": x + y + z - 1.5}[self.kind]
        weight = np.clip(0.5 + 3 * value, 0.0, 1.0)[:, None]
        return self.colours[0] + weight * (self.colours[1] - self.colours[0])


class PatternedMaterial(NamedTuple):
    """A smooth surface with a solid pattern."""

    pattern: SolidPattern
    gloss: float

    def values(self, hits: Hits, points_m: np.ndarray) -> np.ndarray:
        """Return (N, 7) linear RGB, bump (none) and gloss of hit points."""
        values = np.zeros((len(points_m), 7), np.float32)
        values[:, :3] = self.pattern.at(points_m)
        values[:, 6] = self.gloss
        return values


def draw_colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a somewhat muted linear colour."""
    colour = rng.uniform(0.05, 0.9, 3)
    return np.square(colour.mean() + 0.6 * (colour - colour.mean())).astype(np.float32)
