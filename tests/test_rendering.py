"""Ray-traced images of meshes: where they fall, how they are lit, what is refused."""

import numpy as np
import pytest

from gesture_pretrain.rendering import TracedMesh, render_mesh, vertex_normals
from gesture_pretrain.synthetic.background import BackgroundPool

FOCAL, CENTRE, SIZE = np.array([100.0, 100.0]), np.array([40.0, 30.0]), (80, 64)


def tetrahedron(at_m):
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.1
    return corners + np.asarray(at_m), np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def square(depth_m, half_m=0.1):
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half_m
    return np.column_stack([corners, np.full(4, depth_m)]), np.array([[0, 2, 1], [0, 3, 2]])


def test_a_square_covers_the_pixels_that_it_projects_to():
    image, coverage = render_mesh(*square(1.0), FOCAL, CENTRE, SIZE, supersample=4)
    assert image.shape == (64, 80, 3) and image.dtype == np.uint8
    # 0.2 m at 1 m with f = 100 px: 20 x 20 px around pixel coordinate (40, 30), where an integer
    # is a pixel's centre; hence columns 30 and 50 are covered by half
    assert coverage.sum() == pytest.approx(400.0, abs=1e-3)
    np.testing.assert_allclose(coverage[30, 28:33], [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(coverage[30, 48:53], [1, 1, 0.5, 0, 0])
    assert (image[coverage == 0] == 0).all() and image[30, 40].min() > 30


def test_the_nearer_surface_hides_the_further():
    vertices = np.concatenate([square(1.0, 0.05)[0], square(2.0, 0.4)[0]])
    faces = np.concatenate([square(1.0)[1], square(1.0)[1] + 4])
    mesh = TracedMesh(vertices, faces)
    rays = np.array([[0, 0, 1], [0.1, 0, 1], [0.5, 0, 1]], np.float32)
    hits = mesh.hits(np.zeros_like(rays), rays)
    assert (hits.face[:2] // 2).tolist() == [0, 1] and hits.face[2] == -1
    # distances are in units of the ray's vector, hence depths; float32 rounding
    np.testing.assert_allclose(hits.distance[:2], [1.0, 2.0], rtol=1e-6)
    assert mesh.is_free(np.zeros_like(rays), rays).tolist() == [False, False, True]


def test_vertex_normals_point_outward():
    vertices, faces = tetrahedron([0, 0, 0])
    outward = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    np.testing.assert_allclose(vertex_normals(vertices, faces), outward, atol=1e-6)


def test_the_lit_side_is_brighter():
    vertices, faces = tetrahedron([0, 0, 1.0])
    image, coverage = render_mesh(vertices, faces, FOCAL, CENTRE, SIZE)
    columns = np.nonzero(coverage.sum(axis=0))[0]
    middle = (columns[0] + columns[-1]) // 2
    left = image[:, :middle][coverage[:, :middle] == 1].mean()
    assert left > image[:, middle:][coverage[:, middle:] == 1].mean()


def test_a_mesh_outside_the_image_gives_an_empty_image():
    image, coverage = render_mesh(*tetrahedron([5.0, 0, 1.0]), FOCAL, CENTRE, SIZE)
    assert not image.any() and not coverage.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vertices_cam_m": tetrahedron([0, 0, 0])[0]}, "behind the camera"),
        ({"vertices_cam_m": np.full((4, 3), np.nan)}, "not a number"),
        ({"vertices_cam_m": np.ones((4, 2))}, r"\(4, 2\)"),
        ({"focal_px": 100.0}, "two numbers"),
        ({"supersample": 0}, "1 or more"),
    ],
)
def test_bad_arguments_are_named(change, message):
    vertices, faces = tetrahedron([0, 0, 1.0])
    arguments = {
        "vertices_cam_m": vertices,
        "faces": faces,
        "focal_px": FOCAL,
        "princpt_px": CENTRE,
        "size_wh": SIZE,
    }
    with pytest.raises(ValueError, match=message):
        render_mesh(**{**arguments, **change})


def test_backgrounds_repeat_with_the_seed():
    pools = [BackgroundPool(seed=seed, size_px=32, count=3) for seed in (1, 1, 2)]
    cuts = [pool.cut(np.random.default_rng(0))[0] for pool in pools]
    assert cuts[0].shape == (32, 32, 3) and cuts[0].dtype == np.float32
    assert 0 <= cuts[0].min() and cuts[0].max() <= 1
    np.testing.assert_array_equal(cuts[0], cuts[1])
    assert (cuts[0] != cuts[2]).any()
