import io
import json
import os

import pytest
import torch
from mmengine.hooks import Hook
from tiny_run import tiny_sections

from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.training.checkpoint import load_newest_checkpoint
from gesture_pretrain.training.hooks import ProgressHook
from gesture_pretrain.training.placement import unwrapped
from gesture_pretrain.training.stopped import NonFiniteLoss, NoRoomForRun


def train(out, index, *, resume=False, hooks=(), **changes):
    runner = build_runner(out=out, resume=resume, hooks=hooks, **tiny_sections(index, **changes))
    runner.train()
    return runner


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_run_writes_metrics_and_checkpoints_and_a_quiet_console(tmp_path, tiny_index, capfd):
    runner = train(tmp_path, tiny_index)
    trained = [line for line in lines(tmp_path) if "train_loss" in line]
    validated = [line for line in lines(tmp_path) if "val_coarse_top1" in line]
    assert [line["iteration"] for line in trained] == list(range(1, 13))
    assert [line["iteration"] for line in validated] == [6, 12]  # 48 images / 8: epochs of 6
    assert load_newest_checkpoint(tmp_path / "checkpoints").state["iteration"] == 12
    assert list((tmp_path / "tensorboard").iterdir())
    assert runner.last_metrics["coarse_top1"] == validated[-1]["val_coarse_top1"]
    printed = capfd.readouterr()
    assert printed.err == ""
    assert {line.split(".")[0] for line in printed.out.splitlines()} == {"Training", "Validation"}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_one_rewritten_line_without_warnings(tmp_path, tiny_index, recwarn):
    # A loss that still had its graph made torch warn in the middle of the line.
    terminal = Terminal()
    display = ProgressHook(batch_size=8, stream=terminal)
    display.refresh_s = 0.0
    train(tmp_path, tiny_index, hooks=[display])
    shown = terminal.getvalue()
    assert shown.count("\n") == 1 and shown.endswith("\n") and shown.startswith("\r")
    last = shown.rstrip("\n").split("\r")[-1]
    for part in ("epoch 2/2", "iteration 12/12", "loss ", "images/s", "ETA 0:00", "coarse"):
        assert part in last
    assert [str(w.message) for w in recwarn if "requires_grad" in str(w.message)] == []


def test_learning_rate_and_ramp_follow_the_iteration(tmp_path, tiny_index):
    ramp = {"start": 0.0, "step": 0.5, "every_epochs": 1}
    train(tmp_path, tiny_index, objective={"ramp": ramp}, data={"val_split": None})
    written = lines(tmp_path)
    assert [line["lr"] for line in written[:3]] == pytest.approx([1e-3, 2e-3, 2e-3])
    assert [line["train_fine_weight"] for line in written] == [0.0] * 6 + [0.5] * 6


def test_overfit_reaches_zero_loss_and_full_accuracy(tmp_path, tiny_index):
    runner = train(
        tmp_path,
        tiny_index,
        data={"overfit": True},
        heads={"hidden": 64, "dropout": 0.0},
        objective={"ramp": {"start": 1.0}},
        schedule={"iterations": 150},
        training={"validate_every": 150, "checkpoint_every": 150, "freeze_bn": True},
    )
    assert runner.last_metrics["coarse_top1"] == 1.0 and runner.last_metrics["fine_top1"] == 1.0
    assert lines(tmp_path)[-2]["train_loss"] < 0.1


def test_random_access_to_batches_does_not_depend_on_workers(tmp_path, tiny_index):
    losses = []
    for workers in (0, 2):
        out = tmp_path / str(workers)
        train(out, tiny_index, data={"workers": workers, "val_split": None})
        losses.append([line["train_loss"] for line in lines(out)])
    assert losses[0] == losses[1]


class BreakWeights(Hook):
    """Puts a NaN into the coarse head before one iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == self.iteration:
            self.rows = data_batch.row.tolist()
            head = unwrapped(runner.model).network.heads.coarse
            next(head.parameters()).data.fill_(float("nan"))


def test_nan_loss_names_term_iteration_and_rows_and_can_be_resumed(tmp_path, tiny_index):
    hook = BreakWeights(7)
    with pytest.raises(NonFiniteLoss) as error:
        train(tmp_path, tiny_index, hooks=[hook], training={"checkpoint_every": 3})
    message = str(error.value)
    assert "loss_coarse = nan" in message and "loss_fine" not in message
    assert "iteration 7" in message and str(hook.rows) in message
    assert load_newest_checkpoint(tmp_path / "checkpoints").state["iteration"] == 6
    runner = train(tmp_path, tiny_index, resume=True, training={"checkpoint_every": 3})
    assert runner.iter == 12
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())


class BreakGradient(Hook):
    """Makes one gradient infinite while the loss stays finite."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 2:
            weight = next(unwrapped(runner.model).network.heads.fine.parameters())
            weight.register_hook(lambda grad: grad * float("inf"))


