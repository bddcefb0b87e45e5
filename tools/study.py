"""`make study`: the transfer study from ImageNet weights on the embedded dataset, with its report.

Renders the dataset that `configs/experiments/study.py` names and runs that plan. The same command
continues after an interruption.
"""

import argparse
from pathlib import Path

from demo import CONFIGS, TOOLS, Step, run_steps

PLAN = CONFIGS / "experiments" / "study.py"
IMAGES = "--train 12000 --val 400 --test 480 --edition 2 --test-continuous 0.5 --frames-per-take 3"
SUBJECTS = "--train-subjects 60 --val-subjects 12 --test-subjects 24"
VIEWS = "--size 112 --view-limit 60 --roll-limit 45 --view-side palm"


def steps(folder: Path) -> list[Step]:
    """Return the steps in their order, with all results below `folder`."""
    data, plan = str(folder / "data"), [str(TOOLS / "transfer_experiment.py"), str(PLAN)]
    study = ["--data", data, "--out", str(folder / "experiment")]
    render = [str(TOOLS / "prepare_data.py"), "synthetic", "--root", data]
    return [
        Step("Render the embedded dataset", [[*render, *f"{IMAGES} {SUBJECTS} {VIEWS}".split()]]),
        Step("Run the study", [[*plan, "run", *study, "--workers", "2"]]),
        Step("Report of the study", [[*plan, "report", *study]]),
    ]


def main(argv: list[str] | None = None) -> None:
    """Run the steps; stop at the first that fails, with its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("study"),
        help="folder of everything made (default: study)",
    )
    folder = parser.parse_args(argv).out
    run_steps(steps(folder), folder)
    report = folder / "experiment" / "reports" / "study"
    print((report / "verdict.txt").read_text())
    print(f"Report: {report / 'report.html'}")


if __name__ == "__main__":
    main()
