"""Every key of a plan with a wrong value is refused when the plan is read, by its name."""

import json
from dataclasses import fields

import pytest
from toy_pose import toy_plan

from adapters.transfer.plan.file import plan_from
from adapters.transfer.plan.plan import (
    Arm,
    Comparison,
    Diagnostics,
    External,
    LearningRate,
    Plan,
    PlanError,
    Planning,
    Target,
    TestImages,
)

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
# values of another kind, out of range, or that do not go together
WRONG = [
    (["name"], "a/b", "name"),
    (["name"], 3, "name"),
    (["question"], 3, "question"),
    (["data"], {}, "data.index"),
    (["data"], "here", "data"),
    (["data", "fraction"], 0.5, "data.fraction"),
    (["data", "batch_size"], 0, "data.batch_size"),
    (["data", "workers"], -1, "data.workers"),
    (["backbones"], {}, "backbones"),
    (["backbones", "tiny", "init"], "timm", "backbones.tiny.init"),
    (["backbones", "tiny", "size_px"], 0, "backbones.tiny.size_px"),
    (["arms"], {}, "arms"),
    (["arms"], ["random"], "arms"),
    (["arms", "random"], {}, "arms.random"),
    (["arms", "random", "init"], 3, "arms.random.init"),
    (["arms", "random", "weights"], "test_resnet.any", "arms.random"),
    (["arms", "random", "finetuning"], {"schedule": {}}, "arms.random.finetuning.schedule"),
    (["arms", "gesture", "pretrain"], {"optimizer": {"rate": 1}}, "optimizer.rate"),
    (["arms", "gesture", "pretrain"], 3, "arms.gesture.pretrain"),
    (["arms", "random", "weights"], 3, "arms.random.weights"),
    (["arms", "random", "extra"], -1, "arms.random.extra"),
    (["arms", "random", "extra"], "finetuning", "arms.random.extra"),
    (["arms", "random", "extra"], 0.5, "arms.random.extra"),
    (["arms", "random", "optional"], "yes", "arms.random.optional"),
    (["arms", "random", "text"], 3, "arms.random.text"),
    (["arms"], {"random": {"init": "random", "extra": "pretraining"}}, "arms.random.extra"),
    (["targets"], {}, "targets"),
    (["targets", "toy", "target"], "onnx", "targets.toy.target"),  # it writes a file
    (["targets", "toy", "backbone"], 3, "targets.toy.backbone"),
    (["targets", "toy", "model"], {"size": "huge"}, "targets.toy.model"),
    (["targets", "toy", "model"], {"colour": 1}, "targets.toy.model"),
    (["targets", "toy", "arms"], "gesture", "targets.toy.arms"),
    (["targets", "toy", "finetuning"], {"optimizer": 3}, "targets.toy.finetuning.optimizer"),
    (["targets", "toy", "finetuning"], {"heads": {}}, "targets.toy.finetuning.heads"),
    (["targets", "toy", "text"], 3, "targets.toy.text"),
    (["pretraining"], [], "pretraining"),
    (["pretraining", "schedule", "iterations"], 0, "pretraining: schedule.iterations"),
    (["pretraining", "objective"], {"ramp": {"start": 2}}, "pretraining: objective.ramp"),
    (["finetuning"], [], "finetuning"),
    (["finetuning", "data"], {"fraction": 1.0}, "finetuning: data.fraction"),
    (["finetuning", "data"], {"augmentation": {"flip": 2}}, "finetuning: data.augmentation.flip"),
    (["finetuning", "data"], {"augmentation": {"turn": 2}}, "data.augmentation.turn"),
    (["finetuning", "optimizer", "lr"], -1, "finetuning: optimizer"),
    (["finetuning", "training", "threads"], 0, "finetuning: training.threads"),
    (["seeds"], [], "seeds"),
    (["seeds"], [1, 1], "seeds"),
    (["seeds"], 3, "seeds"),
    (["seeds"], [0.5], "seeds[0]"),
    (["seeds"], [True], "seeds[0]"),
    (["seeds"], [-1], "seeds"),
    (["fractions"], [0.0], "fractions"),
    (["fractions"], [0.5, 1.5], "fractions"),
    (["fractions"], [float("nan")], "fractions"),
    (["fractions"], ["half"], "fractions[0]"),
    (["comparisons"], "gesture", "comparisons"),
    (["comparisons", 0, "arm"], 3, "comparisons[0].arm"),
    (["comparisons", 0, "reference"], "gesture", "comparisons[0] compares 'gesture' with itself"),
    (["comparisons", 0, "target"], 3, "comparisons[0].target"),
    (["comparisons", 0, "reference_target"], 3, "comparisons[0].reference_target"),
    (["comparisons", 0, "text"], 3, "comparisons[0].text"),
    (["targets", "toy", "arms"], ["gesture"], "comparisons[0]: no target is run with both"),
    (["protocols"], [], "protocols"),
    (["protocols"], "interhand_wrist", "protocols"),
    (["protocols"], ["all"], "protocols"),
    (["test"], [], "test"),
    (["test", "split"], 3, "test.split"),
    (["test", "images"], 0, "test.images"),
    (["test", "images"], "all", "test.images"),
    (["test", "hands"], [], "test.hands"),
    (["test", "hands"], "right", "test.hands"),
    (["test", "index"], 3, "test.index"),
    (["test", "box_source"], "annotation", "test.box_source"),
    (["external"], "theirs.npz", "external"),
    (["external", 0, "name"], 3, "external[0].name"),
    (["external", 0, "path"], "nowhere.npz", "external[0].path"),
    (["external", 0, "text"], 3, "external[0].text"),
    (["external", 0, "reference"], 3, "external[0].reference"),
    (["external"], 2 * PARTS["external"], "external[0].name"),
    (["external"], [{"name": "theirs"}], "external[0].path is required"),
    (["allowed_leaks"], "pretraining:other_view", "allowed_leaks"),
    (["leakage_by_content"], "yes", "leakage_by_content"),
    (["planning"], 3, "planning"),
    (["planning", "cluster_sd_mm"], -1, "planning.cluster_sd_mm"),
    (["planning", "seed_sd_mm"], "small", "planning.seed_sd_mm"),
    (["planning", "images_per_s"], 0, "planning.images_per_s"),
    (["planning", "pretraining_images_per_s"], 0, "planning.pretraining_images_per_s"),
    (["planning", "prediction_images_per_s"], -1, "planning.prediction_images_per_s"),
    (["planning", "source"], 3, "planning.source"),
    (["diagnostics"], 3, "diagnostics"),
    (["diagnostics", "train_images"], 0, "diagnostics.train_images"),
    (["diagnostics", "test_images"], 2.5, "diagnostics.test_images"),
    (["pretrainings"], 0, "pretrainings"),
    (["pretrainings"], 3, "pretrainings"),
    (["curve"], [2, 1], "curve"),
    (["curve"], [1], "curve needs schedule.final_lr_ratio=1"),
    (["learning_rate"], {}, "learning_rate.candidates"),
    (["learning_rate", "candidates"], [1e-3], "learning_rate.candidates"),
    (["learning_rate", "candidates"], [1e-3, -1e-3], "learning_rate.candidates"),
    (["learning_rate", "split"], "test", "learning_rate.split"),
    (["learning_rate", "images"], 0, "learning_rate.images"),
    (["arms", "random", "finetuning"], {"optimizer": {"lr": 1e-3}}, "finetuning.optimizer.lr"),
]