def test_infinite_gradient_stops_before_the_step(tmp_path, tiny_index):
    with pytest.raises(NonFiniteLoss, match="gradient norm .* iteration 2"):
        train(tmp_path, tiny_index, hooks=[BreakGradient()])


class FillDisk(Hook):
    """Lets every forced write fail from one iteration on."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 8:
            self.monkeypatch.setattr(os, "fsync", self.no_room)

    @staticmethod
    def no_room(handle):
        raise OSError(28, "No space left on device")


def test_full_disk_stops_the_run_and_the_resumed_run_is_the_same(tmp_path, tiny_index):
    full, whole = tmp_path / "full", tmp_path / "whole"
    with pytest.MonkeyPatch.context() as monkeypatch:
        with pytest.raises(NoRoomForRun, match="iteration_00000009.pt"):
            train(full, tiny_index, hooks=[FillDisk(monkeypatch)], training={"checkpoint_every": 3})
    resumed = train(full, tiny_index, resume=True, training={"checkpoint_every": 3})
    uninterrupted = train(whole, tiny_index, training={"checkpoint_every": 3})
    for (name, left), right in zip(
        resumed.model.state_dict().items(), uninterrupted.model.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), name


def test_torn_checkpoint_is_printed_and_passed_over(tmp_path, tiny_index, capsys):
    train(tmp_path, tiny_index, training={"checkpoint_every": 6})
    newest = load_newest_checkpoint(tmp_path / "checkpoints").path
    newest.write_bytes(newest.read_bytes()[:1000])
    runner = train(tmp_path, tiny_index, resume=True, training={"checkpoint_every": 6})
    printed = capsys.readouterr().out
    assert f"{newest} is damaged" in printed and "iteration 6 of 12" in printed
    assert runner.iter == 12
    iterations = [line["iteration"] for line in lines(tmp_path) if "train_loss" in line]
    assert iterations == list(range(1, 13))  # no line twice


def test_used_folder_needs_resume(tmp_path, tiny_index):
    train(tmp_path, tiny_index, schedule={"iterations": 1}, data={"val_split": None})
    with pytest.raises(FileExistsError, match="[Rr]esume"):
        build_runner(out=tmp_path, **tiny_sections(tiny_index))


def test_resume_without_the_average_it_was_written_with_is_an_error(tmp_path, tiny_index):
    train(tmp_path, tiny_index, schedule={"iterations": 1}, training={"ema_decay": 0.9})
    with pytest.raises(ValueError, match="ema_decay"):
        train(tmp_path, tiny_index, resume=True)


def test_finished_run_resumes_to_nothing_and_keeps_its_scores(tmp_path, tiny_index):
    first = train(tmp_path, tiny_index)
    again = train(tmp_path, tiny_index, resume=True)
    assert again.iter == 12 and again.last_metrics == first.last_metrics


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for CUDA where there is none")
def test_cuda_asked_and_absent_is_an_error(tmp_path, tiny_index):
    with pytest.raises(ValueError, match="no CUDA device"):
        build_runner(out=tmp_path, **tiny_sections(tiny_index, device="cuda"))


def test_unknown_device_and_precision_are_named(tmp_path, tiny_index):
    with pytest.raises(ValueError, match="Unknown device 'tpuu'.*auto, cpu, cuda"):
        build_runner(out=tmp_path, **tiny_sections(tiny_index, device="tpuu"))
    with pytest.raises(ValueError, match="fp8.*'bf16'"):
        build_runner(out=tmp_path, **tiny_sections(tiny_index, training={"precision": "fp8"}))


@pytest.mark.parametrize(
    "data, said",
    [
        ({"index": "nowhere"}, "nowhere"),
        ({"train_split": "test"}, "test"),
        ({"taxonomy": "interhand27m"}, "interhand26m"),
        ({"label_variant": "suffled"}, "shuffled"),
        ({"labels": ["0000_nothing"]}, "0000_nothing"),
    ],
)
def test_wrong_data_sections_are_named(tmp_path, tiny_index, data, said):
    with pytest.raises((ValueError, OSError), match=said):
        build_runner(out=tmp_path, **tiny_sections(tiny_index, data=data))


def test_bf16_autocast_trains_on_the_cpu_when_asked(tmp_path, tiny_index):
    train(tmp_path, tiny_index, training={"precision": "bf16"}, schedule={"iterations": 2})
    assert all(p == p for p in [line.get("train_loss", 0.0) for line in lines(tmp_path)])
