"""Evaluates what was trained.

    python tools/evaluate.py backbone NAME --data INDEX --baseline untrained --out FOLDER

puts the frozen features of a backbone beside those of baselines: gesture scores, k-NN and linear
probes to gesture and to wrist-relative 3D joints, pictures (see `gesture_pretrain.evaluation`).
"""

import argparse
import shlex
import sys
from pathlib import Path

from gesture_pretrain.evaluation.backbone import evaluate_backbone
from gesture_pretrain.evaluation.backbone_models import UNTRAINED


def main(argv: list[str] | None = None) -> None:
    """Parses the command line and runs a subcommand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    _add_backbone_arguments(commands.add_parser("backbone", help="what frozen features are worth"))
    arguments = vars(parser.parse_args(argv))
    arguments.pop("command")
    typed = sys.argv[1:] if argv is None else argv
    try:
        evaluate_backbone(**arguments, command="python tools/evaluate.py " + shlex.join(typed))
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


if __name__ == "__main__":
    main()
