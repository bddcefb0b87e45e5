"""Properties of a tiny EANet: gradients, options, refusals, compilation."""

import pytest
import torch
from torch import nn

from eanet import CORRECT, UPSTREAM, EANet, Quirks, find_quirks
from eanet.gesture_logits import GestureFusion
from eanet.initialise import initialise_for_training
from eanet.losses import coord_loss
from eanet.mano_joints import joint_regressor, place_hand
from eanet.rotation import axis_angle_from_6d, axis_angle_from_matrix, matrix_from_6d


def _sum_of_all(output) -> torch.Tensor:
    return sum(value.square().sum() for value in output if value is not None)


@pytest.mark.parametrize("fusion", ["none", "logits"])
@pytest.mark.parametrize("quirks", [CORRECT, UPSTREAM])
def test_every_parameter_gets_a_gradient(build_tiny, tiny_images, fusion, quirks):
    # in eval mode, as batch statistics cancel a bias in front of them
    model = build_tiny(gesture_fusion=fusion, quirks=quirks).eval()
    _sum_of_all(model(tiny_images)).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert [name for name, grad in gradients.items() if grad is None or not grad.any()] == []
    assert all(grad.isfinite().all() for grad in gradients.values())


def test_shapes_of_the_output(build_tiny, tiny_images):
    output = build_tiny(gesture_fusion="logits")(tiny_images)
    shapes = {name: tuple(value.shape[1:]) for name, value in output._asdict().items()}
    both = {
        "joint_img": (21, 3), "root_pose_6d": (6,), "pose_6d": (90,), "shape": (10,), "cam": (3,),
        "root_pose_aa": (3,), "pose_aa": (45,), "hand_feat": (16, 2, 2),
    }  # fmt: skip
    one = {"rel_trans": (3,), "feat": (6, 2, 2), "main_logits": (3,), "sub_logits": (5,)}
    assert shapes == {f"{hand}{name}": s for hand in "rl" for name, s in both.items()} | one


def test_no_gradient_flows_from_the_rotation_net_into_the_joints(build_tiny, tiny_images):
    """The heat maps learn from the joints alone: the rotation network takes detached cells."""
    model = build_tiny()
    output = model(tiny_images)
    (output.rpose_6d.sum() + output.lroot_pose_6d.sum()).backward()
    heatmaps = (model.position_net.right_heatmap, model.position_net.left_heatmap)
    assert all(layer.weight.grad is None for layer in heatmaps)
    assert model.backbone[0].weight.grad.abs().sum() > 0


def test_batch_of_three_equals_its_samples(build_tiny, tiny_images):
    """Guards the cross product over the batch that upstream takes at batch size 3."""
    model = build_tiny().eval()
    together = model(tiny_images[:3]).rroot_pose_aa
    alone = torch.cat([model(image[None]).rroot_pose_aa for image in tiny_images[:3]])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
    as_upstream = build_tiny(quirks=UPSTREAM).eval()(tiny_images[:3]).rroot_pose_aa
    assert (as_upstream - alone).abs().max() > 1e-2


def test_compiles_into_one_graph(build_tiny, tiny_images):
    model = build_tiny(gesture_fusion="logits", depth=1).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        for ours, reference in zip(compiled(tiny_images), model(tiny_images), strict=True):
            assert torch.equal(ours, reference)
    torch.compiler.reset()


def test_coordinates_keep_float32_under_autocast(build_tiny, tiny_images):
    """bfloat16 layers move the cells by their rounding, but do not put them on a coarse grid."""
    model = build_tiny().eval()
    exact = model(tiny_images)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(tiny_images)
    regressed = ("rroot_pose_6d", "rpose_6d", "rshape", "rcam", "lpose_6d", "rel_trans")
    for name in ("rjoint_img", "rroot_pose_aa", "lpose_aa", *regressed):
        value = getattr(output, name)
        assert value.dtype == torch.float32
        assert not torch.equal(value, value.bfloat16().float())
        torch.testing.assert_close(value, getattr(exact, name), rtol=0, atol=0.05)


def test_placed_joints_keep_float32_under_autocast():
    generator = torch.Generator().manual_seed(0)
    vertices, cam = torch.rand(1, 778, 3, generator=generator), torch.ones(1, 3)
    regressor = joint_regressor(torch.rand(16, 778, generator=generator) / 389)
    with torch.autocast("cpu", torch.bfloat16):
        placed = place_hand(vertices, cam, regressor)
    assert torch.equal(placed.joint_cam, place_hand(vertices, cam, regressor).joint_cam)


