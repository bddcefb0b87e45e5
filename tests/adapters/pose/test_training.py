"""A pose run: reproducible, resumable, stopped by what is not finite, honest about its sections."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from pose_run import SIZE_PX, TOY, Toy, pose_sections

from adapters.pose.checkpoint import read_pose_card, save_pose_run
from adapters.pose.training import build_pose_runner
from adapters.targets import BackboneNeeds, PoseTarget, UnknownTarget
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.training.checkpoint import load_newest_checkpoint
from gesture_pretrain.training.stopped import NonFiniteLoss
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.registry import UnknownBackbone

TIMES = {"images_per_s", "data_wait_fraction"}
HELPERS = Path(__file__).parents[2] / "helpers"


def train(out, index, *, resume=False, hooks=(), **changes):
    run = build_pose_runner(out=out, resume=resume, hooks=hooks, **pose_sections(index, **changes))
    run.train()
    return run


def weights(run) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.runner.model.state_dict().items()}


def differing(a: dict, b: dict) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_run_writes_metrics_ledger_and_checkpoints(tmp_path, pose_index, capfd):
    run = train(tmp_path, pose_index, schedule={"iterations": 8}, training={"ema_decay": 0.9})
    written = lines(tmp_path)
    validated = [line for line in written if "val_mpjpe_mm" in line]
    assert [line["iteration"] for line in validated] == [6, 8]  # 48 images / 8: epochs of 6
    assert {"mpjpe_mm", "mpvpe_mm", "mean_pose_mpjpe_mm"} == run.runner.last_metrics.keys()
    assert {"train_joint_loss", "train_pose_loss", "train_mean_mm"} <= written[0].keys()
    total = sum(written[0][f"train_{name}_loss"] for name in ("joint", "pose", "pixel"))
    assert written[0]["train_loss"] == pytest.approx(total, rel=1e-6)  # log values do not count
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    prints = ledger["fingerprints"]
    assert prints["before_swap"] == prints["after_swap"] != prints["after_first_step"]
    assert ledger["complete"] and ledger["backbone_name"] == "test_resnet (random)"
    assert load_newest_checkpoint(tmp_path / "checkpoints").state["iteration"] == 8
    # what is stored is the average, not the last weights
    assert run.model is run.runner.weight_average.module
    printed = capfd.readouterr()
    assert printed.err == "" and "Training." in printed.out


def test_validation_shows_millimetres(tmp_path, pose_index, capsys):
    train(tmp_path, pose_index, schedule={"iterations": 6}, progress=True)
    assert re.search(r"validation mpjpe \d+\.\d mm, mpvpe \d+\.\d mm", capsys.readouterr().out)


def test_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, pose_index):
    runs = [train(tmp_path / str(k), pose_index, seed=seed) for k, seed in enumerate((1, 1, 2))]
    first, same, other = (weights(run) for run in runs)
    assert differing(first, same) == []
    assert "head.1.weight" in differing(first, other)


class Break(Hook):
    """Makes one part of the network's output not finite before an iteration."""

    def __init__(self, iteration, part, value):
        self.iteration, self.part, self.value = iteration, part, value

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == self.iteration:
            self.rows = data_batch.row.tolist()
            runner.model.head[1].bias.data[self.part] = self.value


@pytest.mark.parametrize(
    "part, value, broken, whole",
    [
        (slice(58, None), float("nan"), ["pixel_loss = nan"], ["joint_loss", "pose_loss"]),
        (slice(58, None), float("inf"), ["pixel_loss = inf"], ["joint_loss", "pose_loss"]),
        (slice(0, 48), float("nan"), ["joint_loss = nan", "pose_loss = nan"], ["pixel_loss"]),
    ],
)
def test_term_that_is_not_finite_is_named_with_its_rows_and_the_run_resumes(
    tmp_path, pose_index, part, value, broken, whole
):
    hook = Break(7, part, value)
    options = {"training": {"checkpoint_every": 3}, "data": {"val_split": None}}
    with pytest.raises(NonFiniteLoss) as error:
        train(tmp_path, pose_index, hooks=[hook], **options)
    message = str(error.value)
    assert all(term in message for term in broken) and not any(term in message for term in whole)
    assert "iteration 7" in message and str(hook.rows) in message
    run = train(tmp_path, pose_index, resume=True, **options)
    assert run.runner.iter == 12
    assert all(torch.isfinite(value).all() for value in weights(run).values())


