"""The command line of data preparation."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tool_module import load_tool

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.synthetic.build import DEFAULT_SUBJECTS
from gesture_pretrain.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def tool():
    return load_tool("prepare_data")


@pytest.fixture
def photographs(tmp_path):
    for label in ("fist", "flat"):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for k in range(3):
            Image.new("RGB", (8, 8), (200, 100, 50)).save(folder / f"{k}.png")
    return tmp_path / "photos"


def test_folders_then_verify(tool, photographs, tmp_path, capsys):
    csv = tmp_path / "signs.csv"
    csv.write_text("label,coarse,fine\nfist,0,0\nflat,1,1\n")
    arguments = ["folders", "--root", str(photographs), "--licence", "CC0-1.0", "--quiet"]
    assert tool.run([*arguments, "--taxonomy", str(csv)]) == 0
    out = capsys.readouterr().out
    assert "6 images" in out and "train 6 of 6" in out
    assert HandIndex.open(photographs).meta["licence"] == "CC0-1.0"
    assert tool.run(["verify", "--data", str(photographs), "--quiet"]) == 0


def test_verify_fails_and_writes_its_report(tool, photographs, tmp_path, capsys):
    assert tool.run(["folders", "--root", str(photographs), "--quiet"]) == 0
    (photographs / "fist" / "1.png").unlink()
    Image.new("RGB", (8, 8)).save(photographs / "flat" / "0.png")
    report = tmp_path / "report.json"
    code = tool.run(["verify", "--data", str(photographs), "--quiet", "--report", str(report)])
    assert code == 1
    assert "missing: 1" in capsys.readouterr().out
    written = json.loads(report.read_text())
    assert written["rows"] == [1, 3] and not written["ok"]


def test_shards(tool, photographs, tmp_path, capsys):
    assert tool.run(["folders", "--root", str(photographs), "--quiet"]) == 0
    out = tmp_path / "shards"
    command = ["shards", "--data", str(photographs), "--out", str(out), "--size", "8", "--quiet"]
    assert tool.run(command) == 0
    assert f"shards: {out} (6 images" in capsys.readouterr().out
    index = HandIndex.open(photographs)
    options = {"taxonomy": Taxonomy.from_index_labels(index.labels), "size_px": 8}
    dataset = GestureDataset(index, range(6), **options, shards=out, announce=None)
    assert dataset[4].image[:, 4, 4].tolist() == [200, 100, 50]
    assert tool.run([*command, "--ratio", "2"]) == 1
    assert "with other ratio" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["interhand", "--root", "nowhere"], "nowhere is not a folder"),
        (["interhand", "--root", ".", "--images", "nowhere"], "nowhere, does not exist"),
        (["folders", "--root", "nowhere"], "nowhere is not a folder"),
        (["folders", "--root", "nowhere", "--taxonomy", "none"], "No taxonomy 'none'"),
        (["synthetic", "--root", "nowhere", "--size", "1"], "size_px is 1"),
        (["verify", "--data", "nowhere"], "nowhere does not exist"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_1(tool, arguments, message, capsys):
    assert tool.run([*arguments, "--quiet"]) == 1
    error = capsys.readouterr().err.strip()
    assert message in error and error.startswith("Error: ") and "\n" not in error


def test_the_stated_numbers_of_persons_are_those_of_the_renderer(tool, monkeypatch):
    asked = {}
    monkeypatch.setattr(
        "gesture_pretrain.synthetic.build.write_synthetic",
        lambda root, **options: asked.update(options) or 1 / 0,
    )
    with pytest.raises(ZeroDivisionError):
        tool.run(["synthetic", "--root", "nowhere"])
    assert asked["subjects"] == DEFAULT_SUBJECTS


def test_synthetic_renders_and_indexes(repo_root, tmp_path):
    root = tmp_path / "data"
    command = [sys.executable, str(repo_root / "tools/prepare_data.py"), "synthetic"]
    command += ["--root", str(root), "--train", "4", "--val", "2", "--test", "0", "--size", "48"]
    command += ["--cameras", "2", "--train-subjects", "1", "--val-subjects", "1", "--workers", "1"]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "train 4 of 4" in done.stdout and "rendered images" in done.stdout
    index = HandIndex.open(root, verify=True)
    assert len(index) == 6 and index.meta["synthetic"]["synthetic"] is True
    assert index.meta["rounded_to_float32"] == {}
    record = index.record(0)
    assert record.image_path.is_file() and record.image_size_wh == (48, 48)
    side = ("right", "left").index(record.hand)
    assert np.isfinite(record.joints_world_mm[side]).all()


@pytest.mark.parametrize("count", ["0", "-2"])
def test_a_sheet_of_no_images_is_refused(tool, photographs, tmp_path, count, capsys):
    """--count 0 ended in a ZeroDivisionError, and a negative one in a sheet of others."""
    tool.run(["folders", "--root", str(photographs), "--quiet"])
    arguments = ["show", "--data", str(photographs), "--out", str(tmp_path / "sheet.png")]
    with pytest.raises(SystemExit):
        tool.run([*arguments, "--count", count])
    assert f"{count} is not at least 1" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()


def test_a_sheet_under_another_ending_is_refused(tool, photographs, tmp_path, capsys):
    """sheet.jpg held a PNG."""
    tool.run(["folders", "--root", str(photographs), "--quiet"])
    out = tmp_path / "sheet.jpg"
    assert tool.run(["show", "--data", str(photographs), "--out", str(out)]) == 1
    assert "give a name ending in .png" in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize(
    ("command", "option", "value", "least"),
    [
        # each ended with status 0: no training images at all, and shards of no known size
        ("synthetic", "--train", "-1", "0"),
        ("synthetic", "--cameras", "0", "1"),
        ("shards", "--size", "-1", "1"),
        ("shards", "--ratio", "0.5", "1.0"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(tool, command, option, value, least, capsys):
    place = {"synthetic": ["--root", "nowhere"], "shards": ["--data", "no", "--out", "nowhere"]}
    with pytest.raises(SystemExit):
        tool.run([command, *place[command], option, value])
    assert f"argument {option}: {value} is not at least {least}" in capsys.readouterr().err
    assert not Path("nowhere").exists()
