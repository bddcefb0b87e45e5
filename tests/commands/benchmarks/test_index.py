"""The index benchmark runs, and what it makes has the structure that it claims."""

import json
import subprocess
import sys

import numpy as np
import pytest

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index


def test_runs_and_writes_its_numbers(repo_root, tmp_path):
    out = tmp_path / "numbers.json"
    command = [sys.executable, str(repo_root / "tools/benchmark.py"), "index", "--scale", "0.0005"]
    command += ["--only", "ours: build", "ours: open", "json.load", "--work", str(tmp_path)]
    done = subprocess.run([*command, "--json", str(out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(out.read_text())
    assert [row["candidate"] for row in document["results"]] == command[6:9]
    assert all(row["seconds"] > 0 and row["peak_mib"] > 0 for row in document["results"])
    assert document["versions"]["numpy"] and document["machine"]["cores"]
    assert list(tmp_path.iterdir()) == [out]  # the annotations are gone


def test_a_candidate_that_reads_an_index_has_one_on_its_own(repo_root, tmp_path):
    # "failed ... holds no index" unless "ours: build" was asked for before it
    command = [sys.executable, str(repo_root / "tools/benchmark.py"), "index", "--scale", "0.0005"]
    command += ["--only", "ours: epoch", "--json", str(tmp_path / "numbers.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "numbers.json").read_text())["results"]
    assert row["candidate"] == "ours: epoch" and "failed" not in row


def test_made_up_annotations_have_the_real_structure(repo_root, tmp_path, monkeypatch):
    generator = pytest.importorskip("gesture_pretrain.commands.benchmarks.interhand_annotations")
    root = generator.write_annotations(tmp_path, 0.004)
    index = HandIndex.open(build_interhand_index(root, progress=False))
    assert len(index) == round(0.004 * generator.FULL_IMAGES)
    assert index.meta["rounded_to_float32"] == {}
    single = np.mean(index.values("hand") < 2)
    assert 0.45 < single < 0.55  # half of the time steps, give or take the last one
    assert (index.columns["step_mano"] < 0).all(axis=1).any()  # steps without a fit
    data = root / "annotations" / "train" / "InterHand2.6M_train_data.json"
    per_image = data.stat().st_size / len(index)
    assert 560 < per_image < 680  # the real file has 622 bytes per image
