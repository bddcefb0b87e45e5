"""Cells, pixels, millimetres and sampling places say the same thing."""

import pytest
import torch
from torch.nn import functional as F

from adapters.token_fusion.camera import back_project_mm, project_px, project_weak_perspective_px
from adapters.token_fusion.grid import VolumeGrid
from adapters.token_fusion.joint_tokens import sample_at_joints
from adapters.token_fusion.volume import soft_argmax_3d

GRID = VolumeGrid(cells=12, depth_cells=8, half_depth_mm=150.0)
SIZE_PX = 144


def test_pixels_and_depths_return_from_cells():
    generator = torch.Generator().manual_seed(0)
    points = SIZE_PX * torch.rand(50, 2, generator=generator, dtype=torch.float64)
    depth = 300 * torch.rand(50, generator=generator, dtype=torch.float64) - 150
    cells = GRID.cells_from_25d(points, depth, SIZE_PX)
    torch.testing.assert_close(GRID.px_from_cells(cells[:, :2], SIZE_PX), points)
    torch.testing.assert_close(GRID.depth_from_cells(cells[:, 2]), depth)


def test_edges_and_middle_by_hand():
    # 144 px over 12 cells: cell i is the pixels from 12 i to 12 i + 12, its centre at 12 i + 6
    places = torch.tensor([[0.0, 144.0], [6.0, 138.0], [72.0, 18.0]], dtype=torch.float64)
    expected = torch.tensor([[-0.5, 11.5], [0.0, 11.0], [5.5, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(GRID.cells_from_px(places, SIZE_PX), expected)
    # 300 mm over 8 cells of 37.5 mm, the wrist between the two in the middle
    depth = torch.tensor([-150.0, 0.0, 18.75, 150.0], dtype=torch.float64)
    expected = torch.tensor([-0.5, 3.5, 4.0, 7.5], dtype=torch.float64)
    torch.testing.assert_close(GRID.cells_from_depth(depth), expected)


def test_a_mirrored_pixel_has_the_mirrored_cell():
    x = torch.linspace(0, SIZE_PX, 7, dtype=torch.float64)
    mirrored = GRID.cells_from_px(SIZE_PX - x, SIZE_PX)
    torch.testing.assert_close(mirrored, GRID.cells - 1 - GRID.cells_from_px(x, SIZE_PX))


def test_the_volume_contains_its_edges_and_nothing_beyond():
    cells = torch.tensor([[-0.5, 11.5, 7.5], [-0.51, 11.51, 7.51]])
    assert GRID.contains(cells).tolist() == [[True] * 3, [False] * 3]


def test_soft_argmax_finds_a_peak_where_it_was_put():
    scores = torch.zeros(2, 3, 8, 12, 12)
    places = torch.tensor([[[4, 2, 7], [0, 11, 0], [11, 0, 3]], [[5, 5, 5], [1, 2, 3], [9, 8, 6]]])
    for b in range(2):
        for j in range(3):
            x, y, z = places[b, j]
            scores[b, j, z, y, x] = 60.0
    # 1151 other cells with weight exp(-60) = 1e-26 each are below float32's rounding
    torch.testing.assert_close(soft_argmax_3d(scores), places.float(), atol=1e-5, rtol=0)


def test_soft_argmax_of_equal_scores_is_the_middle():
    middle = torch.tensor([5.5, 5.5, 3.5])
    found = soft_argmax_3d(torch.zeros(1, 1, 8, 12, 12))[0, 0]
    torch.testing.assert_close(found, middle, atol=1e-5, rtol=0)


def test_sampling_at_a_cell_reads_that_cell():
    # a map whose value is its own place: bilinear sampling is exact on it
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    features = torch.stack([x, y])[None]
    places = torch.tensor([[[0.0, 0.0], [11.0, 3.0], [4.25, 7.5]]])
    torch.testing.assert_close(sample_at_joints(features, places, GRID), places, atol=1e-5, rtol=0)


def test_sampling_places_are_grid_sample_s_own():
    """The volume's outer edge is 1 for grid_sample, and half a cell outside is a half black."""
    edge = GRID.sampling_from_cells(torch.tensor([[-0.5, 11.5]]))
    assert edge.tolist() == [[-1.0, 1.0]]
    at_edge = F.grid_sample(torch.ones(1, 1, 12, 12), edge[None, None], align_corners=False)
    assert at_edge.item() == pytest.approx(0.25)


@pytest.mark.parametrize("sizes", [(1, 8, 150.0), (8, 1, 150.0), (8, 8, 0.0)])
def test_a_grid_without_a_volume_is_refused(sizes):
    with pytest.raises(ValueError, match="is no volume"):
        VolumeGrid(*sizes)


def test_projection_undoes_back_projection_for_a_turned_camera():
    rows = [[500.0, 90.0, 70.0], [-80.0, 480.0, 66.0], [0.2, -0.1, 0.9]]
    camera = torch.tensor([rows], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    pixels = 144 * torch.rand(1, 21, 2, generator=generator, dtype=torch.float64)
    depth = 400 + 200 * torch.rand(1, 21, generator=generator, dtype=torch.float64)
    points = back_project_mm(pixels, depth, camera)
    torch.testing.assert_close(points[..., 2], depth)
    torch.testing.assert_close(project_px(points, camera), pixels)


def test_weak_perspective_by_hand():
    weak = torch.tensor([[2.0, 0.25, -0.5]])
    points = torch.tensor([[[0.0, 0.0, 40.0], [30.0, -15.0, 0.0]]])
    # of a crop of 100 px: middle 50 + place (25, -50), then 2 * 30 / 300 of 100 px
    expected = torch.tensor([[[75.0, 0.0], [95.0, -10.0]]])
    torch.testing.assert_close(project_weak_perspective_px(points, weak, 100), expected)


def test_keypoints_joints_and_camera_of_a_rendered_crop_agree(batch):
    """Pixels and wrist-relative depths, back-projected, are the annotated joints."""
    depth = batch.joints_rel_mm[..., 2] + batch.wrist_depth_mm[:, None]
    points = back_project_mm(batch.keypoints_px, depth, batch.crop_camera)
    # float32 pixels: 100 px * 6e-8 * z / f, far below 0.01 mm; annotations are stored in float32
    torch.testing.assert_close(points - points[:, :1], batch.joints_rel_mm, atol=0.02, rtol=0)
