"""Single functions of EANet against reference arrays of upstream, in float64 to 1e-9.

Where upstream computes in float32 whatever comes in, the tolerance is float32's.
"""

import golden_training_loss
import numpy as np
import pytest
import torch
from golden_recipe import FunctionInputs, gen, regressor16

from eanet import UPSTREAM
from eanet.heatmap_cells import cells_from_crop, crop_from_cells, lift_joints
from eanet.layers.soft_argmax import soft_argmax_3d
from eanet.losses import coord_loss, param_loss, unreduced_terms
from eanet.mano_joints import MIDDLE_TIP_OF_METRIC, PlacedHand, joint_regressor, place_hand
from eanet.rotation import axis_angle_from_6d
from eanet.rotation_net import sample_joint_features

# two places of float32 at values of 0.25 to 0.5, where the reference was computed in it
_FLOAT32 = 2 * 2.0**-25


@pytest.fixture(scope="module")
def case(golden_functions):
    return str(golden_functions["case"])


@pytest.fixture(scope="module")
def inputs(case):
    return FunctionInputs(case)


def _same(value: torch.Tensor, expected: np.ndarray, accept: float = 1e-9) -> None:
    assert value.shape == expected.shape
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=0, atol=accept)


def test_axis_angle_from_6d(golden_functions, inputs):
    rotations = inputs.normal("rot6d", 64, 6).requires_grad_()
    axis_angle = axis_angle_from_6d(rotations)
    _same(axis_angle, golden_functions["rot6d.axis_angle"])
    axis_angle.square().sum().backward()
    _same(rotations.grad, golden_functions["rot6d.grad_sumsq"])


def test_axis_angle_at_special_rotations(golden_functions):
    """Identity, half turns, 1e-5 rad, 3.1 rad, zeros, parallel vectors; the gradient is finite."""
    rotations = torch.from_numpy(golden_functions["rot6d.edge_in"]).requires_grad_()
    axis_angle = axis_angle_from_6d(rotations)
    _same(axis_angle, golden_functions["rot6d.edge_out"])
    (gradient,) = torch.autograd.grad(axis_angle.sum(), rotations)
    assert gradient.isfinite().all()
    assert golden_functions["rot6d.edge_grad_isnan"].any()  # upstream's is not


def test_three_rotations_at_once(golden_functions, inputs):
    """Correct: as among others. Upstream: a cross product over the batch."""
    rotations = inputs.normal("rot6d", 64, 6)[:3]
    _same(axis_angle_from_6d(rotations), golden_functions["rot6d.axis_angle"][:3])
    as_upstream = golden_functions["rot6d.n3_as_upstream"]
    _same(axis_angle_from_6d(rotations, quirks=UPSTREAM), as_upstream)
    assert np.abs(as_upstream - golden_functions["rot6d.axis_angle"][:3]).max() > 0.1


def test_soft_argmax(golden_functions, inputs):
    heatmaps = inputs.normal("hm", 2, 21, 8, 8, 8, scale=3)
    _same(soft_argmax_3d(heatmaps), golden_functions["soft_argmax_3d"])
    uneven = inputs.normal("hm_aniso", 1, 2, 3, 4, 5, scale=3)
    _same(soft_argmax_3d(uneven), golden_functions["soft_argmax_3d_aniso"])


def test_sample_joint_features(golden_functions, inputs):
    features = inputs.normal("sjf_feat", 2, 5, 8, 8)
    where = inputs.uniform("sjf_xy", 2, 21, 2, scale=9, offset=-1)
    assert (where < 0).any() and (where > 7).any()  # outside counts as zeros
    _same(sample_joint_features(features, where), golden_functions["sample_joint_features"])


@pytest.fixture(scope="module")
def coordinates(inputs):
    return {
        "out": inputs.normal("coord_out", 4, 42, 3),
        "target": inputs.normal("coord_gt", 4, 42, 3),
        "valid": inputs.below("coord_valid", 0.7, 4, 42, 1),
    }


def test_coord_loss(golden_functions, coordinates):
    is_3d = torch.tensor([1.0, 0.0, 1.0, 0.0])
    without, with_depth = coord_loss(**coordinates), coord_loss(**coordinates, is_3d=is_3d)
    _same(without, golden_functions["coord_loss.no3d"])
    _same(with_depth, golden_functions["coord_loss.is3d"])
    means = torch.stack([without.mean(), with_depth.mean()])
    _same(means, golden_functions["coord_loss.mean"][:2])


