"""Drawn hands lie where their joints are, and the side view is the mesh turned by 90 degrees."""

import numpy as np
import pytest
import torch

from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.report.hand_overlay import (
    DrawnHand,
    draw_joints,
    draw_meshes,
    hand_sheet,
    seen_from_the_right,
    side_views,
)

GREEN = np.array([0, 120, 0], np.uint8)


@pytest.fixture(scope="module")
def mesh():
    """An open hand with its palm to the camera, and its joints, mm from the wrist."""
    model = load_hand_model("right", "open")
    pose = torch.zeros(1, 48)
    pose[0, :3] = torch.tensor([np.pi / 2, 0.0, 0.0])
    hand = model(pose, torch.zeros(1, 10), torch.zeros(1, 3))
    wrist = hand.joints_m[0, 0]
    vertices, joints = (
        1000 * (part[0] - wrist).numpy() for part in (hand.vertices_m, hand.joints_m)
    )
    return vertices, joints, model.faces


def drawn(mesh, *, scale=0.7, shift=(150.0, 90.0), hand="right", caption="right  fist 90%"):
    vertices, joints, faces = mesh
    image_from_mm = np.array([scale, *shift], np.float32)
    keypoints = scale * joints[:, :2] + np.array(shift)
    return DrawnHand(hand, vertices, faces, keypoints, image_from_mm, [20, 10, 160, 150], caption)


def blank_image(width=200, height=180):
    return np.tile(GREEN, (height, width, 1))


def covered(before, after):
    return (before.astype(int) != after).any(-1)


def test_the_mesh_lies_on_its_joints_and_within_its_outline(mesh):
    hand = drawn(mesh)
    image = blank_image()
    mask = covered(image, draw_meshes(image, [hand]))
    columns, rows = np.rint(hand.keypoints_px).astype(int).T
    # the wrist joint may lie at the mesh's open end; all others are inside of the hand
    assert mask[rows[1:], columns[1:]].all()
    flat = hand.image_from_mm[0] * hand.vertices_rel_mm[:, :2] + hand.image_from_mm[1:]
    found = np.argwhere(mask)[:, ::-1]
    # half a pixel of the smoothed edge, and 0.5 % of perspective on 100 px
    np.testing.assert_allclose(found.min(axis=0), flat.min(axis=0), atol=1.5)
    np.testing.assert_allclose(found.max(axis=0), flat.max(axis=0), atol=1.5)
    assert (image == GREEN).all()  # the image itself is not drawn into


def test_a_hand_beside_the_image_or_without_size_leaves_it_alone(mesh):
    image = blank_image()
    for hand in (drawn(mesh, shift=(900.0, 90.0)), drawn(mesh, scale=-0.5), drawn(mesh, scale=0.0)):
        assert not covered(image, draw_meshes(image, [hand])).any()
    half_outside = draw_meshes(image, [drawn(mesh, shift=(60.0, 90.0))])
    assert covered(image, half_outside)[:, :60].any()


def test_joints_and_box_are_drawn(mesh):
    hand = drawn(mesh)
    image = blank_image()
    mask = covered(image, draw_joints(image, [hand]))
    columns, rows = np.rint(hand.keypoints_px).astype(int).T
    assert mask[rows, columns].all()
    assert mask[10, 20:180].all() and mask[160, 20:180].all() and mask[10:160, 20].all()


def test_the_side_view_is_turned_about_the_vertical(mesh):
    vertices = mesh[0]
    turned = seen_from_the_right(vertices)
    np.testing.assert_array_equal(seen_from_the_right([[1, 2, 3]]), [[3, 2, -1]])
    # a rotation, not a mirror image: triple products keep their sign, lengths their value
    assert np.sign(np.linalg.det(turned[:3])) == np.sign(np.linalg.det(vertices[:3]))
    np.testing.assert_allclose(turned[:, 1], vertices[:, 1])
    back = vertices
    for _ in range(4):
        back = seen_from_the_right(back)
    np.testing.assert_allclose(back, vertices)


def test_the_side_view_shows_the_depth(mesh):
    """An open hand is broad from the front and flat from the side."""
    column = side_views([drawn(mesh)], 200, places=1)
    assert column.shape == (200, 200, 3)
    rows, columns = np.nonzero((column != column[0, 0]).any(-1))
    depth, height = np.ptp(mesh[0][:, 2]), np.ptp(mesh[0][:, 1])
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(depth / height, rel=0.05)
    assert max(np.ptp(columns), np.ptp(rows)) == pytest.approx(160, abs=3)


def test_two_hands_have_places_of_their_own_and_colours_of_their_side(mesh):
    hands = [drawn(mesh), drawn(mesh, hand="left", shift=(150.0, 150.0))]
    column = side_views(hands, 200, places=2)
    assert column.shape == (200, 100, 3)
    upper, lower = (
        half[(half != 250).any(-1)].mean(axis=0) for half in (column[:100], column[100:])
    )
    assert upper[2] > upper[0] and lower[0] > lower[2]  # right is blue, left is orange


@pytest.mark.parametrize("size", [(200, 180), (201, 181), (37, 60)])
def test_a_sheet_has_an_even_size_that_only_the_places_change(mesh, size):
    sizes = [
        hand_sheet(blank_image(*size), hands, places=2).shape
        for hands in ([], [drawn(mesh)], [drawn(mesh)] * 2)
    ]
    assert sizes[0] == sizes[1] == sizes[2]
    assert sizes[0][0] % 2 == 0 and sizes[0][1] % 2 == 0
    assert hand_sheet(blank_image(*size), [drawn(mesh)]).shape[1] > 2 * size[0]


def test_a_large_image_is_drawn_smaller_with_the_hand_in_its_place(mesh):
    large = drawn(mesh, scale=7.0, shift=(1500.0, 900.0))
    sheet = hand_sheet(blank_image(2000, 1800), [large], max_side_px=200)
    small = hand_sheet(blank_image(), [drawn(mesh)], max_side_px=200)
    assert sheet.shape == small.shape
    mesh_panels = sheet[:180, 200:400], small[:180, 200:400]
    # the same but for rounding of the box and of pixels on edges
    differing = (np.abs(mesh_panels[0].astype(int) - mesh_panels[1]) > 8).any(-1)
    assert differing.mean() < 0.01
