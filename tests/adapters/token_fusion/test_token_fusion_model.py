"""The network and the model around it: shapes, arms of initialisation, errors, exactness."""

import pytest
import torch

from adapters.pose.model import PoseModel, check_prediction
from adapters.swap.swap import build_swapped
from adapters.targets import find_target
from adapters.token_fusion import TARGET
from gesture_pretrain.hand.rotation import matrix_from_axis_angle
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.frozen_layers import freeze
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.training.optimizer import build_optimizer
from gesture_pretrain.weights.ledger import fingerprint

LOSSES = {
    "pose_loss",
    "shape_loss",
    "joints_3d_loss",
    "mano_joints_3d_loss",
    "joints_25d_loss",
    "joints_2d_loss",
    "mano_joints_2d_loss",
    "structure_loss",
}


def total(losses: dict) -> torch.Tensor:
    return sum(value for name, value in losses.items() if "loss" in name)


def test_it_is_found_by_name_and_keeps_the_protocol(build):
    assert find_target("token_fusion") is TARGET
    assert isinstance(build(), PoseModel)


def test_output_shapes(build, batch):
    output = build(camera_head=True).eval()(batch, mode="tensor")
    shapes = {name: tuple(value.shape) for name, value in output._asdict().items()}
    assert shapes == {
        "joints_cells": (8, 21, 3),
        "pose_6d": (8, 16, 6),
        "shape": (8, 10),
        "weak_camera": (8, 3),
        "coarse_logits": (8, 54),
        "fine_logits": (8, 70),
    }


def test_losses_and_prediction(build, batch):
    model = build()
    losses = model(batch, mode="loss")
    assert set(losses) == LOSSES | {"mpjpe_mm", "keypoint_error_px", "gate_coarse", "gate_fine"}
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
    with torch.no_grad():
        check_prediction(model(batch, mode="predict"), 8)


def test_predicted_parameters_pose_the_predicted_mesh(build, batch, hand_models):
    """Fed to smplx, the pose and shape of a prediction give its mesh."""
    with torch.no_grad():
        model = build().eval()
        model.network.mano_heads.pose[-1].weight.normal_(std=0.3)
        found = model(batch, mode="predict")
        mesh = hand_models["right"](found.mano_pose, found.mano_shape, torch.zeros(8, 3))
    vertices = 1000 * (mesh.vertices_m - mesh.joints_m[:, :1])
    # float32 through 6D, axis angle (1e-6 rad at 200 mm) and skinning
    torch.testing.assert_close(found.vertices_rel_mm, vertices, atol=2e-3, rtol=0)


def test_keypoints_are_the_25d_joints_in_pixels(build, batch):
    model = build().eval()
    with torch.no_grad():
        output, found = model(batch, mode="tensor"), model(batch, mode="predict")
    # 8 cells of 12 px
    pixels = (output.joints_cells[..., :2] + 0.5) * 12
    torch.testing.assert_close(found.keypoints_px, pixels)
    depth = (output.joints_cells[..., 2] + 0.5) / 8 * 400 - 200
    torch.testing.assert_close(found.joint_depth_rel_mm, depth)


def test_gates_are_logged_and_embeddings_are_not_decayed(build, batch):
    model = build(gate=0.25)
    assert model.card_values() == {"gate_coarse": 0.25, "gate_fine": 0.25}
    assert {"gate_coarse", "gate_fine"} <= model(batch, mode="loss").keys()
    assert build(guidance="none").card_values() == {}
    positions = {"network.joint_tokens.position", "network.feature_tokens.position"}
    assert positions < model.no_weight_decay() < dict(model.named_parameters()).keys()


def test_detached_guidance_leaves_the_gesture_heads_and_what_they_read_alone(build, batch):
    model = build(guidance_detach=True).train()
    heads = model.network.gesture_heads
    assert not any(module.training for module in heads.modules())
    total(model(batch, mode="loss")).backward()
    assert all(p.grad is None and not p.requires_grad for p in heads.parameters())
    assert model.network.guidance.tokens["fine"].gate.grad is not None


@pytest.mark.parametrize("moves", [True, False])
def test_the_gradient_of_a_token_moves_its_place_only_where_asked(build, moves):
    tokens = build(coordinate_gradient=moves).network.joint_tokens
    cells = torch.full((1, 21, 3), 2.3, requires_grad=True)
    tokens(torch.randn(1, 64, 8, 8), cells).square().sum().backward()
    assert (cells.grad is not None and cells.grad.abs().max() > 0) == moves


@pytest.mark.parametrize("size_px", [64, 128])
def test_another_crop_size_goes_through_the_same_network(build, size_px):
    output = build().eval().network(torch.randn(1, 3, size_px, size_px))
    assert output.joints_cells.shape == (1, 21, 3)


def test_every_parameter_gets_a_gradient(build, batch):
    """One sample without intrinsics, for the weak camera; dropout would hide some of the heads."""
    model = build(camera_head=True, dropout=0.0)
    has_camera = torch.tensor([False] + [True] * 7)
    total(model(batch._replace(has_camera=has_camera), mode="loss")).backward()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert silent == []


def test_levels_can_be_named(build, batch):
    model = build(levels=("stride8", "high"))
    assert (model.network.low, model.network.high) == ("stride8", "final")
    with pytest.raises(ValueError, match="has no level 'stride5'; possible: high, low, stride4"):
        build(levels=("stride5", "high"))


