"""Every term at values worked out by hand, its gradient, and what is not valid."""

import math

import pytest
import torch

from adapters.token_fusion import objective
from adapters.token_fusion.grid import VolumeGrid
from adapters.token_fusion.objective import PoseTargets, Weights
from adapters.token_fusion.targets import pose_targets
from gesture_pretrain.hand.rotation import matrix_from_6d, matrix_from_axis_angle

GRID = VolumeGrid(cells=10, depth_cells=10, half_depth_mm=150.0)
SIZE_PX = 100  # 10 px per cell, 30 mm of depth per cell


def make_targets(batch: int = 2, dtype=torch.float64) -> PoseTargets:
    """Zeros, all valid; the camera sees 1 px per mm at the root depth of 1 m."""
    zeros = dict(dtype=dtype)
    rows = [[1000.0, 0.0, 50.0], [0.0, 1000.0, 50.0], [0.0, 0.0, 1.0]]
    camera = torch.tensor(rows, dtype=dtype)
    return PoseTargets(
        joints_cells=torch.full((batch, 21, 3), 4.5, dtype=dtype),
        joints_cells_valid=torch.ones(batch, 21, 3, dtype=torch.bool),
        joints_cam_mm=torch.tensor([0.0, 0.0, 1000.0], dtype=dtype).expand(batch, 21, 3).clone(),
        joints_cam_valid=torch.ones(batch, 21, dtype=torch.bool),
        pose_6d=torch.zeros(batch, 16, 6, **zeros),
        shape=torch.zeros(batch, 10, **zeros),
        hand_joints_rel_mm=torch.zeros(batch, 21, 3, **zeros),
        hand_keypoints_px=torch.full((batch, 21, 2), 50.0, dtype=dtype),
        hand_joints_valid=torch.ones(batch, 21, dtype=torch.bool),
        mano_valid=torch.ones(batch, dtype=torch.bool),
        wrist_depth_mm=torch.full((batch,), 1000.0, dtype=dtype),
        camera=camera.expand(batch, 3, 3).clone(),
        has_camera=torch.ones(batch, dtype=torch.bool),
    )


