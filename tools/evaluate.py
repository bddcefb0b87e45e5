"""Evaluates what was trained.

    python tools/evaluate.py backbone NAME --data INDEX --baseline untrained --out FOLDER

puts the frozen features of a backbone beside those of baselines: gesture scores, k-NN and linear
probes to gesture and to wrist-relative 3D joints, pictures.

    python tools/evaluate.py predictions FILE [NAME=FILE ...] --data INDEX --out FOLDER

scores predicted poses, ours and other systems', under several protocols in one table: per joint,
gesture and subject, each number with its protocol's card.
"""

import argparse
import shlex
import sys
from pathlib import Path

from gesture_pretrain.evaluation.backbone import evaluate_backbone
from gesture_pretrain.evaluation.backbone_models import UNTRAINED
from gesture_pretrain.evaluation.pose import HAND_KINDS, evaluate_predictions
from gesture_pretrain.evaluation.protocol import PROTOCOLS


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and runs a subcommand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    _add_backbone_arguments(commands.add_parser("backbone", help="what frozen features are worth"))
    _add_prediction_arguments(commands.add_parser("predictions", help="what poses are worth"))
    arguments = vars(parser.parse_args(argv))
    run = {"backbone": evaluate_backbone, "predictions": evaluate_predictions}[
        arguments.pop("command")
    ]
    typed = sys.argv[1:] if argv is None else argv
    try:
        run(**arguments, command="python tools/evaluate.py " + shlex.join(typed))
    except (ValueError, OSError, LookupError) as error:
        raise SystemExit(f"error: {error}") from error


def _add_backbone_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="name in the registry (arch.tag) or path of an export")
    parser.add_argument("--data", type=Path, required=True, help="folder of an index")
    parser.add_argument("--split", default="val", help="what is evaluated (default: val)")
    parser.add_argument("--train-split", default="train", help="what probes are fitted on")
    parser.add_argument(
        "--baseline",
        dest="baselines",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"other backbones, or '{UNTRAINED}': the same network, random weights",
    )
    parser.add_argument(
        "--taxonomy",
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
        "--max-train",
        type=int,
        default=4000,
        help="images the probes are fitted on (default: 4000)",
    )
    parser.add_argument("--max-eval", type=int, help="evaluated images (default: all)")
    parser.add_argument("--k", type=int, default=20, help="neighbours (default: 20)")
    parser.add_argument("--out", type=Path, help="default: runs/evaluate_NAME")
    parser.add_argument("--run", type=Path, help="run folder of the pretraining, for its curves")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2, help="loading processes")
    parser.add_argument("--seed", type=int, default=0, help="of the drawn samples and of t-SNE")


def _add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[NAME=]FILE",
        help="predictions: .npz of this toolkit, or .npz/.json of another system",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of an index")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--protocol",
        dest="protocols",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help=f"of {', '.join(PROTOCOLS)}; all (default)",
    )
    parser.add_argument(
        "--split", help="images that should be predicted (default: those that each file predicts)"
    )
    parser.add_argument(
        "--hands", choices=HAND_KINDS, default="single", help="of that split (default: single)"
    )
    parser.add_argument(
        "--mano",
        metavar="PATH",
        help="hand models for fits and meshes: a MANO file or folder, 'open', or 'none' "
        "(default: the documented places)",
    )
    parser.add_argument("--taxonomy", default="interhand26m", help="packaged name or CSV")
    parser.add_argument("--joint-order", help="of other systems' files that do not state it")
    parser.add_argument("--unit", choices=("m", "mm"), help="likewise")
    parser.add_argument("--box-source", help="where crops came from; likewise")
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