def test_coord_loss_with_unknown_targets(golden_functions, coordinates, inputs):
    unknown = inputs.below("coord_nan", 0.05, 4, 42, 3).bool()
    assert unknown.sum() == golden_functions["coord_loss.nan_count"]
    out = coordinates["out"].clone().requires_grad_()
    target = coordinates["target"].masked_fill(unknown, float("nan"))
    is_3d = torch.tensor([1.0, 0.0, 1.0, 0.0])
    loss = coord_loss(out, target, coordinates["valid"], is_3d)
    _same(loss, golden_functions["coord_loss.nan"])
    assert loss.mean().item() == pytest.approx(golden_functions["coord_loss.mean"][2], abs=1e-9)
    loss.mean().backward()
    assert out.grad.isnan().sum() == golden_functions["coord_loss.nan_grad_isnan_count"]
    _same(out.grad, golden_functions["coord_loss.nan_grad_nan_to_zero"])


def test_param_loss(golden_functions, inputs):
    out, target = inputs.normal("param_out", 4, 96), inputs.normal("param_gt", 4, 96)
    valid = inputs.below("param_valid", 0.7, 4, 96)
    _same(param_loss(out, target, valid), golden_functions["param_loss"])
    unknown = inputs.below("param_nan", 0.05, 4, 96).bool()
    target = target.masked_fill(unknown, float("nan"))
    _same(param_loss(out, target, valid), golden_functions["param_loss.nan"])


def test_regressor_of_the_recipe(golden_functions, case):
    regressor = regressor16(case)
    np.testing.assert_array_equal(
        regressor.max(dim=1).values, golden_functions["regressor_row_max"]
    )
    np.testing.assert_array_equal(regressor.argmax(dim=1), golden_functions["regressor_argmax"])
    np.testing.assert_array_equal(regressor.flatten()[:8], golden_functions["regressor_first8"])


def test_joint_regressors(golden_functions, case, inputs):
    vertices = (0.1 * inputs.normal("reg_verts", 778, 3).float()).double()  # product in float32
    regressor = regressor16(case).double()
    model = joint_regressor(regressor) @ vertices
    metric = joint_regressor(regressor, middle_tip=MIDDLE_TIP_OF_METRIC) @ vertices
    _same(model, golden_functions["model_regressor21"])
    _same(metric, golden_functions["eval_regressor21"], _FLOAT32)  # was computed in float32
    assert (model != metric).any(dim=1).nonzero().flatten().tolist() == [12]  # middle fingertip


def test_place_hand(golden_functions, case, inputs):
    placed = place_hand(
        (0.1 * inputs.normal("gc_verts", 2, 778, 3).float()).double(),
        inputs.normal("gc_cam", 2, 3),
        joint_regressor(regressor16(case).double()),
    )
    for name in ("joint_proj", "joint_cam", "root_cam"):
        # projections are of order 1, the others of order 0.1; was computed in float32
        accept = 10 * _FLOAT32 if name == "joint_proj" else _FLOAT32
        _same(getattr(placed, name), golden_functions[f"get_coord.{name}"], accept)
    _same(placed.mesh_cam[:, :5], golden_functions["get_coord.mesh_cam_first5"], _FLOAT32)


def test_lift_joints(golden_functions, case):
    lifted = lift_joints(
        8 * torch.from_numpy(gen(f"fn:{case}:lift").random((42, 3))),
        image_from_crop=torch.tensor([[0.7, 0.1, 12], [-0.1, 0.7, 30]], dtype=torch.float64),
        root_depth_m=0.8,
        focal_px=torch.tensor([1300.0, 1290.0], dtype=torch.float64),
        center_px=torch.tensor([160.0, 250.0], dtype=torch.float64),
    )
    _same(lifted, golden_functions["lift_joint"])


def test_cells_are_pixels_and_metres_and_back(inputs):
    cells = inputs.uniform("lift", 42, 3, scale=8).unflatten(0, (2, 21))
    keypoints_px, depth_rel_m = crop_from_cells(cells)
    assert keypoints_px.max() < 256 and depth_rel_m.abs().max() < 0.15
    torch.testing.assert_close(
        cells_from_crop(keypoints_px, depth_rel_m), cells, rtol=0, atol=1e-12
    )


def test_shapes_of_the_unreduced_terms(golden_functions, inputs, build_tiny, tiny_images):
    hand = PlacedHand(
        torch.zeros(4, 21, 2), torch.zeros(4, 21, 3), torch.zeros(4, 778, 3), torch.zeros(4, 1, 3)
    )
    terms = unreduced_terms(
        build_tiny()(tiny_images), hand, hand, golden_training_loss.build_targets(inputs)
    )
    shapes = [str(list(term.shape)) for term in terms.values()]
    assert list(terms) == golden_functions["train_loss.term_names"].tolist()
    assert shapes == golden_functions["train_loss.term_shapes"].tolist()