def double(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def test_pose_and_shape_terms_are_means_over_samples_with_a_fit():
    targets = make_targets()._replace(mano_valid=torch.tensor([True, False]))
    pose = double(2, 16, 6)
    pose[0, 3, 2], pose[1] = -2.4, 7.0  # 2.4 over the 96 numbers of the one valid sample
    assert objective.pose_term(pose, targets).item() == pytest.approx(2.4 / 96)
    shape = double(2, 10)
    shape[0, 0], shape[0, 9], shape[1] = 1.0, -2.0, 5.0
    assert objective.shape_term(shape, targets).item() == pytest.approx(0.3)


def test_25d_term_counts_axes():
    targets = make_targets(1)
    valid = targets.joints_cells_valid.clone()
    valid[:, 5:] = False
    valid[0, 0, 2] = False
    cells = targets.joints_cells.clone()
    cells[0, 0] += torch.tensor([1.0, -3.0, 100.0])  # its depth is outside of the volume
    cells[0, 9] += 50
    targets = targets._replace(joints_cells_valid=valid)
    # 5 joints with 3 axes, less one
    assert objective.joints_25d_term(cells, targets).item() == pytest.approx(4 / 14)
    assert objective.joints_2d_term(cells, targets).item() == pytest.approx(4 / 10)


def test_3d_term_is_in_metres_of_the_camera_frame():
    targets = make_targets(1)
    cells = targets.joints_cells.clone()
    cells[0, 7, 0] += 2.0  # 20 px, 20 mm at 1 m
    cells[0, 8, 2] += 1.0  # 30 mm farther, on the axis
    value = objective.joints_3d_term(cells, targets, GRID, SIZE_PX)
    assert value.item() == pytest.approx((0.020 + 0.030) / 63)


def test_3d_term_moves_sideways_what_is_farther():
    targets = make_targets(1)
    cells = targets.joints_cells.clone()
    cells[0, 8] += torch.tensor([3.0, 0.0, 2.0])  # 30 px at 1060 mm: 31.8 mm, and 60 mm
    value = objective.joints_3d_term(cells, targets, GRID, SIZE_PX)
    assert value.item() == pytest.approx((0.0318 + 0.060) / 63)


def test_mano_terms_in_metres_and_in_cells():
    targets = make_targets(1)
    joints = double(1, 21, 3)
    joints[0, 4] = torch.tensor([30.0, -40.0, 0.0])  # 30 and 40 px: 3 and 4 cells
    value = objective.mano_joints_3d_term(joints, targets)
    assert value.item() == pytest.approx(0.070 / 63)
    value = objective.mano_joints_2d_term(joints, None, targets, GRID, SIZE_PX)
    assert value.item() == pytest.approx(7 / 42)
    joints[0, 4, 2] = 250.0  # 1.25 m away everything is 0.8 times as large
    value = objective.mano_joints_2d_term(joints, None, targets, GRID, SIZE_PX)
    assert value.item() == pytest.approx(5.6 / 42)


def test_weak_camera_stands_in_where_there_are_no_intrinsics():
    targets = make_targets()._replace(has_camera=torch.tensor([True, False]))
    joints = double(2, 21, 3)
    joints[1, 2, 0] = 60.0
    arguments = (targets, GRID, SIZE_PX)
    assert objective.mano_joints_2d_term(joints, None, *arguments).item() == 0
    weak = torch.tensor([[1.0, 0.0, 0.0], [1.5, 0.0, 0.1]], dtype=torch.float64)
    # sample 1: all joints 10 px = 1 cell low, one 1.5 * 60 / 300 of 100 px = 3 cells to the right
    value = objective.mano_joints_2d_term(joints, weak, *arguments)
    assert value.item() == pytest.approx((21 + 3) / 84)


def test_structure_term_of_one_bend():
    """8 / 9 sin^2(a / 2) per pair of joints that are an angle a apart; the root is in no pair."""
    angle = torch.zeros(1, 16, 3, dtype=torch.float64)
    angle[0, 0, 1] = 2.0  # the root
    angle[0, 3, 2] = math.pi / 2  # the last joint of the index: one pair
    angle[0, 5, 0] = math.pi / 3  # the second joint of the middle finger: two pairs
    value = objective.structure_term(matrix_from_axis_angle(angle), make_targets(1))
    assert value.item() == pytest.approx((4 + 2 * 2) / 9 / 10)


def test_structure_term_is_zero_where_all_joints_bend_alike():
    angle = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64).expand(1, 16, 3)
    value = objective.structure_term(matrix_from_axis_angle(angle), make_targets(1))
    assert value.item() == pytest.approx(0, abs=1e-15)


def test_limit_term_is_zero_within_the_limits_and_grows_beyond():
    angle = torch.zeros(1, 16, 3, dtype=torch.float64)
    angle[0, 0, 1] = math.pi  # the root has no limit
    angle[0, 1:, 0] = math.radians(119)
    assert objective.limit_term(matrix_from_axis_angle(angle), make_targets(1)).item() == 0
    angle[0, 4, 0] = math.pi
    value = objective.limit_term(matrix_from_axis_angle(angle), make_targets(1))
    assert value.item() == pytest.approx((1 - 0.5) / 15)


