"""EANet around our backbones: losses, predictions, what fits and what is refused."""

import json

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from adapters.eanet.backbone_map import BackboneMap, unit_image
from adapters.eanet.dataset import EanetDataset
from adapters.eanet.mano import mano_hands
from adapters.eanet.objective import placed_hands, training_targets
from adapters.eanet.target import PRESETS, TARGET, build_eanet
from adapters.pose.model import PoseModel, check_prediction
from adapters.pose.prediction import predict_split
from adapters.pose.training import build_pose_runner
from adapters.swap.swap import build_swapped
from adapters.targets import SwapError
from eanet import CORRECT, UPSTREAM
from eanet.key_maps import their_names
from eanet.losses import training_loss
from eanet.resnet import ResNet50Map
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.synthetic.build import write_synthetic

SIZE_PX = 64
TINY = {**PRESETS["tiny"], "width": 32}


@pytest.fixture(scope="module")
def hands():
    return {side: load_hand_model(side, "open") for side in ("right", "left")}


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> HandIndex:
    root = tmp_path_factory.mktemp("hands")
    write_synthetic(
        root,
        images_per_split={"train": 24, "val": 8},
        size_px=SIZE_PX,
        subjects={"train": 2, "val": 1},
        workers=0,
        progress=False,
    )
    return HandIndex.open(build_interhand_index(root, progress=False))


@pytest.fixture(scope="module")
def dataset(index, hands) -> EanetDataset:
    return TARGET.build_dataset(
        index,
        index.select(split="train"),
        None,
        SIZE_PX,
        hand_models=hands,
        augmentation=None,
        seed=0,
        announce=None,
    )


@pytest.fixture
def batch(dataset):
    """Hands of both sides."""
    return default_collate([dataset[i] for i in range(6)])


@pytest.fixture
def backbone():
    return build_backbone("hrnet_w16_tiny", size_px=SIZE_PX)


def tiny_model(backbone, hands, **options):
    return build_eanet(backbone, hand_models=hands, **{**TINY, **options})


def swap(network, hands, **options):
    options = {**TINY, **options}
    return build_swapped(TARGET, network, backbone_name="t", seed=0, hand_models=hands, **options)


def with_heads(backbone) -> GestureNetwork:
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=3, num_fine=4, hidden=8)
    return GestureNetwork(backbone, heads)


# --- losses -----------------------------------------------------------------------------------


def test_the_losses_of_the_upstream_preset_are_the_published_ones(backbone, hands, batch):
    model = tiny_model(backbone, hands, quirks="upstream", reduction="mean", cell_origin="edge")
    model.eval()
    found = model(batch, mode="loss")
    output = model(batch, mode="tensor")
    right, left = placed_hands(output, model.hands)
    expected = training_loss(
        output, right, left, training_targets(batch, cell_offset=0.0), quirks=UPSTREAM
    )
    assert list(found) == [f"{name}_loss" for name in expected]
    for name, value in expected.items():
        torch.testing.assert_close(found[f"{name}_loss"], value, rtol=0, atol=0)


def test_valid_losses_do_not_depend_on_what_is_unknown(backbone, hands, batch):
    """Samples of which nothing is known change the plain mean, not the mean over what is known."""
    masks = [name for name in batch._fields if name.endswith(("_valid", "_trunc"))]
    nothing = {name: torch.zeros_like(getattr(batch, name)) for name in masks}
    both = type(batch)(
        *(torch.cat(pair) for pair in zip(batch, batch._replace(**nothing), strict=True))
    )
    for reduction, factor in (("valid", 1.0), ("mean", 0.5)):
        model = tiny_model(backbone, hands, reduction=reduction).eval()
        alone, diluted = model(batch), model(both)
        for name in alone:
            torch.testing.assert_close(diluted[name], factor * alone[name], rtol=1e-4, atol=1e-6)


def test_valid_losses_are_means_over_the_known_entries(backbone, hands, batch):
    model = tiny_model(backbone, hands).eval()
    output = model(batch, mode="tensor")
    known = batch.joint_trunc[..., 0] > 0
    cells = torch.cat([output.rjoint_img, output.ljoint_img], dim=1) + 0.5
    expected = (cells - batch.joint_img).abs()[known].mean()
    torch.testing.assert_close(model(batch)["joint_img_loss"], expected)
    assert model(batch)["rel_trans_loss"] == 0  # single hands: nothing known


