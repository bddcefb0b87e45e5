"""The other benchmarks run at a small size and write what they promise."""

import importlib
import json

import cv2
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def run(repo_root, tmp_path, monkeypatch, capsys):
    threads = cv2.getNumThreads()

    def run_one(name: str, *options: str):
        out = tmp_path / "numbers.json"
        importlib.import_module(f"gesture_pretrain.commands.benchmarks.{name}").main(
            [*options, "--json", str(out)]
        )
        document = json.loads(out.read_text())
        assert document["benchmark"] == name and document["machine"]["cores"]
        assert document["versions"]["python"] and name in document["command"]
        return document["results"], capsys.readouterr().out

    yield run_one
    cv2.setNumThreads(threads)


def test_loader(run):
    options = ("--images", "6", "--rounds", "1", "--batch", "3", "--size", "32")
    results, table = run("loader", *options)
    expected = {"bare", "plain", "ours_single"}
    expected |= {f"{name}{end}" for name in ("ours", "pose", "eanet") for end in ("", "_shards")}
    assert expected <= results.keys()
    assert results["bare"]["of_bare"] == 1
    assert all(row["images_per_s"] > 0 and f"{name} " in table for name, row in results.items())


def test_step(run):
    options = ("--arch", "test_resnet", "--size", "64", "--batch", "2", "--rounds", "2")
    results, table = run("step", *options)
    assert results["batch"] == 2 and {len(v) for v in results["seconds"].values()} == {2}
    assert results["ours_of_bare"] > 0 and "of bare" in table


def test_token_fusion_beside_eanet(run):
    small = ("--tiny", "--arch", "test_resnet", "--size", "64", "--runs", "1")
    options = ("--batch", "1", "2", "--ways", "eager", "bf16", "--device", "cpu")
    results, _ = run("token_fusion", *small, *options)
    facts = results["networks"]
    assert facts["token_fusion"]["of_the_backbone"] == facts["eanet"]["of_the_backbone"]
    assert all(facts[n]["gflop_per_image"] > 0 for n in facts)
    for row in results["batches"]:
        assert row["failed"] == {} and set(row["token_fusion_over_eanet"]) == {"eager", "bf16"}
