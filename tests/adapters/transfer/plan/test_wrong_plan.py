"""A plan with a wrong value is refused when it is read, and the message names the key.

The types of values are tested with the schema; here are ranges, names, and values that contradict.
"""

import json

import pytest
from toy_pose import toy_plan

from adapters.transfer.plan.file import plan_from
from adapters.transfer.plan.plan import PlanError

# what is added to the toy plan, so that every part of a plan is there
PARTS = {
    "test": {"split": "test"},
    "planning": {},
    "diagnostics": {},
    "learning_rate": {"candidates": [1e-3, 2e-3]},
    "external": [{"name": "theirs", "path": __file__}],
}
# one wrong name among those that are known
NEAR = [
    (["protocols"], ["interhand_wirst"], "protocols", "interhand_wrist"),
    (["allowed_leaks"], ["pretraining:other_veiw"], "allowed_leaks", "pretraining:other_view"),
    (["backbones", "tiny", "arch"], "test_resnets", "backbones.tiny", "test_resnet"),
    (["arms", "random", "init"], "randon", "arms.random.init", "random"),
    (
        ["arms", "shuffled", "pretrain", "data", "label_variant"],
        "shufled",
        "label_variant",
        "shuff",
    ),
    (["arms", "random", "colour"], 1, "Unknown key arms.random.colour", "Known: init"),
    (["targets", "toy", "target"], "toy_poes", "targets.toy.target", "toy_pose"),
    (["targets", "toy", "backbone"], "tiney", "targets.toy.backbone", "tiny"),
    (["targets", "toy", "arms"], ["gestures"], "targets.toy.arms", "gesture"),
    (["comparisons", 0, "arm"], "gestures", "comparisons[0].arm", "gesture"),
    (["comparisons", 1, "reference"], "shufled", "comparisons[1].reference", "shuffled"),
    (["comparisons", 0, "target"], "toi", "comparisons[0].target", "toy"),
    (["comparisons", 0, "reference_target"], "toi", "comparisons[0].reference_target", "toy"),
    (["external", 0, "reference"], "gestures", "external[0].reference", "gesture"),
    (["test", "split"], "tset", "test.split", "test"),
    (["test", "hands"], ["rihgt"], "test.hands", "right"),
    (["test", "box_source"], "rootnets", "test.box_source", "rootnet"),
    (["data", "taxonomy"], "interhand26", "taxonomy 'interhand26'", "interhand26m"),
    (["data", "val_split"], "vals", "data.val_split", "val"),
    (["data", "train_split"], "trian", "data.train_split", "train"),
    (["data", "colour"], 1, "Unknown key data.colour", "Known: index"),
    (["pretraining", "optimiser"], {}, "pretraining.optimiser", "optimizer"),
    (["pretraining", "data"], {"box_source": "rootnets"}, "data.box_source", "rootnet"),
    (["finetuning", "optimiser"], {}, "finetuning.optimiser", "optimizer"),
    (["finetuning", "hand_model", "tip_convention"], "smpl", "finetuning: hand_model.tip", "smplx"),
    (["finetuning", "training", "precision"], "fp61", "finetuning: training.precision", "fp16"),
    (["cluster_by"], "subjects", "cluster_by", "subject"),
    (["learning_rate", "split"], "vals", "learning_rate.split", "val"),
    (["seads"], [0], "Unknown key seads", "seeds"),
]
# values out of range, or that contradict each other
WRONG = [
    (["name"], "a/b", "name"),
    (["data"], {}, "data.index"),
    (["data", "fraction"], 0.5, "data.fraction"),
    (["data", "batch_size"], 0, "data.batch_size"),
    (["data", "workers"], -1, "data.workers"),
    (["backbones"], {}, "backbones"),
    (["backbones", "tiny", "init"], "timm", "backbones.tiny.init"),
    (["backbones", "tiny", "size_px"], 0, "backbones.tiny.size_px"),
    (["arms"], {}, "arms"),
    (["arms", "random"], {}, "arms.random"),
    (["arms", "random", "weights"], "test_resnet.any", "arms.random"),
    (["arms", "random", "finetuning"], {"schedule": {}}, "arms.random.finetuning.schedule"),
    (["arms", "gesture", "pretrain"], {"optimizer": {"rate": 1}}, "optimizer.rate"),
    (["arms", "random", "extra"], -1, "arms.random.extra"),
    (["arms", "random", "extra"], "finetuning", "arms.random.extra"),
    (["arms"], {"random": {"init": "random", "extra": "pretraining"}}, "arms.random.extra"),
    (["targets"], {}, "targets"),
    (["targets", "toy", "target"], "onnx", "targets.toy.target"),  # it writes a file
    (["targets", "toy", "model"], {"size": "huge"}, "targets.toy.model"),
    (["targets", "toy", "model"], {"colour": 1}, "targets.toy.model"),
    (["targets", "toy", "finetuning"], {"heads": {}}, "targets.toy.finetuning.heads"),
    (["pretraining", "schedule", "iterations"], 0, "pretraining: schedule.iterations"),
    (["pretraining", "objective"], {"ramp": {"start": 2}}, "pretraining: objective.ramp"),
    (["finetuning", "data"], {"fraction": 1.0}, "finetuning: data.fraction"),
    (["finetuning", "data"], {"augmentation": {"flip": 2}}, "finetuning: data.augmentation.flip"),
    (["finetuning", "data"], {"augmentation": {"turn": 2}}, "data.augmentation.turn"),
    (["finetuning", "optimizer", "lr"], -1, "finetuning: optimizer"),
    (["finetuning", "training", "threads"], 0, "finetuning: training.threads"),
    (["seeds"], [], "seeds"),
    (["seeds"], [1, 1], "seeds"),
    (["seeds"], [0.5], "seeds[0]"),
    (["seeds"], [-1], "seeds"),
    (["fractions"], [0.0], "fractions"),
    (["fractions"], [0.5, 1.5], "fractions"),
    (["comparisons", 0, "reference"], "gesture", "comparisons[0] compares 'gesture' with itself"),
    (["targets", "toy", "arms"], ["gesture"], "comparisons[0]: no target is run with both"),
    (["protocols"], [], "protocols"),
    (["test", "images"], 0, "test.images"),
    (["test", "hands"], [], "test.hands"),
    (["test", "box_source"], "annotation", "test.box_source"),
    (["external", 0, "path"], "nowhere.npz", "external[0].path"),
    (["external"], 2 * PARTS["external"], "external[0].name"),
    (["external"], [{"name": "theirs"}], "external[0].path is required"),
    (["planning", "cluster_sd_mm"], -1, "planning.cluster_sd_mm"),
    (["planning", "images_per_s"], 0, "planning.images_per_s"),
    (["diagnostics", "train_images"], 0, "diagnostics.train_images"),
    (["pretrainings"], 0, "pretrainings"),
    (["pretrainings"], 3, "pretrainings"),
    (["curve"], [2, 1], "curve"),
    (["curve"], [1], "curve needs schedule.final_lr_ratio=1"),
    (["learning_rate"], {}, "learning_rate.candidates"),
    (["learning_rate", "candidates"], [1e-3], "learning_rate.candidates"),
    (["learning_rate", "candidates"], [1e-3, -1e-3], "learning_rate.candidates"),
    (["learning_rate", "split"], "test", "learning_rate.split"),
    (["arms", "random", "finetuning"], {"optimizer": {"lr": 1e-3}}, "finetuning.optimizer.lr"),
]


