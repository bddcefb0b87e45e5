"""Evaluate the frozen features of a backbone, next to those of baselines.

    %(prog)s NAME --data INDEX --baseline untrained
    %(prog)s NAME --data INDEX --baseline untrained OTHER_NAME --split test --out DIR

Measures gesture scores of the heads, and k-NN and linear probes from the features to gestures and
to wrist-relative 3D joints. Writes `metrics.json`, features and predictions as npz, and
`report.html`.

Exit status: 0 done, 1 wrong input, 130 interrupted.
"""

import argparse
import shlex
import sys
from pathlib import Path

from gesture_pretrain.commands.options import add_data, add_device, add_number, add_out
from gesture_pretrain.data.index.record import SPLITS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("name", help="registry name (<architecture>.<tag>) or path of weights")
    _add_image_options(parser.add_argument_group("images"))
    _add_comparison_options(parser.add_argument_group("comparison"))
    run = parser.add_argument_group("run and results")
    add_out(run, "folder of the report (default: runs/evaluate_<name>)", type=Path)
    run.add_argument(
        "--run", type=Path, metavar="DIR", help="run folder of the pretraining, for its curves"
    )
    add_device(run)
    add_number(run, "--workers", 2, "loading processes")
    add_number(run, "--seed", 0, "random seed of the samples and of t-SNE")


def _add_image_options(images: argparse._ArgumentGroup) -> None:
    add_data(images)
    images.add_argument(
        "--split",
        choices=SPLITS,
        help="split to evaluate (default: the images of test with a gesture label, else of val)",
    )
    images.add_argument(
        "--train-split",
        choices=SPLITS,
        default="train",
        help="split that the probes are fitted on (default: train)",
    )
    add_number(images, "--max-train", 4000, "number of images the probes are fitted on")
    images.add_argument(
        "--max-eval", type=int, metavar="N", help="number of evaluated images (default: all)"
    )


def _add_comparison_options(comparison: argparse._ArgumentGroup) -> None:
    comparison.add_argument(
        "--baseline",
        dest="baselines",
        nargs="+",
        default=[],
        metavar="NAME",
        help="other backbones, or 'untrained' for the same network with random weights "
        "(default: none)",
    )
    comparison.add_argument(
        "--taxonomy",
        metavar="NAME",
        help="packaged name or CSV; 'index_labels' makes each label of the index a class "
        "(default: the backbone's own)",
    )
    comparison.add_argument(
        "--no-heads",
        dest="with_heads",
        action="store_false",
        help="evaluate features only; required if --taxonomy is not that of the heads",
    )
    add_number(comparison, "--k", 20, "neighbours of k-NN")


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from gesture_pretrain.evaluation.features.run import evaluate_features
    from gesture_pretrain.report.backbone_numbers import text_report
    from gesture_pretrain.report.backbone_report import write_backbone_report
    from gesture_pretrain.report.training_curves import read_training_curves

    settings = vars(options)
    pretraining = settings.pop("run")
    curves = {} if pretraining is None else read_training_curves(pretraining)
    evaluation = evaluate_features(**settings, command=shlex.join(sys.argv))
    print("\n" + text_report(evaluation.results, evaluation.context))
    if pretraining is not None and not curves:
        print(f"Left out: Training curves: {pretraining} has logged nothing yet.")
    report = write_backbone_report(evaluation.out / "report.html", evaluation, curves=curves)
    print(f"Report: {report}    Numbers: {evaluation.out / 'metrics.json'}")
