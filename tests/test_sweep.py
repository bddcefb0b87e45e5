"""Sweeps: every combination once, nothing twice, and differences paired by seed."""

import json
from functools import partial
from pathlib import Path

import pytest
from tiny_run import tiny_sections

from gesture_pretrain import sweep as module
from gesture_pretrain.commands.main import run_commands
from gesture_pretrain.commands.sweep import sort_changes, split_values, stage_of
from gesture_pretrain.config.kind import WrongKind
from gesture_pretrain.pretraining.stage import pretrain, resolve_config
from gesture_pretrain.sweep import SweepRun, sweep, sweep_table
from gesture_pretrain.training.stopped import NonFiniteLoss, ToldToEnd

GRID = {"optimizer.lr": [1e-3, 2e-3], "seed": [0, 1]}


def swept(index, out, grid=GRID, *, train=None, **options):
    sections = tiny_sections(index, schedule={"iterations": 2, "warmup_iterations": 1})
    config = {k: v for k, v in sections.items() if k not in ("device", "progress")}

    def trained(out, **changes):
        return pretrain(config, device="cpu", progress=False, out=out, export_to=out, **changes)

    resolve = partial(resolve_config, config)
    return sweep(train or trained, resolve, grid, out=out, **options)


def never(**_options):
    raise AssertionError("a run was started")


def test_finished_runs_are_not_repeated(tiny_index, tmp_path):
    runs = swept(tiny_index, tmp_path)
    assert [run.values["optimizer.lr"] for run in runs] == ["0.001", "0.001", "0.002", "0.002"]
    assert all("coarse_top1" in run.scores for run in runs)
    assert all((run.folder / "test_resnet.pretraining" / "card.json").is_file() for run in runs)
    configs = [json.loads((run.folder / "result.json").read_text())["config"] for run in runs]
    assert [c["seed"] for c in configs] == [0, 1, 0, 1]
    assert swept(tiny_index, tmp_path, train=never) == runs
    with pytest.raises(ValueError, match="another config"):
        swept(tiny_index, tmp_path, train=never, overrides=["schedule.iterations=3"])


def test_an_interrupted_sweep_continues_and_divergence_does_not_stop_it(tiny_index, tmp_path):
    calls = []

    def fails(*, out, overrides, resume):
        calls.append(out.name)
        out.mkdir(parents=True, exist_ok=True)
        assert resume
        raise NonFiniteLoss("inf") if len(calls) == 1 else ToldToEnd("SIGTERM")

    for _ in range(2):
        with pytest.raises(ToldToEnd):
            swept(tiny_index, tmp_path, train=fails)
    assert calls == ["optimizer.lr=0.001,seed=0", *["optimizer.lr=0.001,seed=1"] * 2]


def test_wrong_values_stop_before_the_first_run(tiny_index, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="momentum"):
        grid = {"seed": [0], "optimizer.momentum": [0.9]}
        swept(tiny_index, tmp_path, grid, train=never)
    monkeypatch.setattr(module, "launched_by_torchrun", lambda: True)
    with pytest.raises(ValueError, match="torchrun"):
        swept(tiny_index, tmp_path, train=never)


def test_differences_are_paired_by_seed():
    scores = {("1", "0"): 0.1, ("1", "1"): 0.5, ("2", "0"): 0.3, ("2", "1"): 0.9, ("3", "0"): None}
    runs = [
        SweepRun({"a": a, "seed": s}, {} if top1 is None else {"top1": top1}, Path())
        for (a, s), top1 in scores.items()
    ]
    runs.append(SweepRun({"a": "4", "seed": "0"}, {"mm": 20.0}, Path()))  # a setting with probes
    header, first, second, third, fourth = (line.split() for line in sweep_table(runs).splitlines())
    assert header == ["setting", "seeds", "top1", "mm"] and first == ["a=1", "2", "0.3", "-"]
    assert second == ["a=2", "2", "0.6", "(+0.3", "±", "0.1)", "-"]  # +0.2 and +0.4
    assert third == ["a=3", "0", "-", "-"] and fourth == ["a=4", "1", "-", "20"]


def test_keys_with_several_values_are_swept():
    grid, rest = sort_changes(["a.b=1,2", "c=[x,y]", "d=[1,2],[3]", "e=4"])
    assert grid == {"a.b": ["1", "2"], "d": ["[1,2]", "[3]"]} and rest == ["c=[x,y]", "e=4"]
    assert split_values("f(1,2),3") == ["f(1,2)", "3"]


@pytest.mark.parametrize("wrong", [["a=1"], ["a"], ["a=1,,2"], ["=1,2"]])
def test_a_command_without_a_sweep_is_refused(wrong):
    with pytest.raises(ValueError, match="value"):
        sort_changes(wrong)


def test_the_command_trains_and_prints_a_table(tiny_index, tmp_path, capsys):
    changes = ["backbone.arch=test_resnet", "backbone.size_px=32", "schedule.iterations=1"]
    changes += ["schedule.warmup_iterations=0", "data.batch_size=8", "data.workers=0"]
    words = ["sweep", "hrnet_tiny_synthetic_demo", "--data", str(tiny_index), *changes]
    status = run_commands([*words, "--out", str(tmp_path), "--device", "cpu", "seed=0,1"])
    assert status == 0
    header, row = capsys.readouterr().out.splitlines()[-2:]
    assert "coarse_top1" in header and row.split()[:2] == ["config", "2"]


def test_configs_of_both_stages_are_resolved_and_plans_refused():
    _, resolve = stage_of("token_fusion_tiny_synthetic", data="index", device="cpu")
    assert resolve(["optimizer.lr=0.5"])["optimizer"]["lr"] == 0.5
    with pytest.raises(WrongKind):
        stage_of("table2", data=None, device="cpu")