def term_of(name: str):
    """One term as a function of a random float64 input, and the input."""
    targets = make_targets()
    valid = targets.joints_cells_valid.clone()
    valid[0, 3], valid[1, 4, 2] = False, False
    fits = torch.tensor([True, False])
    targets = targets._replace(
        joints_cells_valid=valid,
        joints_cam_valid=valid.all(-1),
        hand_joints_valid=valid.all(-1),
        mano_valid=fits,
    )
    cells, joints, weak = (2, 21, 3), (2, 21, 3), torch.ones(2, 3, dtype=torch.float64)
    grid = (GRID, SIZE_PX)
    terms = {
        "pose": ((2, 16, 6), lambda x: objective.pose_term(x, targets)),
        "shape": ((2, 10), lambda x: objective.shape_term(x, targets)),
        "joints_3d": (cells, lambda x: objective.joints_3d_term(4 + x, targets, *grid)),
        "joints_25d": (cells, lambda x: objective.joints_25d_term(4 + x, targets)),
        "joints_2d": (cells, lambda x: objective.joints_2d_term(4 + x, targets)),
        "mano_joints_3d": (joints, lambda x: objective.mano_joints_3d_term(50 * x, targets)),
        "mano_joints_2d": (
            joints,
            lambda x: objective.mano_joints_2d_term(50 * x, None, targets, *grid),
        ),
        "weak_camera": (
            joints,
            lambda x: objective.mano_joints_2d_term(
                50 * x,
                weak * x[:, 0],
                targets._replace(has_camera=torch.tensor([False, True])),
                *grid,
            ),
        ),
        "structure": (
            (2, 16, 6),
            lambda x: objective.structure_term(matrix_from_6d(x), targets),
        ),
    }
    shape, term = terms[name]
    generator = torch.Generator().manual_seed(0)
    return term, torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)


TERMS = (
    "pose",
    "shape",
    "joints_3d",
    "joints_25d",
    "joints_2d",
    "mano_joints_3d",
    "mano_joints_2d",
    "weak_camera",
    "structure",
)


@pytest.mark.parametrize("name", TERMS)
def test_gradient_of_each_term_in_float64(name):
    term, values = term_of(name)
    assert torch.autograd.gradcheck(term, (values,), atol=1e-7, fast_mode=False)


def test_nothing_valid_is_exactly_zero_with_a_gradient_of_zero():
    predicted = torch.randn(3, 21, 2, requires_grad=True)
    target = torch.full((3, 21, 2), math.nan)
    value = objective.valid_l1(predicted, target, torch.zeros(3, 21, dtype=torch.bool))
    value.backward()
    assert value.item() == 0 and predicted.grad.abs().max().item() == 0


@pytest.mark.parametrize("name", ["pose", "structure", "joints_3d"])
def test_a_negative_or_nan_weight_is_refused(name):
    for value in (-1.0, math.nan):
        with pytest.raises(ValueError, match=name):
            Weights(**{name: value})


def losses_and_gradients(model, batch, outputs):
    leaves = [None if x is None else x.detach().clone().requires_grad_() for x in outputs]
    targets = pose_targets(batch, model.network.grid, model.kinematics.mean_pose)
    terms = model.losses(type(outputs)(*leaves), targets, batch.image.shape[-1])
    losses = {name: value for name, value in terms.items() if "loss" in name}
    sum(losses.values()).backward()
    return losses, [x.grad for x in leaves if x is not None and x.grad is not None]


@pytest.fixture
def model_and_output(build, batch):
    model = build().eval()
    with torch.no_grad():
        return model, model(batch, mode="tensor")


def broken(batch, **fields):
    """The batch with sample 0 changed in place of `fields`, everything else left."""
    changed = {}
    for name, value in fields.items():
        tensor = getattr(batch, name).clone()
        tensor[0] = value
        changed[name] = tensor
    return batch._replace(**changed)


ABSENT = {
    "joint_valid": False,
    "joint_in_view": False,
    "mano_valid": False,
}


