"""The tool as it is called: list, dry run, export, and a study of a few steps."""

import csv
import json

import numpy as np
import pytest
import torch

from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.export import export_backbone
from tools.swap_backbone import run

NAME = "hrnet_w16_tiny.tiny"


@pytest.fixture(autouse=True)
def own_registry(registered):
    return registered


def refused(capsys, *arguments) -> str:
    """Standard error of a call that must end with status 1, and without a traceback."""
    assert run([str(argument) for argument in arguments]) == 1
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_the_list_shows_every_target(capsys):
    assert run(["--list"]) == 0
    text = capsys.readouterr().out
    for name in ("eanet", "token_fusion", "mmpose", "timm", "torchvision", "onnx", "hub"):
        assert any(line.startswith(f"{name} ") for line in text.splitlines())


@pytest.mark.parametrize("target", ["eanet", "token_fusion"])
def test_a_dry_run_prints_the_ledger(capsys, tmp_path, target):
    assert run(["--target", target, "--backbone", NAME, "--size", "tiny", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert f"swap: {NAME} into {target}" in text
    tensors = len(build_backbone("hrnet_w16_tiny").net.state_dict())
    rows = [line.split() for line in text.splitlines()]
    assert [row[2] for row in rows if row[:2] == ["backbone", "matched"]] == [str(tensors)]


def test_a_dry_run_of_the_full_eanet_asks_for_a_projection(capsys):
    text = refused(capsys, "--target", "eanet", "--backbone", NAME, "--dry-run")
    assert "2048 channels" in text and "512" in text and "--allow-projection" in text


def test_a_dry_run_of_a_file_writes_nothing(capsys, tmp_path):
    weights = build_backbone("resnet18", size_px=64)
    export_backbone(weights, tag="x")
    path = tmp_path / "w.safetensors"
    arguments = ["--target", "timm", "--backbone", "resnet18.x", "--dry-run", "--export", str(path)]
    assert run(arguments) == 0
    assert "deleted" in capsys.readouterr().out
    assert not path.exists()


def test_an_export_writes_the_file_and_says_how_to_load_it(capsys, tmp_path):
    export_backbone(build_backbone("resnet18", size_px=64), tag="x")
    path = tmp_path / "w.pth"
    arguments = ["--target", "torchvision", "--backbone", "resnet18.x", "--export", str(path)]
    assert run([*arguments, "num_classes=3"]) == 0
    assert torch.load(path, weights_only=True)["fc.weight"].shape == (3, 512)
    text = capsys.readouterr().out
    assert "torchvision.models.resnet18(num_classes=3)" in text
    assert "fresh: fc.weight" in text


def test_an_unknown_option_of_an_export_is_refused(capsys, tmp_path):
    export_backbone(build_backbone("resnet18", size_px=64), tag="x")
    arguments = ["--target", "torchvision", "--backbone", "resnet18.x", "--export", tmp_path / "w"]
    assert "Unknown key export.classes" in refused(capsys, *arguments, "classes=3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "eannet", "--backbone", NAME, "--dry-run"], "unknown target 'eannet'"),
        (["--target", "eanet", "--backbone", "none.x", "--dry-run"], "unknown backbone"),
        (["--target", "timm", "--backbone", NAME, "--export", "x.pth"], "timm has no architecture"),
        (["--target", "timm", "--backbone", NAME, "--data", "d"], "is a file format"),
        (["--target", "eanet", "--backbone", NAME, "--data", "d"], "--out"),
        (["--target", "eanet", "--backbone", NAME, "--data", "d", "--out", "o"], "--baseline"),
        (
            ["--target", "eanet", "--backbone", NAME, "--dry-run", "--size", "big"],
            "no size 'big'; possible: full",
        ),
        (
            ["--target", "eanet", "--backbone", NAME, "--dry-run", "optimiser.lr=1"],
            "optimiser",
        ),
        (
            ["--target", "token_fusion", "--backbone", NAME, "--export", "x.pth"],
            "does not read backbone files",
        ),
        (["--target", "eanet", "--backbone", NAME, "--export", "x.pth"], "has other tensors"),
    ],
)
def test_wrong_input_is_refused_in_one_message(capsys, arguments, message):
    assert message in refused(capsys, *arguments)


def test_target_and_backbone_are_required(capsys):
    assert "--list shows the targets" in refused(capsys, "--target", "eanet")


@pytest.fixture(scope="module")
def arguments(swap_index):
    """A comparison of two steps on a few rendered hands."""
    return [
        *("--target", "eanet", "--size", "tiny", "--data", str(swap_index), "--steps", "2"),
        *("--backbone", NAME, "--seed", "0", "--baseline", "random", "--split", "test"),
        *("data.batch_size=4", "data.workers=0", "data.val_images=4", "training.threads=1"),
    ]


def test_equal_weights_under_two_names_are_trained_to_equal_numbers(capsys, tmp_path, arguments):
    """The registered weights are those of seed 0, as are the baseline's: only the name differs."""
    out = tmp_path / "out"
    assert run([*arguments, "test.images=12", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    report = out / "reports" / "hrnet_w16_tiny_tiny_in_eanet"
    assert (report / "verdict.txt").read_text() in shown and str(report / "report.html") in shown
    (pair,) = json.loads((report / "comparisons.json").read_text())
    assert (pair["arm"], pair["reference"]) == (NAME, "random")
    assert pair["joints"]["difference_mm"] == 0 and pair["joints"]["mean_mm"] > 0
    with (report / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    protocols = {row["protocol"] for row in rows if row["arm"]}
    assert protocols == {"eanet_corrected", "eanet_upstream", "interhand_wrist"}
    folders = sorted((out / "cells").iterdir())
    assert len(folders) == 2
    for folder in folders:
        ledger = json.loads((folder / "run" / "ledger.json").read_text())
        marks = ledger["fingerprints"]
        assert marks["before_swap"] == marks["after_swap"] != marks["after_first_step"]
        assert ledger["complete"]
    files = [PosePredictions.load(next(folder.glob("*.npz"))) for folder in folders]
    assert len(files[0].rows) == 12
    np.testing.assert_array_equal(files[0].joints_rel_mm, files[1].joints_rel_mm)


def test_weights_that_timm_does_not_have_are_no_baseline(capsys, tmp_path, arguments):
    replaced = [a if a != "random" else "imagenet" for a in arguments]
    assert "timm has no weights" in refused(capsys, *replaced, "--out", tmp_path / "out")


def test_the_same_weights_twice_are_refused(capsys, tmp_path, arguments):
    given = ["--baseline", NAME, "--out", tmp_path / "out"]
    assert "itself" in refused(capsys, *arguments, *given)
