"""A run that starts from a stored pose network has all its weights, or says why not."""

import json

import pytest
import torch
from pose_run import pose_sections

from adapters.pose.checkpoint import load_pose_model, read_pose_card, save_pose_run
from adapters.pose.hand_models import HandModelSource
from adapters.pose.stage import resolve_config, train
from adapters.pose.start import starting_point_of
from adapters.pose.training import build_pose_runner
from adapters.targets import find_pose_target

TARGETS = {
    "token_fusion": {"size": "tiny"},  # guided, so its gesture heads are a part of it
    "eanet": {"size": "tiny", "allow_projection": True, "gesture_logits": "none"},
}


def sections_for(index, target: str, **changes) -> dict:
    options = TARGETS[target] | changes.pop("model", {})
    small = {"arch": "test_resnet", "size_px": 64}
    fixed = {"target": target, "model": options, "schedule": {"iterations": 2}}
    return pose_sections(index, **{"backbone": small, **fixed, **changes})


@pytest.fixture(scope="module", params=TARGETS)
def stored(request, pose_index, tmp_path_factory):
    out = tmp_path_factory.mktemp(f"first_{request.param}")
    run = build_pose_runner(out=out / "run", **sections_for(pose_index, request.param))
    run.train()
    return request.param, save_pose_run(run, out / "model")


def test_every_tensor_is_that_of_the_stored_network(stored, pose_index, tmp_path):
    target, folder = stored
    sections = sections_for(pose_index, target, init=str(folder), seed=7)
    run = build_pose_runner(out=tmp_path, **sections)
    given, mine = load_pose_model(folder).model.state_dict(), run.runner.model.state_dict()
    assert given.keys() == mine.keys()
    assert [name for name in given if not torch.equal(given[name], mine[name])] == []
    assert {e.status for e in (*run.ledger.backbone.entries, *run.ledger.own.entries)} == {
        "matched"
    }
    assert run.ledger.before_swap == run.ledger.after_swap
    run.train()
    trained = run.runner.model.state_dict()
    backbone = [name for name, _ in run.runner.model.named_parameters() if "backbone." in name]
    assert backbone and not [name for name in backbone if torch.equal(given[name], trained[name])]
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["complete"] and ledger["backbone_name"] == str(folder)


def test_crops_have_the_stored_side_unless_one_is_given(stored, pose_index, tmp_path):
    target, folder = stored
    same = sections_for(pose_index, target, init=str(folder), backbone={"size_px": None})
    assert build_pose_runner(out=tmp_path / "same", **same).size_px == 64
    larger = sections_for(pose_index, target, init=str(folder), backbone={"size_px": 96})
    if target == "eanet":  # its positional embeddings belong to one number of tokens
        with pytest.raises(ValueError, match="size_px"):
            build_pose_runner(out=tmp_path / "larger", **larger)
        return
    run = build_pose_runner(out=tmp_path / "larger", **larger)
    assert next(iter(run.data.train)).image.shape[-1] == 96
    assert run.model.backbone.input_spec.size_px == 96


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"model": {"size": "full"}}, "model.*instead of"),
        ({"backbone": {"arch": "test_vit"}}, "backbone.arch='test_vit' instead of 'test_resnet'"),
        ({"hand_model": {"tip_convention": "interhand"}}, "tip_convention"),
        ({"backbone": {"init": "imagenet"}}, "init='imagenet'"),
        ({"backbone": {"arch": None, "name": "x.y"}}, "arch"),
        ({"backbone": {"heads": {}}}, "heads"),
    ],
)
def test_another_network_is_refused_by_name(stored, pose_index, tmp_path, changes, said):
    target, folder = stored
    sections = sections_for(pose_index, target, init=str(folder))
    for name, change in changes.items():
        sections[name] = {**sections[name], **change}
    with pytest.raises(ValueError, match=said):
        build_pose_runner(out=tmp_path, **sections)