@pytest.mark.parametrize("filler", [0.0, 1e6, math.nan])
def test_a_sample_without_annotation_adds_exactly_nothing(model_and_output, batch, filler):
    """Whatever stands in its place: the losses are those of the other seven, its gradient is 0."""
    model, output = model_and_output
    empty = broken(
        batch,
        **ABSENT,
        keypoints_px=filler,
        joints_rel_mm=filler,
        mano_pose=filler,
        mano_shape=filler,
        mano_joints_rel_mm=filler,
        mano_keypoints_px=filler,
        wrist_depth_mm=math.nan,
        has_camera=False,
        crop_camera=0.0,
    )
    losses, gradients = losses_and_gradients(model, empty, output)
    others = type(batch)(*(field[1:] for field in batch))
    rest = type(output)(*(None if x is None else x[1:] for x in output))
    expected, expected_gradients = losses_and_gradients(model, others, rest)
    for name, value in expected.items():
        # sums in another order: a few roundings of float32
        torch.testing.assert_close(losses[name], value, rtol=1e-5, atol=1e-7, msg=name)
    for gradient, one in zip(gradients, expected_gradients, strict=True):
        assert gradient[0].abs().max().item() == 0
        torch.testing.assert_close(gradient[1:], one, rtol=1e-4, atol=1e-8)


def test_a_batch_without_annotation_is_exactly_zero(model_and_output, batch):
    model, output = model_and_output
    none = batch._replace(
        **{name: torch.zeros_like(getattr(batch, name)) for name in ABSENT},
        wrist_depth_mm=torch.full((8,), math.nan),
        has_camera=torch.zeros(8, dtype=torch.bool),
        crop_camera=torch.zeros(8, 3, 3),
    )
    losses, gradients = losses_and_gradients(model, none, output)
    assert all(value.item() == 0 for value in losses.values())
    assert all(gradient.abs().max().item() == 0 for gradient in gradients)


def test_a_truncated_joint_has_a_gradient_in_the_mano_terms_only(model_and_output, batch):
    """A soft-argmax cannot leave the crop, the hand can."""
    model, output = model_and_output
    in_view = batch.joint_in_view.clone()
    in_view[0, 8] = False
    _, gradients = losses_and_gradients(model, batch._replace(joint_in_view=in_view), output)
    assert gradients[0][0, 8].abs().max().item() == 0
    assert gradients[0][0, 7].abs().min().item() > 0
    assert gradients[1][0].abs().min().item() > 0


def test_a_sample_without_fit_trains_the_hand_by_its_joints(model_and_output, batch):
    """Its parameters are unknown, its joints are not; only triangulated ones count."""
    model, output = model_and_output
    valid = batch.joint_valid.clone()
    valid[0, 5] = False
    filler = {"mano_pose": math.nan, "mano_shape": math.nan, "mano_joints_rel_mm": math.nan}
    without = broken(batch, mano_valid=False, **filler)._replace(joint_valid=valid)
    targets = pose_targets(without, model.network.grid, model.kinematics.mean_pose)
    assert torch.equal(targets.hand_joints_rel_mm[0], batch.joints_rel_mm[0])
    assert torch.equal(targets.hand_keypoints_px[0, :5], batch.keypoints_px[0, :5])
    assert targets.hand_joints_valid[0].sum() == 20 and not targets.hand_joints_valid[0, 5]
    _, (cells, pose, shape) = losses_and_gradients(model, without, output)
    assert cells[0].abs().max() > 0 and shape[0].abs().max() > 0
    assert (pose[0].abs().amax(-1) > 0).all()  # all 16 rotations
    exact = objective.mano_joints_3d_term(targets.hand_joints_rel_mm, targets)
    assert exact.item() == 0


def test_annotation_fed_as_prediction_gives_zero(model_and_output, batch):
    model, output = model_and_output
    targets = pose_targets(batch, model.network.grid, model.kinematics.mean_pose)
    perfect = output._replace(
        joints_cells=targets.joints_cells, pose_6d=targets.pose_6d, shape=targets.shape
    )
    terms = model.losses(perfect, targets, batch.image.shape[-1])
    for name in terms:
        # float32 over 100 px and 1000 mm: some 1e-5 of a cell; the hand's bends are real
        limit = 1.0 if name == "structure_loss" else 1e-3
        assert terms[name].item() < limit, name
