"""Score predicted poses under several evaluation protocols, in one table.

    %(prog)s runs/eanet/predictions_test.npz --data INDEX --out DIR
    %(prog)s ours.npz HaMeR=hamer.npz --data INDEX --out DIR --protocol interhand_wrist pa_mpjpe

Writes `scores.json`, `scores.md`, `report.html` and the errors per hand and joint. The table shows
each number with the card of its protocol, per joint, gesture and subject.

Exit status: 0 done, 1 wrong input, 130 interrupted.
"""

import argparse
import shlex
import sys
from pathlib import Path

from gesture_pretrain.commands.options import add_data, add_out
from gesture_pretrain.data.index.record import SPLITS
from gesture_pretrain.evaluation.poses.joint_order import JOINT_ORDERS
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS

HAND_KINDS = ("single", "interacting", "all")
MANO_HINT = (
    "On this command line: --mano PATH; for data rendered with the bundled hand model, --mano "
    "open; without the protocols that need fits or meshes, --mano none"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[NAME=]FILE",
        help="predictions of this toolkit or of another system, .npz",
    )
    add_data(parser)
    add_out(parser, "folder of the report", type=Path, required=True)
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
        help="split whose images should be predicted (default: the images of each file)",
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
        help="MANO file or folder, 'open' for the bundled hand model, or 'none' to leave out the "
        "protocols that need fits or meshes (default: $MANO_DIR)",
    )
    parser.add_argument(
        "--taxonomy",
        metavar="NAME",
        default="interhand26m",
        help="packaged name or CSV, for the tables by gesture (default: interhand26m)",
    )
    external = parser.add_argument_group("files of other systems that do not state it")
    external.add_argument("--joint-order", metavar="NAME", help=f"any of {', '.join(JOINT_ORDERS)}")
    external.add_argument("--unit", choices=("m", "mm"), help="unit of the joints")
    external.add_argument(
        "--box-source", metavar="TEXT", help="origin of the boxes that were cropped to"
    )
    parser.add_argument(
        "--allow-missing",
        action="store_true",
        help="score even if hands have no prediction; the table reports how many",
    )
    parser.add_argument(
        "--no-skeleton-check",
        dest="check_skeleton",
        action="store_false",
        help="accept other systems' joints whose bones are not a hand's in the stated order",
    )


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from gesture_pretrain.evaluation.prediction_files import evaluate_predictions
    from gesture_pretrain.report.score_table import ScoreTable

    found = evaluate_predictions(**vars(options), command=shlex.join(sys.argv))
    table = ScoreTable(found.scores, found.refused, found.facts, found.mean_pose_mm)
    table.save(options.out)
    print(table.to_text())
    print(f"\nReport: {options.out / 'report.html'}")
