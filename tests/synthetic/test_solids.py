"""Solids and the patterns that fill space."""

import numpy as np
import pytest

from gesture_pretrain.rendering import vertex_normals
from gesture_pretrain.synthetic.solids import SOLIDS, SolidPattern, ring, solid


@pytest.mark.parametrize("kind", SOLIDS)
def test_solids_keep_to_their_radius_and_face_outwards(kind):
    vertices, faces = solid(kind, 0.02, 0.0 if kind == "sphere" else 0.05)
    assert np.linalg.norm(vertices[:, :2], axis=1).max() == pytest.approx(0.02)
    height = {"sphere": 0.02, "capsule": 0.07}.get(kind, 0.05)
    assert np.abs(vertices[:, 2]).max() == pytest.approx(height)
    normals = vertex_normals(vertices, faces)
    used = np.linalg.norm(normals, axis=1) > 0.5  # the poles of a revolution have no area
    assert (np.einsum("vk,vk->v", normals, vertices)[used] > 0).all()


def test_a_ring_has_a_hole_of_its_radius():
    vertices, _ = ring(0.01, 0.002)
    radius = np.linalg.norm(vertices[:, :2], axis=1)
    assert radius.min() == pytest.approx(0.01) and radius.max() == pytest.approx(0.012)


def test_patterns_mix_two_colours():
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (500, 3))
    waves = np.eye(3) * 2 * np.pi / 0.01
    colours = np.array([[0.1, 0.2, 0.3], [0.5, 0.6, 0.7]], np.float32)
    for kind in ("stripes", "checks", "dots", "marble"):
        found = SolidPattern(kind, colours, waves).at(points)
        assert (found >= colours[0] - 1e-6).all() and (found <= colours[1] + 1e-6).all()
        assert 0.05 < np.mean(found[:, 0] > 0.3) < 0.95
    assert (SolidPattern("plain", colours).at(points) == colours[0]).all()