def test_frozen_backbone_keeps_every_number_and_the_rest_trains(tmp_path, pose_index):
    run = build_pose_runner(out=tmp_path, **pose_sections(pose_index, backbone={"frozen": True}))
    before = weights(run)
    run.train()
    changed = differing(before, weights(run))
    assert changed and all(name.startswith("head.") for name in changed)
    assert any("running_mean" in name for name in before)  # batch-norm statistics stayed, too
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["frozen_backbone"] is True


def test_frozen_backbone_is_in_eval_mode_in_training_and_the_rest_is_not(tmp_path, pose_index):
    run = build_pose_runner(out=tmp_path, **pose_sections(pose_index, backbone={"frozen": True}))
    run.runner.model.train()
    assert not any(module.training for module in run.runner.model.backbone.modules())
    assert run.runner.model.head.training


def test_layers_frozen_up_to_a_level_keep_every_number(tmp_path, pose_index):
    backbone = {"arch": "test_resnet", "frozen": "stride8"}
    run = build_pose_runner(out=tmp_path, **pose_sections(pose_index, backbone=backbone))
    before = weights(run)
    run.train()
    changed = differing(before, weights(run))
    early = ("conv1.", "bn1.", "layer1.", "layer2.")
    in_backbone = {name.removeprefix("backbone.net."): name in changed for name in before}
    assert not any(moved for name, moved in in_backbone.items() if name.startswith(early))
    assert all(moved for name, moved in in_backbone.items() if name.startswith("layer3."))
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["frozen_backbone"] == "stride8"
    first = ledger["first_step"]
    assert first["frozen_parameters"] + first["with_gradient"] == first["backbone_parameters"]


def test_layers_learn_at_their_own_rates(tmp_path, pose_index):
    slow = train(
        tmp_path,
        pose_index,
        optimizer={"lr_scales": {"backbone.": 1e-6}, "weight_decay": 0.0},
        data={"val_split": None},
    )
    start = build_pose_runner(out=tmp_path / "start", **pose_sections(pose_index))
    a, b = weights(start), weights(slow)
    # AdamW's step is at most the learning rate, 2e-3 x 1e-6, in each of 12 iterations; the float32
    # weight (below 2 in size) rounds it to a multiple of 2**-23 at most
    bound = 12 * (2e-9 + 2**-23)
    moved = [
        n for n, p in slow.runner.model.named_parameters() if (a[n] - b[n]).abs().max() > bound
    ]
    assert moved == ["head.1.weight", "head.1.bias"]


def test_overfit_brings_the_error_down(tmp_path, pose_index):
    run = train(
        tmp_path,
        pose_index,
        data={"overfit": True},
        model={"size": "plain"},
        optimizer={"lr": 1e-2, "weight_decay": 0.0},
        schedule={"iterations": 60},
        training={"validate_every": 60, "checkpoint_every": 60, "freeze_bn": True},
    )
    first = lines(tmp_path)[0]["train_mean_mm"]
    assert run.runner.last_metrics["mpjpe_mm"] < 0.3 * first


@pytest.fixture
def registered(tmp_path, monkeypatch):
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    backbone = build_backbone("test_resnet", size_px=SIZE_PX, seed=5)
    heads = build_gesture_heads(backbone.pooled_channels, num_coarse=54, num_fine=70, hidden=8)
    classes = Taxonomy.load("interhand26m")
    return export_backbone(GestureNetwork(backbone, heads), tag="tiny", taxonomy=classes).name


def test_backbone_of_the_registry_arrives_bit_for_bit(tmp_path, pose_index, registered):
    sections = pose_sections(pose_index)
    sections["backbone"] = {"name": registered}
    run = build_pose_runner(out=tmp_path / "run", **sections)
    assert run.size_px == SIZE_PX and isinstance(run.network, GestureNetwork)
    stored = build_backbone("test_resnet", size_px=SIZE_PX, seed=5)
    assert differing(stored.state_dict(), run.runner.model.backbone.state_dict()) == []
    assert run.ledger.backbone_name == registered and run.ledger.backbone.matched
    run.train()
    card = read_pose_card(save_pose_run(run, tmp_path / "model"))
    assert card.head_classes.name == "interhand26m"
    assert len(card.head_classes.fine_names) == card.heads.num_fine == 70