def test_a_missing_fit_gives_no_loss_and_no_gradient(backbone, hands, batch):
    model = tiny_model(backbone, hands)
    fitless = {
        name: torch.zeros_like(getattr(batch, name))
        for name in batch._fields
        if name.startswith("mano_")
    }
    losses = model(batch._replace(**fitless))
    for name in ("mano_pose", "mano_shape", "mano_joint_cam", "mano_joint_img"):
        assert losses[f"{name}_loss"] == 0
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_step_lowers_the_loss_and_moves_the_backbone(backbone, hands, batch):
    torch.manual_seed(0)
    model = tiny_model(backbone, hands).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    totals = []
    for _ in range(12):
        optimizer.zero_grad()
        total = sum(model(batch).values())
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.7 * totals[0]
    without = [name for name, p in model.backbone.net.named_parameters() if p.grad is None]
    assert without == []


def showing(batch, side: int):
    return batch._replace(hand=torch.full_like(batch.hand, side))


def test_predictions_are_of_the_hand_that_is_shown(backbone, hands, batch):
    model = tiny_model(backbone, hands).eval()
    assert isinstance(model, PoseModel)
    with torch.no_grad():
        prediction = model(batch, mode="predict")
        sides = [model(showing(batch, side), mode="predict") for side in (0, 1)]
    check_prediction(prediction, 6)
    assert set(batch.hand.tolist()) == {0, 1}
    for i, side in enumerate(batch.hand.tolist()):
        for value, of_side in zip(prediction, sides[side], strict=True):
            torch.testing.assert_close(value[i], of_side[i], rtol=0, atol=0)
    assert (prediction.joints_rel_mm[:, 0] == 0).all()


def test_predicted_numbers_come_from_the_network_in_mm_and_px(backbone, hands, batch):
    model = tiny_model(backbone, hands).eval()
    with torch.no_grad():
        prediction = model(showing(batch, 1), mode="predict")
        output = model(batch, mode="tensor")
    pose = torch.cat([output.lroot_pose_aa, output.lpose_aa], dim=1)
    vertices = hands["left"](pose, output.lshape, torch.zeros(6, 3)).vertices_m
    joints = model.hands.joints_m(vertices)
    expected = 1000 * (joints - joints[:, :1])
    torch.testing.assert_close(prediction.joints_rel_mm, expected, rtol=0, atol=1e-3)
    expected = 1000 * (vertices - joints[:, :1])
    torch.testing.assert_close(prediction.vertices_rel_mm, expected, rtol=0, atol=1e-3)
    expected = (output.ljoint_img[..., :2] + 0.5) * 32
    torch.testing.assert_close(prediction.keypoints_px, expected)
    expected = (output.ljoint_img[..., 2] - output.ljoint_img[:, :1, 2]) / 8 * 300
    torch.testing.assert_close(prediction.joint_depth_rel_mm, expected, rtol=0, atol=1e-3)


def test_targets_fed_back_are_predictions_without_error(dataset, hands, batch):
    """Decoding the targets gives the fit's joints and the annotated pixels back."""
    mano = mano_hands(hands)
    for i, side in enumerate(batch.hand.tolist()):
        pose = batch.mano_pose[i : i + 1, 48 * side : 48 * side + 48]
        shape = batch.mano_shape[i : i + 1, 10 * side : 10 * side + 10]
        joints = mano.joints_m(mano.vertices_m(side, pose, shape))[0]
        expected = batch.mano_joint_cam[i, 21 * side : 21 * side + 21]
        torch.testing.assert_close(joints - joints[0], expected, rtol=0, atol=1e-5)
    assert (batch.mano_param_valid.sum(1) == 48).all()


def test_crops_of_two_hands_are_not_predicted_unasked(backbone, hands, batch):
    model = tiny_model(backbone, hands).eval()
    with pytest.raises(ValueError, match="crops of two hands"):
        model(batch._replace(hand=torch.full((6,), -1)), mode="predict")


# --- what fits and what does not --------------------------------------------------------------


def test_every_tensor_of_the_swap_is_accounted_for(backbone, hands):
    model, ledger = swap(backbone, hands)
    assert ledger.is_complete and not ledger.projections
    assert model.backbone is backbone
    assert not [name for name in model.state_dict() if "hands" in name]  # no MANO in checkpoints


