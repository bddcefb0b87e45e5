"""The other benchmarks run at a small size and write what they promise."""

import importlib
import json

import cv2
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def run(repo_root, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(repo_root / "tools"))
    threads = cv2.getNumThreads()

    def run_one(name: str, *options: str):
        out = tmp_path / "numbers.json"
        importlib.import_module(f"benchmarks.{name}").main([*options, "--json", str(out)])
        document = json.loads(out.read_text())
        assert document["benchmark"] == name and document["machine"]["cores"]
        assert document["versions"]["python"] and name in document["command"]
        return document["results"], capsys.readouterr().out

    yield run_one
    cv2.setNumThreads(threads)


def test_loader(run):
    options = ("--images", "6", "--rounds", "1", "--batch", "3", "--size", "32")
    results, table = run("loader", *options)
    expected = {"bare", "ours", "ours_single", "ours_shards", "plain", "pose", "pose_shards"}
    assert expected <= results.keys()
    assert results["bare"]["of_bare"] == 1
    assert all(row["images_per_s"] > 0 and f"{name} " in table for name, row in results.items())


def test_step(run):
    options = ("--arch", "test_resnet", "--size", "64", "--batch", "2", "--rounds", "2")
    results, table = run("step", *options)
    assert results["batch"] == 2 and {len(v) for v in results["seconds"].values()} == {2}
    assert results["ours_of_bare"] > 0 and "of bare" in table


def test_render(run):
    (row,), _ = run("render", "--size", "48", "--workers", "1", "--images", "8", "--runs", "1")
    assert (row["size_px"], row["workers"]) == (48, 1) and row["seconds"]


def test_scale(run):
    (row,), table = run("scale", "--rows", "140")
    assert row["rows"] == 140 and "us/row" in table
    assert row["epoch"]["row_us"] > 0 and row["build"]["seconds"] > 0


def test_the_index_is_shared_by_its_readers(run, tmp_path, repo_root):
    """Memory of several processes by their proportional share, which counts each page once."""
    probe = importlib.import_module("benchmarks.index_probe")
    generator = importlib.import_module("benchmarks.interhand_annotations")
    interhand = importlib.import_module("gesture_pretrain.data.interhand")
    interhand.build_interhand_index(generator.write_annotations(tmp_path, 1e-4), progress=False)
    measured = probe._reading_workers(tmp_path, 1)
    assert measured["1_workers_pss_sum_mib"] > 0
    assert measured["1_workers_rss_largest_mib"] >= measured["1_workers_private_largest_mib"] > 0