def test_poses_of_mano_do_not_continue_those_of_the_bundled_hand(stored):
    target, folder = stored
    card = read_pose_card(folder)
    with pytest.raises(ValueError, match="hand_model.path='MANO' instead of 'open'"):
        starting_point_of(
            str(folder),
            target=find_pose_target(target),
            options=card.options,
            hand_source=HandModelSource(None, card.hand.tip_convention),
            arch=card.arch,
        )


def test_losses_may_be_weighted_otherwise_and_defaults_be_written(stored, pose_index, tmp_path):
    target, folder = stored
    if target != "token_fusion":
        pytest.skip("EANet's losses have no weights to set")
    model = {"weights": {"shape": 0.1}, "guidance": "both"}
    sections = sections_for(pose_index, target, init=str(folder), model=model)
    assert build_pose_runner(out=tmp_path, **sections).model.weights.shape == 0.1


def test_a_network_continues_in_views_and_is_scored_in_the_camera(stored, pose_index, tmp_path):
    target, folder = stored
    if target != "token_fusion":
        pytest.skip("EANet's poses are in the camera's frame only")
    sections = sections_for(pose_index, target, init=str(folder), model={"frame": "view"})
    run = build_pose_runner(out=tmp_path, **sections)
    given, mine = load_pose_model(folder).model.state_dict(), run.runner.model.state_dict()
    assert [name for name in given if not torch.equal(given[name], mine[name])] == []
    rows = run.data.index.select(split="val")
    assert run.dataset(rows).frame == "view"
    trained, validated = next(iter(run.data.train)), next(iter(run.data.validation))
    for batch in (trained, validated):  # a rotation in the image keeps the last axis
        assert (batch.camera_from_crop[:, 2, 2] < 1).any()
    run.train()
    assert read_pose_card(save_pose_run(run, tmp_path / "model")).options["frame"] == "view"


def test_a_frozen_backbone_keeps_the_stored_weights(stored, pose_index, tmp_path):
    target, folder = stored
    frozen = {"size_px": 64, "frozen": True}
    sections = sections_for(pose_index, target, init=str(folder), backbone=frozen)
    run = build_pose_runner(out=tmp_path, **sections)
    run.train()
    given, trained = load_pose_model(folder).model.state_dict(), run.runner.model.state_dict()
    changed = [name for name in given if not torch.equal(given[name], trained[name])]
    assert changed and not [name for name in changed if "backbone." in name]


def test_a_resumed_run_keeps_its_start(stored, pose_index, tmp_path):
    """A run resumed without --init stored the config's backbone as its origin."""
    target, folder = stored
    config = sections_for(pose_index, target)
    config = {key: value for key, value in config.items() if key not in ("device", "progress")}
    options = {"out": tmp_path / "run", "device": "cpu", "progress": False}
    train(config, init=folder, **options)
    with pytest.raises(ValueError, match="init.*started|started.*init"):
        train(config, resume=True, overrides=["schedule.iterations=3"], **options)
    again = train(config, init=folder, resume=True, overrides=["schedule.iterations=3"], **options)
    assert again.steps == 3


def test_init_replaces_the_backbone_of_a_config(stored, pose_index, tmp_path):
    target, folder = stored
    config = sections_for(pose_index, target)
    config = {key: value for key, value in config.items() if key not in ("device", "progress")}
    config["backbone"] = {"name": "some_arch.some_tag", "size_px": 64}
    trained = train(config, init=folder, out=tmp_path, device="cpu", progress=False)
    assert trained.steps == 2
    with pytest.raises(ValueError, match="one of them"):
        resolve_config(config, backbone="some_arch.some_tag", init=folder)
    other = resolve_config({**config, "init": str(folder)}, backbone="some_arch.other_tag")
    assert other["init"] is None and other["backbone"]["name"] == "some_arch.other_tag"
    with pytest.raises(FileNotFoundError, match="no released pose network"):
        resolve_config(config, init="token_fuson")
