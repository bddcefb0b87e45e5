"""Find hands with MediaPipe's networks, and write their landmarks as predictions of another system.

    %(prog)s --data INDEX --split test --out mediapipe.npz
    gesture-pretrain pose evaluate OURS.npz MediaPipe=mediapipe.npz --data INDEX --out DIR \\
        --allow-missing

The detector sees whole images and may miss hands. It requires the extra `detect`.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.options import add_data, add_number, add_quiet, add_split, at_least
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.splits.select import spread


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    add_data(parser)
    add_split(parser)
    parser.add_argument(
        "--count",
        type=at_least(1),
        metavar="N",
        help="this many images, spread evenly (default: all)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help=".npz to write")
    add_number(parser, "--threads", 1, "CPU threads")
    add_quiet(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from adapters.detection.hand_detector import HandDetector
    from adapters.detection.landmark_file import find_dataset_landmarks

    if arguments.out.suffix != ".npz":
        raise DataError(f"--out {arguments.out}: predictions are an .npz file. Name it so.")
    index = HandIndex.open(arguments.data)
    rows = spread(index.select(arguments.split), arguments.count)
    if not len(rows):
        raise DataError(f"{arguments.data} has no image of split {arguments.split}")
    detector = HandDetector(threads=arguments.threads)
    found = find_dataset_landmarks(index, rows, detector, progress=not arguments.quiet)
    found.save(arguments.out)
    print(
        f"{len(found.rows)} hands in {len(set(found.rows.tolist()))} of {len(rows)} images, "
        f"{int(found.same_side.sum())} with the handedness written: {arguments.out}"
    )
    return 0