def test_the_hands_move_with_the_model(backbone, hands):
    model = tiny_model(backbone, hands).to("meta")
    buffers = [buffer for hand in model.hands._hands for buffer in hand.buffers()]
    assert {buffer.device.type for buffer in buffers} == {"meta"}
    assert model.hands.regressor21.device.type == "meta"


def test_other_channels_are_refused_unless_a_projection_is_declared(backbone, hands):
    with pytest.raises(SwapError, match=r"eanet reads 2048 channels.*has 512.*allow_projection"):
        swap(backbone, hands, backbone_channels=2048)
    _, ledger = swap(backbone, hands, backbone_channels=2048, allow_projection=True)
    name = "network.backbone.backbone_projection"
    assert ledger.projections == {name: "1x1 projection, 512 to 2048 channels"}
    assert "1x1 projection, 512 to 2048" in ledger.table()


def test_another_stride_or_size_is_refused(hands):
    vit = build_backbone("test_vit", size_px=160)
    with pytest.raises(SwapError, match="eanet reads a map at stride 32"):
        tiny_model(vit, hands)
    with pytest.raises(SwapError, match="crops of 256 px only.*built for 160 px only"):
        tiny_model(vit, hands, grid=8)


def test_crops_of_another_size_than_the_grid_are_refused(backbone, hands, batch):
    model = tiny_model(backbone, hands, grid=3)
    with pytest.raises(ValueError, match=r"crops are 64 x 64 px.*size_px=96 or grid=2"):
        model(batch)


@pytest.mark.parametrize("quirks", ["correct", "upstream"])
def test_gesture_logits_are_those_of_the_heads_that_came_along(backbone, hands, batch, quirks):
    network = with_heads(backbone)
    model, ledger = swap(network, hands, gesture_logits="logits", quirks=quirks)
    model.eval()
    assert {"heads.coarse.layers.0.weight", "heads.fine.layers.3.bias"} <= set(
        ledger.backbone.matched
    )
    output = model(batch, mode="tensor")
    slot: BackboneMap = model.network.backbone
    expected = network((unit_image(batch.image) - slot.mean) / slot.std)
    torch.testing.assert_close(output.main_logits, expected.coarse_logits)
    torch.testing.assert_close(output.sub_logits, expected.fine_logits)
    sum(model(batch).values()).backward()
    assert network.heads.fine.layers[0].weight.grad is not None
    without = tiny_model(build_backbone("hrnet_w16_tiny", size_px=SIZE_PX), hands)
    assert without(batch, mode="tensor").main_logits is None