def test_the_gesture_network_s_own_heads_guide(hand_models):
    backbone = build_backbone("test_resnet", size_px=64)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=5, num_fine=7, hidden=8)
    model = TARGET.build_model(
        GestureNetwork(backbone, heads), hand_models=hand_models, **TARGET.options("tiny")
    )
    assert model.backbone is backbone
    assert model.network.gesture_heads["coarse"] is heads.coarse
    assert model.network.gesture_heads["fine"] is heads.fine


def test_a_bare_backbone_gets_fresh_heads_where_they_guide(hand_models):
    backbone = build_backbone("hrnet_w16_tiny", size_px=96)
    options = TARGET.options("tiny")
    model = TARGET.build_model(backbone, hand_models=hand_models, num_coarse=3, **options)
    assert model.backbone is backbone
    assert model.network.gesture_heads["coarse"].num_classes == 3
    bare = TARGET.build_model(backbone, hand_models=hand_models, guidance="none", **options)
    assert len(bare.network.gesture_heads) == 0


def test_a_frozen_backbone_stays_as_it_is(build, batch):
    model = build()
    freeze(model.backbone)
    model.train()
    before = fingerprint(model.backbone.state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    total(model(batch, mode="loss")).backward()
    optimizer.step()
    assert not any(p.requires_grad for p in model.backbone.parameters())
    assert not model.backbone.training and model.network.fusion.training
    assert fingerprint(model.backbone.state_dict()) == before


def test_same_seed_same_weights_and_the_global_generator_is_left_alone(build):
    state = torch.random.get_rng_state()
    first, second, other = build(seed=3), build(seed=3), build(seed=4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert fingerprint(first.state_dict()) == fingerprint(second.state_dict())
    assert fingerprint(first.state_dict()) != fingerprint(other.state_dict())


def test_training_twice_from_one_seed_gives_the_same_weights(build, batch):
    prints = []
    for _ in range(2):
        model = build(seed=5)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        torch.manual_seed(5)  # dropout of the gesture heads
        for _ in range(3):
            optimizer.zero_grad()
            total(model(batch, mode="loss")).backward()
            optimizer.step()
        prints.append(fingerprint(model.state_dict()))
    assert prints[0] == prints[1]


def test_left_hands_are_mirrored_in(dataset, hand_models):
    sides = [dataset.index.record(row).hand for row in range(8)]
    samples = [dataset[i] for i in range(8)]
    assert {"left", "right"} == set(sides)
    assert [bool(s.mirrored) for s in samples] == [side == "left" for side in sides]
    assert {int(s.hand) for s in samples} == {0}


def test_a_left_hand_is_refused(build, batch):
    with pytest.raises(ValueError, match="mirror_left=True"):
        build()(batch._replace(hand=torch.ones(8, dtype=torch.int64)))


def test_the_model_of_a_left_hand_is_refused(build, hand_models):
    swapped = {"right": hand_models["left"]}
    with pytest.raises(ValueError, match="poses the right hand"):
        TARGET.build_model(build_backbone("test_resnet", size_px=64), hand_models=swapped)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chanels": 3}, "Unknown key model.chanels"),
        ({"weights": {"bones": 1}}, "Unknown key model.weights.bones"),
        ({"width": 30, "num_heads": 4}, "4 heads"),
    ],
)
def test_impossible_options_are_refused(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_unknown_mode_is_refused(build, batch):
    with pytest.raises(ValueError, match="unknown mode 'train'"):
        build()(batch, mode="train")


def test_rotations_begin_at_the_identity(build, batch):
    output = build().eval()(batch, mode="tensor")
    identity = matrix_from_axis_angle(torch.zeros(3))[:, :2].flatten()
    torch.testing.assert_close(output.pose_6d, identity.expand(8, 16, 6), atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("guidance", "matched", "dropped"),
    [
        ("both", {"net", "heads.coarse", "heads.fine"}, set()),
        ("fine", {"net", "heads.fine"}, {"heads.coarse"}),
        ("none", {"net"}, {"heads.coarse", "heads.fine"}),
    ],
)
def test_the_ledger_says_which_heads_came_along(hand_models, guidance, matched, dropped):
    backbone = build_backbone("test_resnet", size_px=64)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=5, num_fine=7, hidden=8)
    _, ledger = build_swapped(
        TARGET,
        GestureNetwork(backbone, heads),
        backbone_name="test",
        seed=0,
        hand_models=hand_models,
        guidance=guidance,
        **TARGET.options("tiny"),
    )

    def parts(names):
        return {".".join(name.split(".")[: 1 + name.startswith("heads")]) for name in names}

    assert parts(ledger.backbone.matched) == matched
    assert parts(ledger.backbone.dropped_by_name) == dropped
    assert not [entry for entry in ledger.own.entries if "gesture_heads" in entry.name]


def test_guidance_asks_for_gesture_logits():
    assert TARGET.needs_for(guidance="coarse", cells=8).gesture_logits
    assert not TARGET.needs_for(guidance="none").gesture_logits


def test_the_backbone_can_have_its_own_learning_rate(build):
    model = build()
    groups = build_optimizer(model, lr=1e-3, lr_scales={"network.backbone.": 0.1}).param_groups
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    of_backbone = {id(p) for p in model.backbone.parameters()}
    assert all(scale[i] == (0.1 if i in of_backbone else 1.0) for i in scale)
    assert of_backbone < set(scale)