# options of the networks themselves, which are chosen by a name
OPTIONS = [
    ("token_fusion", {"guidance": "bth"}, "unknown guidance 'bth'"),
    ("token_fusion", {"witdh": 64}, "Unknown key model.witdh"),
    ("token_fusion", {"weights": {"joint": 1}}, "Unknown key model.weights.joint"),
    ("eanet", {"gesture_logits": "both"}, "gesture_logits is 'both'"),
]


def changed(values, path, wrong):
    """A copy of the plan's values with one of them replaced; sections on the way are made."""
    values = place = json.loads(json.dumps(values))
    for key in path[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else place[key]
    place[path[-1]] = wrong
    return values


@pytest.fixture(scope="module")
def whole(toy_index):
    values = toy_plan(toy_index, **PARTS)
    plan_from(values)  # it is only what is changed below that is wrong
    return values


def name_of(case):
    return ".".join(map(str, case)) if isinstance(case, list) else ""


@pytest.mark.parametrize(("path", "wrong", "named"), WRONG, ids=name_of)
def test_a_wrong_value_is_refused_at_reading_with_its_key(whole, path, wrong, named):
    with pytest.raises(PlanError) as caught:
        plan_from(changed(whole, path, wrong))
    assert named in str(caught.value)


@pytest.mark.parametrize(("path", "wrong", "named", "near"), NEAR, ids=name_of)
def test_a_misspelt_name_is_refused_at_reading_with_the_near_one(whole, path, wrong, named, near):
    with pytest.raises(PlanError) as caught:
        plan_from(changed(whole, path, wrong))
    message = str(caught.value)
    assert named in message and near in message.replace(named, "")


@pytest.mark.parametrize(("target", "model", "named"), OPTIONS)
def test_a_wrong_option_of_a_network_is_refused_at_reading(whole, target, model, named):
    plan_from({**whole, "targets": {"toy": {"target": target}}})
    with pytest.raises(PlanError) as caught:
        plan_from({**whole, "targets": {"toy": {"target": target, "model": model}}})
    assert "targets.toy.model: " in str(caught.value) and named in str(caught.value)
