"""The benchmarks of training options and of token fusion run small, and the chart shows them."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def benchmarks(repo_root, monkeypatch):
    return lambda name: importlib.import_module(f"gesture_pretrain.commands.benchmarks.{name}")


def run(module, name, out, *options):
    path = out / f"{name}.json"
    module.main([*options, "--json", str(path)])
    document = json.loads(path.read_text())
    assert document["benchmark"] == name and document["versions"]["torch"]
    return document["results"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="counts processor time of a CPU")
def test_options_and_chart(benchmarks, tmp_path, capsys):
    small = ("--arch", "test_resnet", "--size", "64", "--batch", "4", "--rounds", "1")
    chosen = ("fused", "checkpoint_activations", "accumulate 4")
    results = run(
        benchmarks("training_options"), "training_options", tmp_path, *small, "--options", *chosen
    )
    assert list(results["speed_of_plain"]) == ["plain", *chosen]
    assert results["speed_of_plain"]["plain"] == 1
    kept = results["saved_mb"]
    assert kept["checkpoint_activations"] < kept["plain"] and kept["accumulate 4"] < kept["plain"]
    small = ("--tiny", "--arch", "test_resnet", "--size", "64", "--runs", "1")
    options = ("--batch", "1", "2", "--ways", "eager", "bf16", "--device", "cpu")
    results = run(benchmarks("token_fusion"), "token_fusion", tmp_path, *small, *options)
    facts = results["networks"]
    assert facts["token_fusion"]["of_the_backbone"] == facts["eanet"]["of_the_backbone"]
    assert all(facts[n]["gflop_per_image"] > 0 for n in facts)
    for row in results["batches"]:
        assert row["failed"] == {} and set(row["token_fusion_over_eanet"]) == {"eager", "bf16"}
    chart = benchmarks("chart")
    chart.write_chart([str(tmp_path), str(tmp_path / "chart.svg")])
    drawing = (tmp_path / "chart.svg").read_text()
    assert drawing.startswith("<?xml") and "Date" not in drawing
    panels = dict(chart.read_panels(tmp_path))
    assert [len(bars) for bars in panels.values()] == [3, 4]
    assert "written" in capsys.readouterr().out


def test_stored_results_of_the_docs_are_drawn(benchmarks):
    stored = Path(__file__).parents[3] / "docs" / "benchmarks"
    panels = dict(benchmarks("chart").read_panels(stored))
    assert len(panels) == 7 and all(bars for bars in panels.values())
    peaks = dict(next(bars for title, bars in panels.items() if "Peak memory" in title))
    assert set(peaks) >= {"json.load", "pycocotools"} and min(peaks.values()) > 10


def test_folder_without_results_is_named(benchmarks, tmp_path):
    with pytest.raises(SystemExit, match="has no result of index, loader, training_options, step"):
        benchmarks("chart").write_chart([str(tmp_path), str(tmp_path / "chart.svg")])


def test_all_lists_what_is_promised(repo_root):
    command = [sys.executable, str(repo_root / "tools/benchmark.py")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    listed = printed.partition("Benchmarks: ")[2].strip().split(", ")
    promised = {"loader", "step", "eanet", "token_fusion", "metrics", "render", "index"}
    assert promised | {"training_options"} <= set(listed) and "chart" not in listed