def test_memory_format_changes_rounding_only(build_tiny, tiny_images):
    model = build_tiny().eval()
    plain = model(tiny_images)
    model.to(memory_format=torch.channels_last)
    other = model(tiny_images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(other.rpose_6d, plain.rpose_6d, rtol=0, atol=1e-4)


def test_initialisation_is_upstreams(build_tiny):
    model = build_tiny(width=64, gesture_fusion="logits")
    fusion = {k: v.clone() for k, v in model.rotation_net.gesture_fusion.state_dict().items()}
    backbone = model.backbone[0].weight.clone()
    initialise_for_training(model, generator=torch.Generator().manual_seed(0))
    model.requires_grad_(False)
    extract = model.position_net.extract_adapt.extract
    assert extract.self_blocks[0].attn.qkv.weight.std() == pytest.approx(0.01, rel=0.05)
    assert model.position_net.right_heatmap.weight.std() == pytest.approx(0.001, rel=0.05)
    assert extract.pos_embed.std() == pytest.approx(1, rel=0.1)
    assert not model.rotation_net.right_root.bias.any()
    assert torch.equal(model.backbone[0].weight, backbone)
    for name, value in model.rotation_net.gesture_fusion.state_dict().items():
        assert torch.equal(value, fusion[name]), name


def test_initialisation_draws_the_same_from_the_same_generator(build_tiny):
    first, second = build_tiny(), build_tiny()
    for model in (first, second):
        torch.rand(3)
        initialise_for_training(model, generator=torch.Generator().manual_seed(5))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def _fused(logits_to_hands, *, main=0.0, sub=0.0):
    torch.manual_seed(0)
    fusion = GestureFusion(
        width=8, num_heads=2, num_main=3, num_sub=5, max_classes=6, logits_to_hands=logits_to_hands
    ).eval()
    joints = torch.randn(2, 2, 21, 8)
    return fusion(*joints, torch.full((2, 3), main), torch.full((2, 5), sub))


@pytest.mark.parametrize(
    ("option", "logits", "right_moves", "left_moves"),
    [
        ("both", "main", True, True),
        ("both", "sub", True, True),
        ("main_right_sub_left", "main", True, False),
        ("main_right_sub_left", "sub", False, True),
    ],
)
def test_which_logits_reach_which_hand(option, logits, right_moves, left_moves):
    right, left = _fused(option)
    other_right, other_left = _fused(option, **{logits: 3.0})
    assert (not torch.equal(right, other_right)) == right_moves
    assert (not torch.equal(left, other_left)) == left_moves


def test_quirks_are_off_by_default_and_all_on_as_upstream():
    default, upstream = Quirks(), find_quirks("upstream")
    assert default == CORRECT == find_quirks("correct")
    assert all(a != b for a, b in zip(vars(default).values(), vars(upstream).values(), strict=True))
    with pytest.raises(ValueError, match=r"unknown quirks preset 'fork'; choose one of \['correct"):
        find_quirks("fork")
    with pytest.raises(ValueError, match="logits_to_hands is 'left'; possible"):
        Quirks(logits_to_hands="left")


def test_nan_predictions_show_unless_as_upstream():
    rotations = torch.full((2, 6), float("nan"))
    assert axis_angle_from_6d(rotations).isnan().all()
    assert not axis_angle_from_6d(rotations, quirks=UPSTREAM).any()
    out = torch.full((1, 2, 3), float("nan"), requires_grad=True)
    target, valid = torch.zeros(1, 2, 3), torch.ones(1, 2, 1)
    assert coord_loss(out, target, valid).isnan().all()
    loss = coord_loss(out, target, valid, quirks=UPSTREAM)
    loss.sum().backward()
    assert not loss.any() and not out.grad.any()


def test_rotations_go_there_and_back():
    """The matrix of the axis-angle vector, by its exponential, is the matrix of the 6 numbers."""
    rotation_6d = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)).double()
    matrix = matrix_from_6d(rotation_6d)
    identity = torch.eye(3, dtype=torch.float64).expand(500, 3, 3)
    torch.testing.assert_close(matrix @ matrix.mT, identity, rtol=0, atol=1e-12)
    x, y, z = axis_angle_from_matrix(matrix).unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
    torch.testing.assert_close(torch.linalg.matrix_exp(skew), matrix, rtol=0, atol=1e-10)


def test_gradient_at_the_identity_is_the_limit():
    identity = torch.tensor([[1.0, 0, 0, 1, 0, 0]], dtype=torch.float64)
    near = identity + torch.tensor([[0, 0, 0, 0, 0, 1e-6]], dtype=torch.float64)
    gradients = []
    for value in (identity, near):
        value.requires_grad_()
        (gradient,) = torch.autograd.grad(axis_angle_from_6d(value)[0, 0], value)
        gradients.append(gradient)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-5)
    assert gradients[0][0, 5] == pytest.approx(1)


def test_map_of_another_size_or_kind_is_refused(build_tiny, tiny_images):
    with pytest.raises(ValueError, match=r"\(4, 6, 1, 2\), expected \(B, 6, 2, 2\)"):
        build_tiny()(tiny_images[:, :, :32])
    other_channels = EANet(nn.Conv2d(3, 7, 32, stride=32), backbone_channels=6, grid=2, width=8)
    with pytest.raises(ValueError, match="1x1 convolution behind the backbone"):
        other_channels(tiny_images)
    listed = build_tiny()
    listed.backbone = nn.MaxPool2d(32, return_indices=True)
    with pytest.raises(ValueError, match="tuple"):
        listed(tiny_images)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gesture_fusion": "both"}, "gesture_fusion is 'both'; possible"),
        ({"num_heads": 3}, "3 heads do not divide width 8"),
        ({"grid": 1}, "at least 2 cells"),
        ({"gesture_fusion": "logits", "num_sub": 7}, "max_classes is 6"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(build_tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        build_tiny(**changes)


def test_rotations_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"expected rotations \(N, 6\), not \(2, 90\)"):
        axis_angle_from_6d(torch.zeros(2, 90))
