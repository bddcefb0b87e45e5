"""`make demo`: both stages on a CPU, from nothing to the report of a transfer experiment.

Runs the commands that a user would type, one after the other, and prints each of them:
the embedded dataset is rendered, a small HRNet is pretrained on its gesture labels and exported,
a new process loads it by name, and an evaluation puts it beside the same network untrained. Then
the plan `configs/experiments/demo.py` puts it into a small EANet and into small token fusion,
beside random weights and a backbone pretrained on shuffled labels, and reports whether gesture
pretraining helps.
A stage that is complete is not done again; an interrupted one goes on where it stopped.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / "configs"
CONFIG = CONFIGS / "pretrain" / "hrnet_tiny_synthetic_demo.py"
PLAN = CONFIGS / "experiments" / "demo.py"
NAME = "hrnet_w16_tiny.gesture_synthetic_demo"
LOAD = f"""\
from gesture_pretrain import load_backbone
backbone = load_backbone("{NAME}")
print(backbone.feature_specs)"""


def stages(folder: Path) -> list[tuple[str, list[str]]]:
    """The commands in their order: what a stage is for, and its arguments after `python`."""
    data, run, report = folder / "data", folder / "run", folder / "report"
    control = folder / "run_shuffled"
    pretrain = [str(TOOLS / "pretrain_backbone.py"), str(CONFIG), "--data", str(data)]
    plan = [str(TOOLS / "transfer_experiment.py"), str(PLAN)]
    experiment = ["--data", str(data), "--out", str(folder / "experiment")]
    render = ["--train", "16000", "--val", "2000", "--test", "400", "--size", "144"]
    views = ["--view-limit", "50", "--roll-limit", "45", "--view-side", "palm"]
    return [
        (
            "Render the embedded dataset: 45 gestures x 2 hands, split by person",
            [str(TOOLS / "prepare_data.py"), "synthetic", "--root", str(data), *render, *views],
        ),
        (
            "Pretrain a small HRNet on coarse and fine gesture labels, export it to the registry",
            [*pretrain, "--out", str(run), "--overwrite", *resumed(run)],
        ),
        ("Load it by name in a new process", ["-c", LOAD]),
        (
            "Evaluate it beside the same network untrained",
            [str(TOOLS / "evaluate.py"), "backbone", NAME, "--baseline", "untrained"]
            + [
                "--data",
                str(data / "index"),
                "--split",
                "val",
                "--run",
                str(run),
                "--out",
                str(report),
            ],
        ),
        (
            "The control: the same pretraining with labels exchanged among the images",
            [*pretrain, "--out", str(control), "--overwrite", "--name", "shuffled_synthetic_demo"]
            + ["data.label_variant=shuffled", "data.val_split=none", *resumed(control)],
        ),
        (
            "What would arrive in a small EANet: every tensor accounted for",
            [str(TOOLS / "swap_backbone.py"), "--target", "eanet", "--backbone", NAME]
            + ["--size", "tiny", "--allow-projection", "--dry-run"],
        ),
        (
            "Does gesture pretraining help? EANet and token fusion, three arms, three seeds",
            [*plan, "run", *experiment, "--workers", "2"],
        ),
        ("Report of the experiment", [*plan, "report", *experiment]),
    ]


def resumed(run: Path) -> list[str]:
    """The option that goes on with a run that was begun."""
    return ["--resume"] if run.exists() else []


def main(argv: list[str] | None = None) -> None:
    """Run the stages; stop at the first that fails, with its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("demo"),
        help="folder of everything made (default: demo)",
    )
    folder = parser.parse_args(argv).out
    steps = stages(folder)
    start = time.monotonic()
    for number, (purpose, arguments) in enumerate(steps, 1):
        print(f"\n[{number}/{len(steps)}] {purpose}", flush=True)
        if arguments[0] != "-c":
            shown = [os.path.relpath(a) if os.path.isabs(a) else a for a in arguments]
            print("  $ python " + shlex.join(shown), flush=True)
        began = time.monotonic()
        done = subprocess.run([sys.executable, *arguments], check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    _say_where(folder, time.monotonic() - start)


def _say_where(folder: Path, seconds: float) -> None:
    print(f"\nDone in {seconds / 60:.1f} minutes. Synthetic data: {folder / 'data'}")
    print(f"Backbone: {folder / 'report' / 'report.html'}    Run: {folder / 'run'}")
    print(f"Does it help? {folder / 'experiment' / 'reports' / 'demo' / 'report.html'}")
    print("Use the backbone in any code base of this environment:\n")
    print("    " + LOAD.replace("\n", "\n    "))


if __name__ == "__main__":
    main()
