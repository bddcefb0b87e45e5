"""The other benchmarks run at a small size and write what they promise."""

import importlib
import json
from types import SimpleNamespace

import cv2
import pytest

PACKAGE = "gesture_pretrain.commands.benchmarks"
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
    expected = {
        "bare",
        "ours",
        "ours_single",
        "ours_shards",
        "plain",
        "pose",
        "pose_shards",
    }
    expected |= {"eanet", "eanet_reduced", "eanet_shards"}
    assert expected <= results.keys()
    assert results["bare"]["of_bare"] == 1
    assert all(row["images_per_s"] > 0 and f"{name} " in table for name, row in results.items())


def test_step(run):
    options = ("--arch", "test_resnet", "--size", "64", "--batch", "2", "--rounds", "2")
    results, table = run("step", *options)
    assert results["batch"] == 2 and {len(v) for v in results["seconds"].values()} == {2}
    assert results["ours_of_bare"] > 0 and "of bare" in table
    assert "fed" not in results and "fed" not in table


@pytest.mark.parametrize("source", ["files", "shards"])
def test_step_fed_by_the_loader_of_a_run(run, source):
    options = ("--arch", "test_resnet", "--size", "64", "--batch", "2", "--rounds", "1")
    fed = ("--workers", "1", "--images", "4", "--turns", "2", "--steps", "3")
    results, table = run("step", *options, *fed, *["--shards"] * (source == "shards"))
    fed = results["fed"]
    assert (fed["source"], fed["workers"], fed["steps"]) == (source, 1, 3)
    assert {len(each) for each in fed["seconds"].values()} == {2} == {len(fed["waited_s"])}
    assert fed["fed_of_ours"] > 0 and 0 <= fed["waiting_share"] < 1
    assert f"fed from {source} by 1 workers" in table


def test_waiting_for_data_is_seen(repo_root, monkeypatch):
    """Batches that take 20 ms before steps that take 5 ms: four fifths of the time is waiting."""
    fed_step = importlib.import_module(f"{PACKAGE}.fed_step")
    batch, seen, now_s = SimpleNamespace(row=range(2)), [], [0.0]
    clock = SimpleNamespace(perf_counter=lambda: now_s[0])
    monkeypatch.setattr(fed_step, "time", clock)  # a real one made this test depend on the machine

    def train(given):
        assert given is batch
        seen.append(given)
        now_s[0] += 0.005
        return SimpleNamespace(read=lambda: None)

    class Slow:
        num_workers = 2

        def __iter__(self):
            while True:
                now_s[0] += 0.02
                yield batch

    result = fed_step.measure_fed(train, batch, Slow(), turns=3, steps=4, finish=lambda: None)
    assert len(seen) == 2 * 3 * (4 + 4)  # each block fills two batches per worker before it counts
    assert result["waiting_share"] == pytest.approx(0.02 / 0.025)
    assert result["fed_of_ours"] == pytest.approx(0.005 / 0.025)
    assert result["images_per_s"] == pytest.approx({"ours": 2 / 0.005, "fed": 2 / 0.025})


@pytest.mark.parametrize(
    "options, said",
    [
        (("--shards",), "require --workers"),
        (("--workers", "1", "--data", "index", "--shards"), "goes with --data INDEX"),
        (("--workers", "1", "--shards", "folder"), "synthetic images"),
    ],
)
def test_step_options_that_do_not_fit_are_named(run, capsys, options, said):
    with pytest.raises(SystemExit):
        run("step", *options)
    assert said in capsys.readouterr().err


def test_token_fusion_beside_eanet(run):
    small = ("--tiny", "--arch", "test_resnet", "--size", "64", "--runs", "1")
    options = ("--batch", "1", "2", "--ways", "eager", "bf16", "--device", "cpu")
    results, _ = run("token_fusion", *small, *options)
    facts = results["networks"]
    assert facts["token_fusion"]["of_the_backbone"] == facts["eanet"]["of_the_backbone"]
    assert all(facts[n]["gflop_per_image"] > 0 for n in facts)
    for row in results["batches"]:
        assert row["failed"] == {} and set(row["token_fusion_over_eanet"]) == {"eager", "bf16"}
