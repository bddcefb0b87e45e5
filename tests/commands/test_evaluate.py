"""tools/evaluate.py backbone: from an exported backbone to numbers, files and one page."""

import json
import re

import cv2
import numpy as np
import pytest
from tool_module import load_tool, refused_by

from gesture_pretrain.data.folders import build_folder_index
from gesture_pretrain.data.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.evaluation.features.extract import FeatureTable
from gesture_pretrain.evaluation.features.joint_error import mpjpe_mm
from gesture_pretrain.evaluation.features.measures import Predictions, score_predictions
from gesture_pretrain.evaluation.features.run import evaluate_features
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.report.backbone_report import write_backbone_report
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.export import export_backbone

NAME = "hrnet_w16_tiny.evaluated"


@pytest.fixture(scope="module")
def tool():
    return load_tool("evaluate")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    """A registry with one backbone with heads, one without, and one of shuffled labels."""
    folder = tmp_path_factory.mktemp("registry")
    taxonomy = Taxonomy.load("interhand26m")
    backbone = build_backbone("hrnet_w16_tiny", size_px=64, seed=3)
    heads = build_gesture_heads(
        backbone.pooled_channels,
        num_coarse=taxonomy.num_coarse,
        num_fine=taxonomy.num_fine,
        hidden=8,
    )
    network = GestureNetwork(backbone, heads)
    export_backbone(network, tag="evaluated", taxonomy=taxonomy, out=folder)
    export_backbone(network, tag="control", taxonomy=taxonomy.shuffled(4), out=folder)
    export_backbone(backbone, tag="headless", out=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GESTURE_PRETRAIN_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """An index of rendered hands: 48 images of four people, 16 of two others."""
    root = tmp_path_factory.mktemp("rendered") / "data"
    write_synthetic(
        root,
        images_per_split={"train": 48, "val": 16},
        size_px=64,
        workers=1,
        cameras_per_frame=2,
        view_limit_deg=40,
        subjects={"train": 4, "val": 2},
        gestures=["fist", "palmdown"],
        progress=False,
    )
    return build_interhand_index(root, root / "index", progress=False)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """An index of class-per-folder images: no boxes, no joints, no capture."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for label, brightness in (("dark", 40), ("light", 180)):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(count):
                image = (brightness + rng.integers(0, 40, (50, 70, 3))).astype(np.uint8)
                cv2.imwrite(str(folder / f"{i}.png"), image)
    return build_folder_index(root, progress=False)


@pytest.fixture(scope="module")
def evaluated(rendered, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")
    evaluation = evaluate_features(
        NAME, data=rendered,
        baselines=["untrained"], k=3, out=out, workers=0, command="the command",
    )  # fmt: skip
    assert evaluation.scores[NAME]["knn_coarse"]["top1"] >= 0
    write_backbone_report(out / "report.html", evaluation)
    return out


def test_everything_is_written(evaluated):
    assert {path.name for path in evaluated.iterdir()} == {
        "metrics.json",
        "report.html",
        *(
            f"{name}.{end}.npz"
            for name in (NAME, "untrained")
            for end in ("train.features", "val.features", "predictions")
        ),
    }


def test_scores_come_from_the_files(evaluated):
    """The stored numbers are those of the stored predictions, recomputed in other ways."""
    metrics = json.loads((evaluated / "metrics.json").read_text())
    table = FeatureTable.load(evaluated / f"{NAME}.val.features.npz")
    arrays = Predictions.load(evaluated / f"{NAME}.predictions.npz").arrays
    scores = metrics["backbones"][NAME]["scores"]
    assert set(scores) == {
        *(f"{m}_{level}" for m in ("heads", "knn", "probe") for level in ("coarse", "fine")),
        "probe_joints",
        "knn_joints",
        "mean_pose",
    }
    assert scores["heads_coarse"]["top1"] == (table.coarse_logits.argmax(1) == table.coarse).mean()
    distance = np.linalg.norm(arrays["probe_joints_mm"] - table.joints_rel_mm, axis=-1)[:, 1:]
    expected = distance[table.joint_valid[:, 1:]].mean()
    assert scores["probe_joints"]["mpjpe_mm"] == pytest.approx(expected, rel=1e-6)
    train = FeatureTable.load(evaluated / f"{NAME}.train.features.npz")
    mean = train.joints_rel_mm[train.joint_valid.all(1)].mean(0)
    expected = mpjpe_mm(np.broadcast_to(mean, (16, 21, 3)), table.joints_rel_mm, table.joint_valid)
    assert scores["mean_pose"]["mpjpe_mm"] == pytest.approx(expected, rel=1e-5)
    assert "heads_coarse" not in metrics["backbones"]["untrained"]["scores"]
    assert metrics["synthetic"] is True


def test_no_person_is_in_both_parts(evaluated):
    train, val = (
        FeatureTable.load(evaluated / f"{NAME}.{part}.features.npz") for part in ("train", "val")
    )
    assert not set(train.subjects) & set(val.subjects)
    assert not set(train.groups) & set(val.groups)


def test_page_says_what_the_data_are(evaluated):
    page = (evaluated / "report.html").read_text()
    assert "SYNTHETIC" in page and "embedded synthetic set" in page and "the command" in page
    assert "Circular" in page and "wrist" in page
    assert "://" not in page and "<script" not in page  # images in base64 may spell http


def test_second_call_skips_extraction_and_agrees(tool, rendered, evaluated, capsys):
    before = json.loads((evaluated / "metrics.json").read_text())
    place = ["--data", str(rendered), "--out", str(evaluated), "--workers", "0"]
    tool.run(["backbone", NAME, "--baseline", "untrained", "--k", "3", *place])
    printed = capsys.readouterr().out
    assert f"Features of split val found for {NAME}, untrained; skipping" in printed
    assert "linear probe (ridge)" in printed and "Report:" in printed
    assert json.loads((evaluated / "metrics.json").read_text())["backbones"] == before["backbones"]


def test_control_of_shuffled_labels_is_compared_to_true_ones(rendered, tmp_path):
    name = "hrnet_w16_tiny.control"
    settings = dict(data=rendered, baselines=[NAME], k=3, out=tmp_path, workers=0)
    write_backbone_report(tmp_path / "report.html", evaluate_features(name, **settings))
    control, plain = (
        FeatureTable.load(tmp_path / f"hrnet_w16_tiny.{tag}.val.features.npz")
        for tag in ("control", "evaluated")
    )
    np.testing.assert_array_equal(control.coarse, plain.coarse)
    assert len(np.unique(control.coarse)) > 1 and control.coarse_logits is not None
    assert "control: shuffled4" in (tmp_path / "report.html").read_text()


def test_photographs_have_no_joint_probe_and_it_says_so(tool, photographs, tmp_path, capsys):
    place = ["--data", str(photographs), "--out", str(tmp_path), "--workers", "0"]
    tool.run(["backbone", NAME, "--taxonomy", "index_labels", "--no-heads", "--k", "3", *place])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    scores = metrics["backbones"][NAME]["scores"]
    assert set(scores) == {"knn_coarse", "probe_coarse"}  # fine would say the same again
    assert "The fine level: it repeats the coarse one." in metrics["left_out"]
    # dark and light images: any network tells them apart
    assert scores["knn_coarse"]["top1"] == 1.0
    assert any("joints" in sentence for sentence in metrics["left_out"])
    assert metrics["synthetic"] is False
    page = (tmp_path / "report.html").read_text()
    assert "photographs" in page and "SYNTHETIC" not in page
    assert "no joint annotations" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["hrnet_w16_tiny.evaluted"], "unknown backbone .*Similar names: .*evaluated"),
        ([NAME, "--taxonomy", "index_labels"], "heads of "),
        ([NAME, "--taxonomy", "interhand27m"], "Did you mean 'interhand26m'"),
        (["hrnet_w16_tiny.headless"], "exported without a taxonomy"),
        ([NAME, "--split", "test"], "No image of split 'test'"),
        ([NAME, "--split", "train"], "both fitted and scored"),
        ([NAME, "--baseline", "resnet50.no_such"], "unknown backbone 'resnet50.no_such'"),
        ([NAME, "--baseline", NAME], "its own baseline"),
        ([NAME, "--k", "500"], "k = 500, but a query has 48"),
        ([NAME, "--run", "."], "not a run folder"),
    ],
)
def test_wrong_input(tool, rendered, tmp_path, arguments, message):
    place = ["--data", rendered, "--out", tmp_path, "--workers", "0"]
    said = refused_by(tool, ["backbone", *arguments, *place])
    assert re.search(message, said, re.DOTALL)


def test_a_misspelt_name_leaves_no_folder(tool, rendered, tmp_path):
    # runs/evaluate_<misspelt name> stayed behind, empty
    out = tmp_path / "out"
    arguments = ["backbone", "hrnet_w16_tiny.nope", "--data", rendered, "--out", out]
    assert "unknown backbone" in refused_by(tool, arguments)
    assert not out.exists()


def test_a_missing_predictions_file_is_named(tool, rendered, tmp_path):
    # it said "[Errno 2] No such file or directory"
    arguments = ["predictions", str(tmp_path / "no.npz"), "--data", str(rendered)]
    said = refused_by(tool, [*arguments, "--mano", "open", "--out", tmp_path / "out"])
    assert "no.npz" in said


def test_data_without_labels_of_the_taxonomy(tool, photographs, tmp_path):
    said = refused_by(tool, ["backbone", NAME, "--data", photographs, "--out", tmp_path])
    assert "taxonomy 'interhand26m'" in said and "dark, light" in said


def test_the_labelled_part_of_test_is_evaluated_by_default(miniature, tmp_path, capsys):
    options = dict(data=miniature, k=3, max_train=60, out=tmp_path, workers=0)
    write_backbone_report(tmp_path / "report.html", evaluate_features(NAME, **options))
    index = HandIndex.open(miniature)
    labelled = index.select("test", labelled_by=Taxonomy.load("interhand26m"))
    told = f"{len(labelled)} of {len(index.select('test'))} images of test have a gesture label"
    assert 0 < len(labelled) and told in capsys.readouterr().out
    assert told in (tmp_path / "report.html").read_text()
    rows = FeatureTable.load(tmp_path / f"{NAME}.test.features.npz").rows
    assert rows.tolist() == labelled.tolist()


def test_images_without_labels_are_measured_by_their_joints(miniature, tmp_path, capsys):
    """val of InterHand2.6M: range of motion only."""
    options = dict(data=miniature, split="val", baselines=["untrained"], k=3, workers=0)
    evaluation = evaluate_features(NAME, out=tmp_path, **options)
    write_backbone_report(tmp_path / "report.html", evaluation)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    scores = metrics["backbones"][NAME]["scores"]
    assert set(scores) == {"probe_joints", "knn_joints", "mean_pose"}
    assert all(0 < score["mpjpe_mm"] < 200 for score in scores.values())
    assert any(text.startswith("Gestures:") for text in metrics["left_out"])
    page = (tmp_path / "report.html").read_text()
    assert "Joints from frozen features" in page and "Confusions" not in page


def test_photographs_without_val_are_evaluated_on_held_out_ones(photographs, tmp_path, capsys):
    (tmp_path / "photos").symlink_to(photographs.parent / "train")
    index = build_folder_index(tmp_path / "photos", tmp_path / "index", progress=False)
    options = dict(taxonomy="index_labels", with_heads=False, workers=0, out=tmp_path / "out")
    evaluate_features(NAME, data=index, k=3, **options)
    assert "images of train are held out" in capsys.readouterr().out
    held = FeatureTable.load(tmp_path / "out" / f"{NAME}.held_out.features.npz")
    train = FeatureTable.load(tmp_path / "out" / f"{NAME}.train.features.npz")
    assert len(held) and not set(held.rows) & set(train.rows) and len(held) + len(train) == 24


def test_cuda_asked_and_absent(tool, rendered, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ["backbone", NAME, "--data", rendered, "--out", tmp_path, "--device", "cuda"]
    assert "cuda" in refused_by(tool, arguments)


def test_scores_need_labels_or_joints(evaluated):
    table = FeatureTable.load(evaluated / f"{NAME}.val.features.npz")
    bare = {"coarse": np.full(16, -1), "fine": np.full(16, -1)}
    bare["joint_valid"] = np.zeros_like(table.joint_valid)
    predictions = Predictions.load(evaluated / f"{NAME}.predictions.npz")
    with pytest.raises(ValueError, match="16 evaluated samples have no truth"):
        score_predictions(
            predictions,
            FeatureTable(**dict(vars(table), **bare)),
            num_classes={"coarse": 54, "fine": 70},
        )


def test_a_taxonomy_of_one_class_has_no_gesture_scores(rendered, evaluated, tmp_path):
    """Every sample is right by construction, which read as 100 %."""
    rows = [
        "label,coarse,fine",
        *(f"{label},hand,hand" for label in HandIndex.open(rendered).labels),
    ]
    (tmp_path / "one.csv").write_text("\n".join(rows))
    options = dict(taxonomy=str(tmp_path / "one.csv"), with_heads=False, k=3, workers=0)
    evaluation = evaluate_features(NAME, data=rendered, out=tmp_path / "out", **options)
    assert set(evaluation.scores[NAME]) == {"probe_joints", "knn_joints", "mean_pose"}
    assert any("one class" in sentence for sentence in evaluation.context.left_out)
    write_backbone_report(tmp_path / "report.html", evaluation)
