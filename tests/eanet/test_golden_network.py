"""The whole network and its training loss against reference arrays of upstream.

792 tensors, 136.7 M parameters. The corrected options are in force: none of them may change these
numbers.

Float64 accepts 1e-9 for outputs and 1e-7 relative for gradient norms, float32 what upstream's own
float32 differs from its float64, times 3 to 20 (the reference's table of tolerances).
"""

import json

import golden_recipe
import golden_training_loss
import numpy as np
import pytest
import torch
from golden_runs import (
    AXIS_ANGLES,
    COORDINATES,
    OUTPUTS,
    POSES_6D,
    SHAPE_AND_CAMERA,
    GoldenNetwork,
    fingerprints,
)

from eanet.losses import FACTORS

FEATURES = {"feat": "feat", "rhand_feat": "rhand_feat", "lhand_feat": "lhand_feat"}
ACCEPT_FLOAT32 = {
    **dict.fromkeys(COORDINATES, 3e-5),
    **dict.fromkeys(POSES_6D, 5e-5),
    **dict.fromkeys(SHAPE_AND_CAMERA, 1e-5),
    **dict.fromkeys(AXIS_ANGLES, 3e-4),
}
ACCEPT_FLOAT32_TRAINING = {
    **dict.fromkeys(COORDINATES, 5e-3),
    **dict.fromkeys((*POSES_6D, *AXIS_ANGLES), 1.5e-2),
    **dict.fromkeys(SHAPE_AND_CAMERA, 5e-3),
}
# the reference's taps (upstream's module names) and where the same value appears here
TAPS = {
    **{f"hand_backbone.{m}": f"backbone.{m}" for m in ("maxpool", "layer1", "layer2", "layer3")},
    "hand_position_net.EABlock.conv_r": "position_net.extract_adapt.right_stem",
    "hand_position_net.EABlock.conv_l": "position_net.extract_adapt.left_stem",
    **{
        f"hand_position_net.EABlock.Extract{theirs}": f"position_net.extract_adapt.extract{ours}"
        for theirs, ours in {
            ".FC": ".join",
            ".SA_T.0": ".self_blocks.0",
            ".SA_T.3": ".self_blocks.3",
            ".FC2": ".bridge",
            ".CA_T.blocks.0": ".cross.blocks.0",
            ".CA_T": ".cross",
            "": "",
        }.items()
    },
    "hand_position_net.EABlock.Adapt_r": "position_net.extract_adapt.adapt_right",
    "hand_position_net.EABlock.Adapt_l": "position_net.extract_adapt.adapt_left",
    "hand_position_net.conv_r2": "position_net.right_heatmap",
    "hand_position_net.conv_l2": "position_net.left_heatmap",
    "hand_rotation_net.rconv": "rotation_net.right_reduce",
    "hand_rotation_net.lconv": "rotation_net.left_reduce",
    "hand_rotation_net.Transformer_r.blocks.0": "rotation_net.right_transformer.blocks.0",
    "hand_rotation_net.Transformer_r": "rotation_net.right_transformer",
    "hand_rotation_net.Transformer_l": "rotation_net.left_transformer",
}