def test_logits_need_heads_on_the_map_that_is_read(backbone, hands):
    with pytest.raises(SwapError, match="load_backbone"):
        tiny_model(backbone, hands, gesture_logits="logits")
    with pytest.raises(SwapError, match="projected"):
        tiny_model(
            with_heads(backbone),
            hands,
            gesture_logits="logits",
            backbone_channels=64,
            allow_projection=True,
        )
    assert TARGET.needs_for(gesture_logits="logits").gesture_logits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "sum"}, "reduction is 'sum'; possible: valid, mean"),
        ({"cell_origin": "middle"}, "cell_origin is 'middle'; possible: edge, centre"),
        ({"input_normalisation": "imagenet"}, "possible: backbone, unit"),
        ({"gesture_logits": "both"}, "gesture_logits is 'both'; possible: none, logits"),
        ({"quirks": "all"}, "unknown quirks preset 'all'"),
    ],
)
def test_impossible_options_are_refused(backbone, hands, options, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(backbone, hands, **options)


def test_wrong_hands_are_refused(backbone, hands):
    for models, message in [
        ({"right": hands["right"]}, "has no 'left'"),
        ({"right": hands["left"], "left": hands["left"]}, "is a left hand"),
        (
            {**hands, "left": load_hand_model("left", "open", flat_hand_mean=True)},
            "flat_hand_mean=False",
        ),
        (
            {**hands, "left": load_hand_model("left", "open", tip_convention="interhand")},
            "fingertips: smplx, interhand",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            tiny_model(backbone, models)


def test_unknown_modes_and_images_are_refused(backbone, hands, batch):
    model = tiny_model(backbone, hands)
    with pytest.raises(ValueError, match="unknown mode 'train'"):
        model(batch, mode="train")
    with pytest.raises(TypeError, match="uint8 in 0..255 or float in 0..1, got torch.int64"):
        model(batch._replace(image=batch.image.long()))


# --- inputs and published layout ----------------------------------------------------------------


def test_each_backbone_gets_the_input_it_was_trained_with(backbone, hands, batch):
    own = tiny_model(backbone, hands).network.backbone
    unit = tiny_model(backbone, hands, input_normalisation="unit").network.backbone
    np.testing.assert_allclose(own.mean.flatten(), backbone.input_spec.mean, rtol=1e-6)
    assert unit.mean.abs().max() == 0 and (unit.std == 1).all()
    as_bytes = own(unit_image(batch.image))
    torch.testing.assert_close(own(unit_image(batch.image.float() / 255)), as_bytes)
    assert not torch.allclose(unit(unit_image(batch.image)), as_bytes, atol=1e-3)


def test_a_resnet_has_the_names_that_snapshots_have():
    ours = build_backbone("resnet50").net.state_dict()
    theirs = ResNet50Map().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_the_full_model_has_every_published_key_and_shape(shared_dir, hands):
    with torch.device("meta"):
        network = GestureNetwork(
            build_backbone("resnet50", seed=None),
            build_gesture_heads(2048, num_coarse=54, num_fine=70),
        )
    for layout, logits in (("upstream", "none"), ("author_fork", "logits")):
        suffix = "" if layout == "upstream" else "_author_fork"
        published = json.loads((shared_dir / "eanet" / f"state_dict{suffix}.json").read_text())
        with torch.device("meta"):
            model = _on_meta(network, hands, logits)
        state = {_short(name): value for name, value in model.network.state_dict().items()}
        names = their_names(state, layout)
        found = {f"module.{names[name]}": list(value.shape) for name, value in state.items()}
        assert found == {name: value[0] for name, value in published["tensors"].items()}


def _short(name: str) -> str:
    """Name of a tensor in EANet itself, without the adapter's modules."""
    for ours, plain in (
        ("backbone.backbone.net.", "backbone."),
        ("gesture_heads.heads.coarse.layers.", "gesture_heads.main."),
        ("gesture_heads.heads.fine.layers.", "gesture_heads.sub."),
    ):
        if name.startswith(ours):
            return plain + name.removeprefix(ours)
    return name


def _on_meta(network, hands, logits):
    """Full size without its 137 million numbers; MANO is not what is asked about."""
    import adapters.eanet.target as target

    original = target.mano_hands
    target.mano_hands = lambda hand_models: torch.nn.Identity()
    try:
        return build_eanet(network, hand_models=hands, gesture_logits=logits, **PRESETS["upstream"])
    finally:
        target.mano_hands = original


# --- a run ----------------------------------------------------------------------------------------


def test_it_trains_in_the_common_runner_and_is_predicted_from(index, tmp_path):
    run = build_pose_runner(
        out=tmp_path / "run",
        target="eanet",
        data={"index": str(index.path), "batch_size": 8, "workers": 0},
        backbone={"arch": "hrnet_w16_tiny", "size_px": SIZE_PX},
        model={"size": "tiny", "width": 32},
        hand_model={"path": "open", "tip_convention": "smplx"},
        optimizer={"lr": 2e-3},
        schedule={"iterations": 3, "warmup_iterations": 1},
        training={"log_every": 1, "threads": 1},
        device="cpu",
        progress=False,
    )
    run.runner.train()
    ledger = json.loads((tmp_path / "run" / "ledger.json").read_text())
    seen = ledger["first_step"]
    assert seen["with_gradient"] == seen["backbone_parameters"] > 0
    assert ledger["fingerprints"]["after_first_step"] != ledger["fingerprints"]["after_swap"]
    dataset = TARGET.build_dataset(
        index,
        index.select(split="val"),
        None,
        SIZE_PX,
        hand_models=run.hand_models,
        augmentation=None,
        seed=0,
        announce=None,
    )
    predictions = predict_split(run.runner.model, dataset, system="eanet", progress=False)
    assert predictions.box_source == "joints"
    assert predictions.joints_rel_mm.shape == (len(dataset), 21, 3)
    np.testing.assert_array_equal(predictions.hand, index.values("hand", dataset.rows))


def test_the_upstream_preset_reaches_the_data(index, hands):
    arguments = (index, index.select(split="val"), None, SIZE_PX)
    common = {"hand_models": hands, "augmentation": None, "seed": 0, "announce": None}
    for size, expected in (("full", CORRECT), ("upstream", UPSTREAM)):
        dataset = TARGET.dataset_for(**TARGET.options(size))(*arguments, **common)
        assert dataset.quirks == expected
