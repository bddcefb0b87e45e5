"""Swapped against baseline: the same samples, known errors in, known numbers in the table."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from adapters.targets import SwapError
from adapters.transfer import backbone_comparison
from adapters.transfer.backbone_comparison import (
    SampleOrder,
    TrainedArm,
    comparison_arms,
    require_same_samples,
)
from adapters.transfer.comparison_table import compare_arms
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.protocol import find_protocols
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.initial_weights import WeightsUnavailableError
from gesture_pretrain.weights.registry import UnknownBackbone

PROTOCOLS = ("eanet_corrected", "eanet_upstream", "interhand_wrist")
SHIFT_MM = 5.0


HANDS = ("right", "left")


@pytest.fixture(scope="module")
def reader(swap_index):
    models = {side: load_hand_model(side, "open", tip_convention="smplx") for side in HANDS}
    return GroundTruthReader(HandIndex.open(swap_index), hand_models=models)


def trained(label: str, path: Path = Path("p"), *, seed=0, steps=4, order="ab", projections=None):
    return TrainedArm(label, seed, Path("run"), steps, order, path, projections or {})


def predict(reader, folder: Path, label: str, *, shift_mm: float, seed: int = 0) -> TrainedArm:
    """Predictions that are the truth, but for a shift of all joints and vertices but the wrist."""
    rows, hand = reader.hands_of(reader.index.select(split="test", hands=HANDS))
    truth = reader.read(rows, hand)
    joints = truth.joints_cam_mm - truth.joints_cam_mm[:, :1]
    joints[:, 1:] += [0.6 * shift_mm, 0.8 * shift_mm, 0.0]
    vertices = truth.fit_vertices_cam_mm - truth.joints_cam_mm[:, :1]
    predictions = PosePredictions(
        label,
        reader.index.fingerprint,
        rows,
        hand,
        joints,
        vertices,
        provenance={"box_source": "annotation"},
    )
    path = predictions.save(folder / f"{label.replace(' ', '_')}_{seed}.npz")
    return trained(label, path, seed=seed)


@pytest.fixture(scope="module")
def comparison(reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("predictions")
    arms = [
        predict(reader, folder, label, shift_mm=shift, seed=seed)
        for seed in (0, 1)
        for label, shift in (("good", 0.0), ("shifted", SHIFT_MM))
    ]
    return compare_arms("toy", arms, reader, find_protocols(PROTOCOLS))


def rows_of(comparison, protocol):
    return {row.metric: row for row in comparison.rows if row.protocol == protocol}


def test_known_errors_give_known_numbers(comparison):
    row = rows_of(comparison, "interhand_wrist")["MPJPE"]
    expected = SHIFT_MM * 20 / 21  # the wrist counts with 0
    # Joints are stored in float32 relative to the wrist: below 200 mm, so 1e-5 mm
    assert row.swapped_mm == pytest.approx(0, abs=2e-5)
    assert row.baseline_mm == pytest.approx(expected, abs=2e-5)
    assert row.paired.difference_mm == pytest.approx(-expected, abs=4e-5)
    assert row.paired.seeds == 2


def test_a_shift_of_joints_alone_does_not_move_what_comes_from_the_mesh(comparison):
    for protocol in ("eanet_corrected", "eanet_upstream"):
        row = rows_of(comparison, protocol)["MPVPE"]
        assert row.swapped_mm == pytest.approx(row.baseline_mm, abs=1e-9)


def test_all_protocols_and_metrics_are_in_one_table(comparison):
    found = [(row.protocol, row.metric) for row in comparison.rows]
    assert found == [
        ("eanet_corrected", "MPJPE"),
        ("eanet_corrected", "MPVPE"),
        ("eanet_upstream", "MPJPE"),
        ("eanet_upstream", "MPVPE"),
        ("interhand_wrist", "MPJPE"),
    ]
    lines = [line for line in comparison.markdown().splitlines() if line.startswith("| ")]
    assert len(lines) == 1 + len(found)


def test_no_number_stands_without_the_card_of_its_protocol(comparison):
    text = comparison.markdown()
    for protocol in comparison.protocols:
        assert "\n".join(protocol.card()) in text


def test_a_projection_is_named_beside_the_table(reader, tmp_path):
    arms = [predict(reader, tmp_path, label, shift_mm=0) for label in ("one", "two")]
    named = trained("one", arms[0].predictions, projections={"p": "1x1 projection, 512 to 64"})
    text = compare_arms("toy", [named, arms[1]], reader, find_protocols(PROTOCOLS)).markdown()
    assert "one: behind a declared 1x1 projection, 512 to 64; this is another experiment." in text


def test_one_seed_is_called_one_seed(reader, tmp_path, comparison):
    arms = [predict(reader, tmp_path, label, shift_mm=0) for label in ("one", "two")]
    text = compare_arms("toy", arms, reader, find_protocols(PROTOCOLS)).markdown()
    assert "With one seed the interval and p tell these two trained networks apart" in text
    assert "With one seed" not in comparison.markdown()


def test_json_holds_the_same_and_no_nan(comparison):
    stored = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert stored["rows"][0]["paired"]["samples"] > 0
    assert [arm["seed"] for arm in stored["arms"]] == [0, 0, 1, 1]
    assert {p["name"] for p in stored["protocols"]} == set(PROTOCOLS)


def test_a_mean_that_does_not_exist_is_null(comparison):
    row = comparison.rows[0]
    changed = comparison.__class__(
        **{
            **vars(comparison),
            "rows": (row.__class__(**{**vars(row), "swapped_mm": math.nan}),),
        }
    )
    assert changed.to_json()["rows"][0]["swapped_mm"] is None
    assert "NaN: the protocol has no mean" in changed.markdown()


def test_arms_that_saw_other_samples_are_not_compared():
    require_same_samples([trained("a"), trained("b")])
    with pytest.raises(SwapError, match="'a' took 4 steps on samples ab, 'b' 4 on cd"):
        require_same_samples([trained("a"), trained("b", order="cd")])
    with pytest.raises(SwapError, match="'b' 5 on ab"):
        require_same_samples([trained("a"), trained("b", steps=5)])


@pytest.mark.parametrize(
    "batches",
    [[[1, 0], [2, 3]], [[2, 3], [0, 1]], [[0, 1]], [[0, 1, 2], [3]], [[0, 1], [2, 4]]],
)
def test_the_order_of_samples_is_recorded(batches):
    def digest(rows_of_batches):
        hook = SampleOrder()
        for i, rows in enumerate(rows_of_batches):
            hook.before_train_iter(None, i, SimpleNamespace(row=torch.tensor(rows)))
        return hook.sha256

    reference = [[0, 1], [2, 3]]
    assert digest(reference) == digest(np.array(reference).tolist())
    assert digest(batches) != digest(reference)


def test_arms_name_architecture_weights_and_size(registered):
    swapped, untrained = comparison_arms(registered.name, ["random"])
    assert swapped.backbone == {"name": "hrnet_w16_tiny.tiny", "size_px": 64}
    assert untrained.backbone == {"arch": "hrnet_w16_tiny", "size_px": 64, "init": "random"}
    assert untrained.label == "hrnet_w16_tiny (random)"


def test_a_target_of_one_crop_size_decides_the_size_of_all_arms(registered):
    for arm in comparison_arms(registered.name, ["random"], size_px=256):
        assert arm.backbone["size_px"] == 256


def test_baselines_have_heads_of_the_same_shape(gesture_network, tmp_path, monkeypatch):
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path))
    taxonomy = Taxonomy.from_index_labels(["a", "b", "c"])
    gesture_network.heads = build_gesture_heads(
        512, num_coarse=taxonomy.num_coarse, num_fine=taxonomy.num_fine, hidden=8, dropout=0.25
    )
    name = export_backbone(gesture_network, tag="h", taxonomy=taxonomy).name
    assert comparison_arms(name, ["random"])[1].backbone["heads"] == {"hidden": 8, "dropout": 0.25}


def test_heads_that_the_target_reads_are_named_beside_the_table(reader, tmp_path):
    arms = [predict(reader, tmp_path, label, shift_mm=0) for label in ("one", "two")]
    text = compare_arms("toy", arms, reader, find_protocols(PROTOCOLS)).markdown()
    assert "backbone and heads together" not in text
    arms = [replace(arm, reads_heads=True) for arm in arms]
    text = compare_arms("toy", arms, reader, find_protocols(PROTOCOLS)).markdown()
    assert "the difference is that of backbone and heads together" in text


def test_imagenet_is_the_same_architecture_with_published_weights(registered, monkeypatch):
    asked = []
    monkeypatch.setattr(backbone_comparison, "build_backbone", lambda **kw: asked.append(kw))
    published = comparison_arms(registered.name, ["imagenet"])[1]
    assert published.backbone == {"arch": "hrnet_w16_tiny", "size_px": 64, "init": "timm"}
    assert asked == [published.backbone]


def test_published_weights_that_do_not_exist_are_refused_before_any_training(registered):
    with pytest.raises(WeightsUnavailableError, match="timm has no weights for it"):
        comparison_arms(registered.name, ["imagenet"])


def test_a_backbone_is_not_compared_with_itself(registered):
    with pytest.raises(ValueError, match="compared with itself"):
        comparison_arms(registered.name, [registered.name])
    with pytest.raises(ValueError, match="compared with itself"):
        comparison_arms(registered.name, ["random", "random"])


def test_an_unknown_baseline_is_refused(registered):
    with pytest.raises(UnknownBackbone, match="Similar names"):
        comparison_arms(registered.name, ["hrnet_w16_tiny.tinny"])
