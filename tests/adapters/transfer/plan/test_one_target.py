"""A backbone and its baselines become a plan of one target."""

import pytest

from adapters.targets import find_pose_target
from adapters.transfer.plan.file import plan_from
from adapters.transfer.plan.one_target import one_target_plan, pose_sections
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.registry import UnknownBackbone

NAME = "hrnet_w16_tiny.tiny"


def plan_of(index, *baselines, backbone=NAME, overrides=(), **options) -> dict:
    target = find_pose_target("eanet")
    chosen = {"data.index": str(index), "model.size": "tiny", "schedule.iterations": 5}
    sections = pose_sections(target, {}, chosen, overrides)
    return one_target_plan(target, backbone, baselines, sections=sections, **options)


def test_every_option_reaches_its_part_of_the_plan(registered, swap_index):
    overrides = ["data.fraction=0.5", "data.batch_size=4", "optimizer.lr=1e-4"]
    options = {"seeds": (1, 2), "split": "val", "protocols": ["interhand_wrist"]}
    plan = plan_from(plan_of(swap_index, "random", overrides=overrides, **options))
    assert plan.data == {"index": str(swap_index)}
    assert plan.backbones == {"hrnet_w16_tiny": {"arch": "hrnet_w16_tiny", "size_px": 64}}
    assert [(arm.weights, arm.init) for arm in plan.arms.values()] == [
        (NAME, None),
        (None, "random"),
    ]
    assert plan.targets["eanet"].model == {"size": "tiny"}
    assert plan.fractions == (0.5,) and plan.seeds == (1, 2)
    assert plan.finetuning["data"] == {"batch_size": 4}
    assert plan.finetuning["schedule"] == {"iterations": 5}
    assert plan.finetuning["optimizer"] == {"lr": 1e-4}
    assert plan.finetuning["hand_model"] == {"path": "open", "tip_convention": "smplx"}
    assert plan.test.split == "val" and plan.protocols == ("interhand_wrist",)
    assert [(c.arm, c.reference) for c in plan.comparisons] == [(NAME, "random")]


def test_baselines_have_heads_of_the_same_shape(gesture_network, registered, swap_index):
    taxonomy = Taxonomy.from_index_labels(["a", "b", "c"])
    gesture_network.heads = build_gesture_heads(
        512, num_coarse=taxonomy.num_coarse, num_fine=taxonomy.num_fine, hidden=8, dropout=0.25
    )
    name = export_backbone(gesture_network, tag="h", taxonomy=taxonomy).name
    plan = plan_from(plan_of(swap_index, "random", backbone=name))
    assert plan.pretraining == {"heads": {"hidden": 8, "dropout": 0.25}}


@pytest.mark.parametrize(
    ("baselines", "error", "word"),
    [
        ([NAME], ValueError, "itself"),
        (["random", "random"], ValueError, "itself"),
        (["hrnet_w16_tiny.tinny"], UnknownBackbone, "Similar names"),
    ],
)
def test_wrong_baselines_are_refused(registered, swap_index, baselines, error, word):
    with pytest.raises(error, match=word):
        plan_of(swap_index, *baselines)


def test_a_pose_network_is_not_continued_in_a_comparison(registered, swap_index):
    """Plans had an empty section init, which every cell refused."""
    assert "init" not in plan_of(swap_index, "random")["finetuning"]
    with pytest.raises(ValueError, match="init='token_fusion_lite0'"):
        plan_of(swap_index, "random", overrides=["init=token_fusion_lite0"])
