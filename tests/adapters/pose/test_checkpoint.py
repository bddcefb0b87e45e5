"""A stored pose network comes back as it was, or not at all."""

import hashlib
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from pose_run import pose_sections

import adapters.targets
from adapters.pose.checkpoint import (
    load_pose_model,
    read_pose_card,
    save_pose_run,
)
from adapters.pose.prediction import predict_split
from adapters.pose.training import build_pose_runner
from adapters.transfer.pose_backbone import register_pose_backbone
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.metrics import mean_known
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.protocol import Protocol
from gesture_pretrain.evaluation.poses.score import score_predictions
from gesture_pretrain.hand.mano_file import MissingManoFile
from gesture_pretrain.hand.mano_pickle import ManoFileError
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

SECTIONS = {
    "target": "token_fusion",
    "backbone": {"arch": "test_resnet", "size_px": 64},
    "model": {"size": "tiny"},
    "schedule": {"iterations": 2},
}


@pytest.fixture(scope="module")
def run(pose_index, tmp_path_factory):
    run = build_pose_runner(
        out=tmp_path_factory.mktemp("stored") / "run", **pose_sections(pose_index, **SECTIONS)
    )
    run.train()
    return run


@pytest.fixture
def stored(run, tmp_path):
    return save_pose_run(run, tmp_path / "model", config={"data": {"index": "somewhere"}})


def validation_set(run):
    return run.data.validation.dataset


def same(a: PosePredictions, b: PosePredictions) -> bool:
    names = ("rows", "hand", "joints_rel_mm", "vertices_rel_mm", "keypoints_image_px")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_round_trip_predicts_the_same_bits(run, stored):
    loaded = load_pose_model(stored)
    before = predict_split(run.model, validation_set(run), system="run", progress=False)
    after = predict_split(loaded.model, validation_set(run), system="file", progress=False)
    assert same(before, after) and len(before) == 16
    assert not loaded.model.training and loaded.hand_models.keys() == {"right", "left"}


def test_card_says_what_was_trained_and_reads_back(run, stored):
    card = read_pose_card(stored)
    assert (card.target, card.arch, card.size_px) == ("token_fusion", "test_resnet", 64)
    assert card.options["width"] == 64 and card.backbone_name == "test_resnet (random)"
    assert card.metrics["iterations"] == 2 and card.metrics["val_mpjpe_mm"] > 0
    assert card.head_classes is None  # its heads began at random: their classes have no names
    assert card.heads.num_fine == 70 and card.data["taxonomy"] == "interhand26m"
    assert card.hand.path == "open" and card.data["train_images"] == 48
    assert card.config["data"]["index"] == "somewhere"


def test_no_tensor_of_the_hand_model_is_stored(stored):
    tensors = safetensors.torch.load_file(stored / "model.safetensors")
    assert not any(778 in value.shape for value in tensors.values())


def damaged(stored, change):
    path = stored / "model.safetensors"
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content))


def test_changed_or_missing_weights_are_refused(stored):
    damaged(stored, lambda content: content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match="does not match its card"):
        load_pose_model(stored)
    (stored / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="does not exist"):
        load_pose_model(stored)


def edit_card(stored, **changes):
    path = stored / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rewrite(stored, change):
    """Replaces the weights and makes the card fit the new file."""
    path = stored / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    content = safetensors.torch.save(tensors)
    path.write_bytes(content)
    weights = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    edit_card(stored, weights=weights)


def test_missing_further_and_misshapen_tensors_are_refused(stored):
    names = safetensors.torch.load_file(stored / "model.safetensors")
    # the one tensor that torch's strict loading would fill in by itself
    name = next(name for name in names if name.endswith("num_batches_tracked"))
    rewrite(stored, lambda tensors: tensors.pop(name))
    with pytest.raises(WeightsError, match="1 missing: .*num_batches_tracked"):
        load_pose_model(stored)
    rewrite(stored, lambda tensors: tensors.update({name: torch.zeros(1, 2, 3, 4, 5)}))
    with pytest.raises(WeightsError, match="1 wrong_shape: "):
        load_pose_model(stored)


def test_unexpected_tensor_is_refused(stored):
    rewrite(stored, lambda tensors: tensors.update(extra=torch.zeros(1)))
    with pytest.raises(WeightsError, match="1 unexpected: extra"):
        load_pose_model(stored)