@pytest.fixture(scope="module")
def golden(golden_folder):
    with np.load(golden_folder / "golden_public.npz", allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def network(golden):
    return GoldenNetwork(layout="upstream", salt=str(golden["weight_salt"]))


@pytest.fixture(scope="module")
def eval_image(golden):
    return golden_recipe.image(str(golden["image_seed_text"]), 2)


@pytest.fixture(scope="module")
def train_image(golden):
    return golden_recipe.image(f"{golden['image_seed_text']}:train", 4)


@pytest.fixture(scope="module")
def eval64(network, eval_image):
    return network.run(eval_image, dtype=torch.float64, taps=tuple(TAPS.values()))


@pytest.fixture(scope="module")
def eval32(network, eval_image):
    return network.run(eval_image, dtype=torch.float32)


@pytest.fixture(scope="module")
def train64(network, train_image):
    return network.run(train_image, dtype=torch.float64, training=True)


def test_recipe_gives_the_reference_weights_and_images(golden, network, eval_image, train_image):
    tensors = {network.names[k]: v.double() for k, v in network.model.state_dict().items()}
    assert list(tensors) == [str(name) for name in golden["weight_names"]]
    np.testing.assert_allclose([v.sum() for v in tensors.values()], golden["weight_sum"], atol=1e-9)
    np.testing.assert_allclose(
        [v.square().sum() for v in tensors.values()], golden["weight_sumsq"], rtol=1e-12
    )
    np.testing.assert_array_equal(eval_image.flatten()[:8], golden["image_first8"])
    assert eval_image.double().sum().item() == pytest.approx(golden["image_sum"], abs=1e-6)
    assert train_image.double().sum().item() == pytest.approx(golden["train_image_sum"], abs=1e-6)


def test_names_shapes_and_order_are_those_of_a_snapshot(golden_folder, network):
    listed = json.loads((golden_folder / "state_dict.json").read_text())["tensors"]
    assert list(network.snapshot_rows().items()) == list(listed.items())
    in_order = [f"module.{network.names[k]}" for k, _ in network.model.named_parameters()]
    assert in_order == [name for name, row in listed.items() if row[2] == "parameter"]


@pytest.mark.parametrize("name", OUTPUTS)
def test_float64_output(golden, eval64, name):
    np.testing.assert_allclose(eval64.output[name], golden[name], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", FEATURES)
def test_float64_features(golden, eval64, name):
    for ending, value in fingerprints(eval64.output[name]).items():
        np.testing.assert_allclose(
            value, golden[f"{name}.{ending}"], rtol=0, atol=1e-9, err_msg=ending
        )


def test_float64_intermediate_values(golden, eval64):
    assert {key.removeprefix("tap.") for key in golden if key.startswith("tap.")} == set(TAPS)
    for theirs, ours in TAPS.items():
        shape, summary = eval64.taps[ours]
        assert shape == tuple(golden[f"tapshape.{theirs}"]), theirs
        np.testing.assert_allclose(
            summary, golden[f"tap.{theirs}"], rtol=0, atol=1e-9, err_msg=theirs
        )


def test_float64_gradients(golden, eval64):
    assert eval64.loss == pytest.approx(golden["eval_loss"], abs=1e-9)
    _check_gradients(golden, eval64, "grad_norm", relative=1e-7)
    named = [key for key in golden if key.startswith("grad.")]
    assert len(named) == 43
    for key in named:
        head = eval64.grad_head[key.removeprefix("grad.")]
        scale = np.abs(golden[key]).max()
        np.testing.assert_allclose(head, golden[key], rtol=0, atol=1e-7 * scale, err_msg=key)


def _check_gradients(golden, run, key, *, relative):
    expected = dict(zip(golden["param_names"].tolist(), golden[key], strict=True))
    assert list(run.grad_norm) == list(expected)
    for name, norm in expected.items():
        if norm > 1e-6:  # below is noise: biases in front of a batch norm
            assert run.grad_norm[name] == pytest.approx(norm, rel=relative), name
        else:
            assert run.grad_norm[name] < 1e-6, name


@pytest.mark.parametrize("name", OUTPUTS)
def test_float32_output(golden, eval32, name):
    difference = np.abs(eval32.output[name] - golden[name]).max()
    assert difference < ACCEPT_FLOAT32[name]
    from_float32 = np.abs(eval32.output[name] - golden[f"f32.{name}"]).max()
    assert from_float32 < 2 * ACCEPT_FLOAT32[name]


@pytest.mark.parametrize("name", FEATURES)
def test_float32_features(golden, eval32, name):
    accept = {"slice": 1e-5 if name == "feat" else 3e-5, "sign_projection": 5e-3}
    for ending, value in fingerprints(eval32.output[name]).items():
        difference = np.abs(value - golden[f"{name}.{ending}"]).max()
        assert difference < accept.get(ending, 3e-6), ending


def test_float32_gradients(golden, eval32):
    assert eval32.loss == pytest.approx(golden["eval_loss"], rel=1e-6)
    _check_gradients(golden, eval32, "grad_norm", relative=2e-3)


@pytest.mark.parametrize("name", OUTPUTS)
def test_float64_output_in_training(golden, train64, name):
    np.testing.assert_allclose(train64.output[name], golden[f"train.{name}"], rtol=0, atol=1e-9)


def test_float64_gradients_and_batch_norms_in_training(golden, train64):
    assert train64.loss == pytest.approx(golden["train.loss"], abs=1e-9)
    _check_gradients(golden, train64, "train.grad_norm", relative=1e-7)
    assert list(train64.bn_sum) == golden["bn_names"].tolist()
    np.testing.assert_allclose(
        list(train64.bn_sum.values()), golden["train.bn_sum"], rtol=0, atol=1e-9
    )


@pytest.mark.slow
def test_float32_in_training(golden, network, train_image):
    run = network.run(train_image, dtype=torch.float32, training=True)
    for name in OUTPUTS:
        difference = np.abs(run.output[name] - golden[f"train.{name}"]).max()
        assert difference < ACCEPT_FLOAT32_TRAINING[name], name
    bn_sum = np.array(list(run.bn_sum.values()))
    assert np.abs(bn_sum - golden["train.bn_sum"]).max() < 2e-3
    for name, norm in zip(golden["param_names"], golden["train.grad_norm"], strict=True):
        if norm > 1e-6:
            assert run.grad_norm[str(name)] == pytest.approx(norm, rel=5e-2), name


@pytest.fixture(scope="module")
def loss_image(golden_functions):
    return golden_recipe.image(f"image:{golden_functions['case']}:loss", 4)


@pytest.fixture(scope="module")
def loss_of(golden_functions):
    return golden_training_loss.build_loss(str(golden_functions["case"]))


@pytest.fixture(scope="module")
def loss64(network, loss_image, loss_of):
    return network.run(loss_image, dtype=torch.float64, loss=loss_of)


def _check_training_loss(golden_functions, run, mode, *, terms, total, gradients):
    names = golden_functions["train_loss.term_names"].tolist()
    assert names == list(FACTORS) == list(run.extra)
    expected = golden_functions[f"train_loss.{mode}.terms"]
    np.testing.assert_allclose(list(run.extra.values()), expected, rtol=0, atol=terms)
    assert run.loss == pytest.approx(golden_functions[f"train_loss.{mode}.total"], abs=total)
    norms = {
        "param_names": golden_functions["train_loss.param_names"],
        "norms": golden_functions[f"train_loss.{mode}.grad_norm"],
    }
    _check_gradients(norms, run, "norms", relative=gradients)


def test_float64_training_loss(golden_functions, loss64):
    _check_training_loss(
        golden_functions, loss64, "evalmode", terms=1e-9, total=1e-9, gradients=1e-7
    )


def test_float32_training_loss(golden_functions, network, loss_image, loss_of):
    with torch.no_grad():
        output = network.model.float().eval()(loss_image)
    total, terms = loss_of(output)
    expected = golden_functions["train_loss.evalmode.terms"]
    np.testing.assert_allclose([t.item() for t in terms.values()], expected, rtol=0, atol=3e-6)
    assert total.item() == pytest.approx(golden_functions["train_loss.evalmode.total"], abs=2.4e-5)


@pytest.mark.slow
def test_training_loss_in_training(golden_functions, network, loss_image, loss_of):
    run = network.run(loss_image, dtype=torch.float64, training=True, loss=loss_of)
    _check_training_loss(golden_functions, run, "trainmode", terms=1e-9, total=1e-9, gradients=1e-7)
    run = network.run(loss_image, dtype=torch.float32, training=True, loss=loss_of)
    _check_training_loss(golden_functions, run, "trainmode", terms=5e-4, total=5e-4, gradients=5e-2)
