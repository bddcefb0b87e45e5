"""Evaluates what was trained.

    python tools/evaluate.py backbone NAME --data INDEX --baseline untrained --out FOLDER

puts the frozen features of a backbone beside those of baselines: gesture scores, k-NN and linear
probes to gesture and to wrist-relative 3D joints, pictures.

    python tools/evaluate.py predictions FILE [NAME=FILE ...] --data INDEX --out FOLDER

scores predicted poses, ours and other systems', under several protocols in one table: per joint,
gesture and subject, each number with its protocol's card. COMMAND --help lists the options.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.device import choose_device
from gesture_pretrain.evaluation.features.models import UNTRAINED
from gesture_pretrain.evaluation.features.run import evaluate_backbone
from gesture_pretrain.evaluation.poses.joint_order import JOINT_ORDERS
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS
from gesture_pretrain.evaluation.prediction_files import HAND_KINDS, evaluate_predictions
from gesture_pretrain.hand.mano_file import MissingManoFile
from gesture_pretrain.report.score_table import ScoreTable

MANO_HINT = (
    "On this command line: --mano PATH; for data rendered with the open hand, --mano open; without "
    "the protocols that need fits or meshes, --mano none"
)


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and runs a subcommand."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_backbone_arguments(commands.add_parser("backbone", help="what frozen features are worth"))
    _add_prediction_arguments(commands.add_parser("predictions", help="what poses are worth"))
    arguments = vars(parser.parse_args(argv))
    run = {"backbone": evaluate_backbone, "predictions": report_predictions}[
        arguments.pop("command")
    ]
    typed = sys.argv[1:] if argv is None else argv
    try:
        if "device" in arguments:
            arguments["device"] = str(choose_device(arguments["device"]))
        run(**arguments, command="python tools/evaluate.py " + shlex.join(typed))
    except MissingManoFile as error:
        raise SystemExit(f"error: {error}\n{MANO_HINT}") from error
    except (ValueError, OSError, LookupError) as error:
        raise SystemExit(f"error: {error}") from error


def report_predictions(*, out: Path, **arguments) -> None:
    """Evaluate predictions files; print and store the table."""
    start = time.monotonic()
    found = evaluate_predictions(out=out, **arguments)
    table = ScoreTable(found.scores, found.refused, found.facts, found.mean_pose_mm)
    table.save(out)
    print(table.to_text())
    print(f"\nReport: {out / 'report.html'}    ({time.monotonic() - start:.0f} s)")


def _add_backbone_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name in the registry (arch.tag) or path of an export")
    _add_image_arguments(parser)
    _add_comparison_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the report (default: runs/evaluate_NAME)",
    )
    parser.add_argument(
        "--run", type=Path, metavar="DIR", help="run folder of the pretraining, for its curves"
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:0 … (default: auto, which is cuda where there is one)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", default=2, help="loading processes (default: 2)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        default=0,
        help="of the drawn samples and of t-SNE (default: 0)",
    )


def _add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Which images the probes are fitted on, and which are evaluated."""
    parser.add_argument(
        "--data", metavar="INDEX", type=Path, required=True, help="index, or data set with one"
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        help="what is evaluated (default: the images of test with a gesture label, else of val)",
    )
    parser.add_argument(
        "--train-split",
        choices=SPLITS,
        default="train",
        help="what probes are fitted on (default: train)",
    )
    parser.add_argument(
        "--max-train",
        type=int,
        metavar="N",
        default=4000,
        help="images the probes are fitted on (default: 4000)",
    )
    parser.add_argument("--max-eval", type=int, metavar="N", help="evaluated images (default: all)")


def _add_comparison_arguments(parser: argparse.ArgumentParser) -> None:
    """What the backbone is compared with, and by what."""
    parser.add_argument(
        "--baseline",
        dest="baselines",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"other backbones, or '{UNTRAINED}': the same network, random weights (default: none)",
    )
    parser.add_argument(
        "--taxonomy",
        metavar="NAME",
        help="packaged name or CSV; 'index_labels' makes each label "
        "of the index a class (default: the backbone's own)",
    )
    parser.add_argument(
        "--no-heads",
        dest="with_heads",
        action="store_false",
        help="features only; needed where the taxonomy is not the heads' own",
    )
    parser.add_argument(
        "--k", type=int, metavar="N", default=20, help="neighbours of k-NN (default: 20)"
    )


def _add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[NAME=]FILE",
        help="predictions: .npz of this toolkit, or .npz/.json of another system",
    )
    parser.add_argument(
        "--data", metavar="INDEX", type=Path, required=True, help="index, or data set with one"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder of the report"
    )
    parser.add_argument(
        "--protocol",
        dest="protocols",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help=f"any of {', '.join(PROTOCOLS)} (default: all)",
    )
    parser.add_argument(
        "--split",
        choices=SPLITS,
        help="images that should be predicted (default: those that each file predicts)",
    )
    parser.add_argument(
        "--hands",
        choices=HAND_KINDS,
        default="single",
        help="which images of --split (default: single)",
    )
    parser.add_argument(
        "--mano",
        metavar="PATH",
        help="MANO file or folder, 'open' for the hand that ships, or 'none' to leave out the "
        "protocols that need fits or meshes (default: $MANO_DIR)",
    )
    parser.add_argument(
        "--taxonomy",
        metavar="NAME",
        default="interhand26m",
        help="packaged name or CSV, for the tables by gesture (default: interhand26m)",
    )
    external = parser.add_argument_group("for other systems' files that do not state it")
    external.add_argument("--joint-order", metavar="NAME", help=f"any of {', '.join(JOINT_ORDERS)}")
    external.add_argument("--unit", choices=("m", "mm"), help="of the joints")
    external.add_argument("--box-source", metavar="TEXT", help="where the crops came from")
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="score although hands have no prediction; they are counted in the table",
    )
    parser.add_argument(
        "--no-skeleton-check",
        dest="check_skeleton",
        action="store_false",
        help="accept other systems' joints whose bones are not a hand's in the stated order",
    )


if __name__ == "__main__":
    main()