def test_another_hand_is_refused(stored, tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="bundled hand model"):
        load_pose_model(stored, hand_model=tmp_path)
    card = json.loads((stored / "card.json").read_text())
    edit_card(stored, hand={**card["hand"], "tip_convention": "manopth"})
    with pytest.raises(WeightsError, match="not the one that the network was trained with"):
        load_pose_model(stored)
    edit_card(stored, hand={**card["hand"], "path": None})
    monkeypatch.setenv("MANO_DIR", str(tmp_path / "nowhere"))
    with pytest.raises((MissingManoFile, ManoFileError)):
        load_pose_model(stored)


def test_unreadable_card_other_format_and_unknown_target_are_named(stored, tmp_path):
    with pytest.raises(FileNotFoundError, match="card.json is missing"):
        load_pose_model(tmp_path)
    edit_card(stored, format=99)
    with pytest.raises(WeightsError, match="format 99"):
        load_pose_model(stored)
    edit_card(stored, format=2, target="token_fuson")
    with pytest.raises(adapters.targets.UnknownTarget, match="token_fusion"):
        load_pose_model(stored)
    edit_card(stored, colour="red")
    with pytest.raises(WeightsError, match="colour"):
        load_pose_model(stored)
    (stored / "card.json").write_text("{")
    with pytest.raises(WeightsError, match="card.json: not JSON"):
        load_pose_model(stored)


def test_tensor_with_two_names_is_stored_once(pose_index, tmp_path):
    # a network may hold its backbone under two names
    run = build_pose_runner(out=tmp_path / "run", **pose_sections(pose_index, **SECTIONS))
    tied = run.model.network.mano_heads
    run.model.tied = tied
    folder = save_pose_run(run, tmp_path / "model")
    card = read_pose_card(folder)
    names = safetensors.torch.load_file(folder / "model.safetensors").keys()
    state = run.model.state_dict()
    assert names | card.aliases.keys() == state.keys() and not names & card.aliases.keys()
    assert {n for n in card.aliases if n.startswith("tied.")}


def test_predictions_of_chosen_rows_and_their_provenance(run, tmp_path):
    dataset = validation_set(run)
    chosen = dataset.rows[[5, 2]]
    found = predict_split(
        run.model, dataset, chosen, system="s", provenance={"split": "val"}, progress=False
    )
    assert found.rows.tolist() == chosen.tolist()
    assert found.provenance == {"box_source": "annotation", "split": "val"}
    kept = PosePredictions.load(found.save(tmp_path / "p.npz"))
    kept.require_index(dataset.index)
    whole = predict_split(run.model, dataset, system="s", progress=False, batch_size=3)
    # another batch size sums in another order: 2**-24 of 100 mm, some thousand times
    np.testing.assert_allclose(
        whole.joints_rel_mm[[5, 2]], found.joints_rel_mm, rtol=0, atol=2000 * 100 * 2**-24
    )
    assert (whole.hand == dataset.index.values("hand", dataset.rows)).all()
    with pytest.raises(ValueError, match="row 999"):
        predict_split(run.model, dataset, [999], system="s", progress=False)
    with pytest.raises(ValueError, match="no row to predict"):
        predict_split(run.model, dataset, [], system="s", progress=False)


def test_validation_error_is_that_of_the_scored_predictions(run):
    # two paths to one number: batch by batch in the run, and from the predictions as a file
    predictions = predict_split(run.model, validation_set(run), system="run", progress=False)
    protocol = Protocol(
        name="validation",
        title="wrist-relative joints of the annotation",
        source="this test",
        mask="triangulated",
        root_counted=False,
    )
    reader = GroundTruthReader(run.data.index, hand_models=run.hand_models)
    scores, refused = score_predictions(predictions, reader, [protocol])
    assert not refused
    found = run.runner.last_metrics
    # of another batch size, see above
    tolerance = 2000 * 100 * 2**-24
    assert mean_known(scores[0].errors.joint_mm, axis=1).mean() == pytest.approx(
        found["mpjpe_mm"], abs=tolerance
    )


def test_card_of_a_gesture_backbone_is_called_something_else(tmp_path):
    # a registered backbone given for a pose network was said to have "format None"
    (tmp_path / "card.json").write_text('{"name": "resnet18.gesture", "arch": "resnet18"}')
    with pytest.raises(WeightsError, match="not the card"):
        read_pose_card(tmp_path)


def test_the_backbone_of_a_stored_network_starts_another(stored, tmp_path, monkeypatch):
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    weights = register_pose_backbone(stored, "rendered_poses")
    started = build_starting_backbone("test_resnet", init=weights.name, size_px=64)
    trained = load_pose_model(stored).model.backbone
    for name, tensor in trained.net.state_dict().items():
        assert torch.equal(started.net.state_dict()[name], tensor)
    assert weights.record.heads is None and "token_fusion" in weights.record.notes
