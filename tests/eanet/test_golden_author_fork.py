"""The author's fork with gesture logits against its reference arrays (828 tensors)."""

import json

import golden_recipe
import numpy as np
import pytest
import torch
from golden_runs import NETWORK_OUTPUTS, GoldenNetwork

from eanet import UPSTREAM


@pytest.fixture(scope="module")
def golden(golden_folder):
    with np.load(golden_folder / "golden_author_fork_public.npz", allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def network(golden):
    return GoldenNetwork(
        layout="author_fork",
        salt=str(golden["weight_salt"]),
        gesture_fusion="logits",
        quirks=UPSTREAM,
    )


@pytest.fixture(scope="module")
def run(golden, network):
    image = golden_recipe.image(str(golden["image_seed_text"]), 2)
    return network.run(image, dtype=torch.float64)


def test_names_shapes_and_order_are_those_of_a_snapshot(golden, golden_folder, network):
    stored = (golden_folder / "state_dict_author_fork.json").read_text()
    listed = json.loads(stored)["tensors"]
    assert list(network.snapshot_rows().items()) == list(listed.items())
    tensors = network.model.state_dict().values()
    np.testing.assert_allclose(
        [value.double().square().sum() for value in tensors], golden["weight_sumsq"], rtol=1e-12
    )


@pytest.mark.parametrize("name", [*NETWORK_OUTPUTS, "main_logits", "sub_logits"])
def test_float64_output(golden, run, name):
    np.testing.assert_allclose(run.output[name], golden[name], rtol=0, atol=1e-9)


def test_float64_features_and_gradients(golden, run):
    np.testing.assert_allclose(
        run.output["feat"].mean(axis=(0, 2, 3)), golden["feat.channel_mean"], rtol=0, atol=1e-9
    )
    assert run.loss == pytest.approx(golden["eval_loss"], abs=1e-9)
    expected = dict(zip(golden["param_names"].tolist(), golden["grad_norm"], strict=True))
    assert list(run.grad_norm) == list(expected)
    for name, norm in expected.items():
        assert run.grad_norm[name] == pytest.approx(norm, rel=1e-7, abs=1e-6), name


def test_one_fusion_alone(golden, network, golden_functions):
    case = golden_functions["case"]
    joints, logits = (
        torch.from_numpy(golden_recipe.gen(f"fork:{case}:{tag}").standard_normal(shape))
        for tag, shape in (("a", (2, 21, 512)), ("b", (2, 54)))
    )
    fusion = network.model.double().eval().rotation_net.gesture_fusion.main
    with torch.no_grad():
        fused = fusion(joints.float().double(), logits.float().double())
    network.model.float()
    np.testing.assert_allclose(
        fused[..., ::16].numpy(), golden["unit.main_cross_scalar"], rtol=0, atol=1e-9
    )
