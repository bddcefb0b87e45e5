"""`make demo`: both stages on a CPU, from nothing to the report of a transfer study.

Runs the commands that a user would type, and prints each of them. The embedded dataset is
rendered. A small HRNet is pretrained on its gesture labels, and beside it a control on labels that
mean nothing across people. The backbone is exported, loaded by name in a new process, and its
frozen features are evaluated next to those of the untrained network. The plan
`configs/experiments/demo.py` then puts random, gesture and control weights into a small EANet and
a small token fusion, and reports whether gesture pretraining helps.

Commands of one step run side by side, one process per core. A finished step is not repeated, and
an interrupted one continues where it stopped.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / "configs"
CONFIG = CONFIGS / "pretrain" / "hrnet_tiny_synthetic_demo.py"
PLAN = CONFIGS / "experiments" / "demo.py"
NAME = "hrnet_w16_tiny.gesture_synthetic_demo"
LOAD = f"""\
from gesture_pretrain import load_backbone
backbone = load_backbone("{NAME}")
print(backbone.feature_specs)"""
ONE_CORE = ("training.threads=1", "data.workers=0")


class Step(NamedTuple):
    """A step of the demo.

    Attributes:
        purpose: What the step is for.
        commands: Arguments after `python` of commands that run side by side.
    """

    purpose: str
    commands: list[list[str]]


def steps(folder: Path) -> list[Step]:
    """Return the steps in their order, with all results below `folder`."""
    data, plan = str(folder / "data"), [str(TOOLS / "transfer_experiment.py"), str(PLAN)]
    study = ["--data", data, "--out", str(folder / "experiment")]
    views = ["--size", "112", "--view-limit", "50", "--roll-limit", "45", "--view-side", "palm"]
    images = ["--train", "12000", "--val", "600", "--test", "384", "--test-subjects", "24"]
    control = ["--name", "shuffled_synthetic_demo", "data.label_variant=cluster_shuffled"]
    return [
        Step(
            "Render the embedded dataset: 45 gestures x 2 hands, split by person",
            [[str(TOOLS / "prepare_data.py"), "synthetic", "--root", data, *images, *views]],
        ),
        Step(
            "Pretrain a small HRNet on gestures and export it; the control: on labels exchanged "
            "among the sequences",
            [
                _pretrain(data, folder / "run"),
                _pretrain(data, folder / "run_shuffled", *control, "data.val_split=none"),
            ],
        ),
        Step(
            "Evaluate its features beside the untrained network; load it by name; what would "
            "arrive in a small EANet",
            [
                [str(TOOLS / "evaluate.py"), "backbone", NAME, "--baseline", "untrained"]
                + ["--data", f"{data}/index", "--split", "val", "--max-train", "2000"]
                + ["--workers", "0", "--run", str(folder / "run")]
                + ["--out", str(folder / "report")],
                ["-c", LOAD],
                [str(TOOLS / "swap_backbone.py"), "--target", "eanet", "--backbone", NAME]
                + ["--size", "tiny", "--allow-projection", "--dry-run"],
            ],
        ),
        Step(
            "Does gesture pretraining help? EANet and token fusion, three arms, three seeds",
            [[*plan, "run", *study, "--workers", "2"]],
        ),
        Step("Report of the study", [[*plan, "report", *study]]),
    ]


def _pretrain(data: str, run: Path, *options: str) -> list[str]:
    """Return the arguments of a pretraining, which continues if it was begun."""
    tool = [str(TOOLS / "pretrain_backbone.py"), str(CONFIG), "--data", data]
    resumed = ["--resume"] if run.exists() else []
    return [*tool, "--out", str(run), "--overwrite", *resumed, *options, *ONE_CORE]


def main(argv: list[str] | None = None) -> None:
    """Run the steps; stop at the first that fails, with its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("demo"),
        help="folder of everything made (default: demo)",
    )
    folder = parser.parse_args(argv).out
    start = time.monotonic()
    run_steps(steps(folder), folder)
    print(f"\nDone in {(time.monotonic() - start) / 60:.1f} minutes, on SYNTHETIC images.")
    report = folder / "experiment" / "reports" / "demo"
    print((report / "verdict.txt").read_text())
    print(f"Report: {report / 'report.html'}")
    print(f"Backbone: {folder / 'report' / 'report.html'}")
    print("Use it in any code base of this environment:\n")
    print("    " + LOAD.replace("\n", "\n    "))


def run_steps(planned: list[Step], folder: Path) -> None:
    """Run steps one after the other and print their times; log files go to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(planned, 1):
        began = time.monotonic()
        print(f"\n[{number}/{len(planned)}] {step.purpose}", flush=True)
        run_together(step.commands, folder / f"step{number}")
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)


def run_together(commands: list[list[str]], logs: Path) -> None:
    """Run commands side by side; exit with the status of the first that fails.

    Args:
        commands: Arguments after `python`. The output of the first is shown as it comes, that of
            the others when they have ended.
        logs: Beginning of the paths of the others' log files.
    """
    started = []
    for number, arguments in enumerate(commands):
        print("  $ python " + _shown(arguments), flush=True)
        log = None if number == 0 else Path(f"{logs}_{number}.log")
        with open(log or os.devnull, "w") as file:
            output = {} if log is None else {"stdout": file, "stderr": subprocess.STDOUT}
            started.append((log, subprocess.Popen([sys.executable, *arguments], **output)))
    failed = 0
    try:
        for log, process in started:
            failed = process.wait() or failed
            if log is not None:
                print(log.read_text(), end="", flush=True)
    except BaseException:
        for _, process in started:
            process.terminate()
        raise
    if failed:
        raise SystemExit(failed)


def _shown(arguments: list[str]) -> str:
    if arguments[0] == "-c":
        return "-c ..."
    return shlex.join(os.path.relpath(a) if os.path.isabs(a) else a for a in arguments)


if __name__ == "__main__":
    main()