# options of the networks themselves, which are chosen by a name
OPTIONS = [
    ("token_fusion", {"guidance": "bth"}, "unknown guidance 'bth'"),
    ("token_fusion", {"witdh": 64}, "Unknown key model.witdh"),
    ("token_fusion", {"weights": {"joint": 1}}, "Unknown key model.weights.joint"),
    ("eanet", {"gesture_logits": "both"}, "gesture_logits is 'both'"),
    ("eanet", {"reduction": "sum"}, "reduction is 'sum'"),
    ("eanet", {"cell_origin": "middle"}, "cell_origin is 'middle'"),
    ("eanet", {"input_normalisation": "imagenet"}, "input_normalisation is 'imagenet'"),
    ("eanet", {"quirks": "all"}, "unknown quirks preset 'all'"),
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


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        (Plan, []),
        (Arm, ["arms"]),
        (Target, ["targets"]),
        (Comparison, ["comparisons"]),
        (External, ["external"]),
        (TestImages, ["test"]),
        (Planning, ["planning"]),
        (Diagnostics, ["diagnostics"]),
        (LearningRate, ["learning_rate"]),
    ],
)
def test_no_key_of_a_plan_is_left_out_above(kind, place):
    depth = len(place) + (kind in (Arm, Target, Comparison, External))
    paths = [path for path, *_ in WRONG + NEAR if path[: len(place)] == place]
    tried = {path[depth] for path in paths if len(path) > depth}
    assert {item.name for item in fields(kind)} <= tried