def needing_logits() -> PoseTarget:
    class WithLogits(Toy):
        name = "toy_logits"

        def needs_for(self, **options):
            return BackboneNeeds(gesture_logits=True)

        def build_model(self, network, **options):
            assert isinstance(network, GestureNetwork)
            return TOY.build_model(network, **options)

    return WithLogits()


def test_heads_are_made_at_random_where_the_target_needs_them_and_named_weights_must_bring_them(
    tmp_path, pose_index, monkeypatch
):
    sections = pose_sections(pose_index, target=needing_logits(), backbone={"heads": {"hidden": 4}})
    run = build_pose_runner(out=tmp_path / "random", **sections)
    assert run.network.heads.coarse.num_classes == 54 and run.network.heads.fine.hidden == 4
    monkeypatch.setenv("GESTURE_PRETRAIN_HOME", str(tmp_path / "home"))
    export_backbone(build_backbone("test_resnet", size_px=SIZE_PX), tag="bare")
    sections["backbone"] = {"name": "test_resnet.bare"}
    with pytest.raises(ValueError, match="test_resnet.bare has no gesture heads"):
        build_pose_runner(out=tmp_path / "named", **sections)
    sections["backbone"]["heads"] = {}
    run = build_pose_runner(out=tmp_path / "named", **sections)
    assert run.network.heads.fine.num_classes == 70


@pytest.mark.parametrize(
    "backbone, kind, said",
    [
        ({"name": "test_resnet.tiny", "arch": "test_resnet"}, ValueError, "give one of them"),
        ({"size_px": 32}, ValueError, "give one of them"),
        ({"name": "test_resnet.tinny"}, UnknownBackbone, "test_resnet.tiny"),
        ({"name": "test_resnet.tiny", "init": "timm"}, ValueError, "backbone.init"),
        ({"name": "test_resnet.tiny", "heads": {}}, ValueError, "own gesture heads"),
        ({"name": "test_resnet.tiny", "size_px": 33}, ValueError, "size_px=33"),
        ({"arch": "hrnet_w19"}, ValueError, "hrnet_w18"),
    ],
)
def test_wrong_backbone_sections_are_named(tmp_path, pose_index, registered, backbone, kind, said):
    sections = pose_sections(pose_index)
    sections["backbone"] = backbone
    with pytest.raises(kind, match=said):
        build_pose_runner(out=tmp_path / "run", **sections)


@pytest.mark.parametrize(
    "section", ["data", "backbone", "hand_model", "model", "optimizer", "schedule", "training"]
)
def test_every_section_refuses_a_misspelt_key(tmp_path, section):
    sections = pose_sections(Path("nowhere"), **{section: {"misspelt": 1}})
    with pytest.raises(ValueError, match=f"Unknown key {section}.misspelt.* Known: "):
        build_pose_runner(out=tmp_path / "run", **sections)
    assert not (tmp_path / "run").exists()


def test_unknown_target_size_and_tips_are_named(tmp_path, pose_index):
    with pytest.raises(UnknownTarget, match="token_fusion"):
        build_pose_runner(out=tmp_path, **pose_sections(pose_index, target="token_fuson"))
    with pytest.raises(ValueError, match="full, plain"):
        build_pose_runner(out=tmp_path, **pose_sections(pose_index, model={"size": "huge"}))
    tips = {"tip_convention": "manO"}
    with pytest.raises(ValueError, match="tip_convention.*interhand"):
        build_pose_runner(out=tmp_path, **pose_sections(pose_index, hand_model=tips))


def test_used_folder_needs_resume(tmp_path, pose_index):
    train(tmp_path, pose_index, schedule={"iterations": 1}, data={"val_split": None})
    with pytest.raises(FileExistsError, match="[Rr]esume"):
        build_pose_runner(out=tmp_path, **pose_sections(pose_index))
