"""Predict hands in your own images and videos with a trained pose network.

    %(prog)s runs/eanet/model photo.jpg --boxes boxes.json --hand right
    %(prog)s MODEL IMAGES/ --box 100 80 220 220 --out DIR
    %(prog)s MODEL clip.mp4 --gestures NAME --every 5

MODEL is the folder that `pose train` stored (`<run>/model`). An INPUT is an image, a video, or a
folder of them. Without boxes the hand is assumed to fill the image. The output folder gets
`predictions.json` (joints, MANO parameters, gestures), `pictures/` (joints, mesh and side view as
PNG or MP4) and `meshes/` (OBJ or PLY). The numbers are documented in docs/prediction.md.

Exit status: 0 done, 1 wrong input, 2 done except for images, frames or boxes that could not be used
(they are listed), 130 interrupted (finished predictions are kept).
"""

import argparse
import sys
from pathlib import Path

from gesture_pretrain.commands.options import add_device, add_out
from gesture_pretrain.report.mesh_file import MESH_FORMATS

PARTLY_DONE = 2
AFTER_INTERRUPTION = " The predictions made so far are written."
MANO_HINT = (
    "On this command line: --mano PATH. The network was trained with MANO, so the bundled hand "
    "model does not fit it"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("model", type=Path, help="folder of a stored pose network")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="image, video or folder")
    _add_hand_options(parser.add_argument_group("hands"))
    _add_network_options(parser.add_argument_group("network"))
    _add_output_options(parser.add_argument_group("results"))


def _add_hand_options(hands: argparse._ArgumentGroup) -> None:
    where = hands.add_mutually_exclusive_group()
    where.add_argument(
        "--boxes", type=Path, metavar="FILE", help="bounding boxes of the hands, CSV or JSON"
    )
    where.add_argument(
        "--box",
        nargs=4,
        type=float,
        metavar=tuple("XYWH"),
        help="one box for every image: left, top, width, height in px (default: the whole image)",
    )
    hands.add_argument(
        "--box-ratio",
        type=float,
        metavar="RATIO",
        default=1.25,
        help="side of the crop over the longer side of a box, as in training (default: 1.25)",
    )
    hands.add_argument(
        "--hand",
        choices=("right", "left"),
        help="handedness for boxes that do not state it (default: predicted with the gesture)",
    )
    hands.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take every N-th frame of a video (default: 1)",
    )


def _add_network_options(network: argparse._ArgumentGroup) -> None:
    network.add_argument(
        "--gestures",
        metavar="NAME",
        help="registry name or path of a gesture network that predicts handedness and gesture "
        "(default: the heads of a token-fusion MODEL)",
    )
    network.add_argument(
        "--taxonomy",
        metavar="NAME",
        help="packaged name or CSV of the gestures (default: the packaged one that fits)",
    )
    network.add_argument(
        "--mano",
        metavar="PATH",
        help="MANO file or folder, if MODEL was trained with MANO (default: $MANO_DIR)",
    )
    network.add_argument(
        "--batch", type=int, metavar="N", default=16, help="hands per batch (default: 16)"
    )
    add_device(network)


def _add_output_options(output: argparse._ArgumentGroup) -> None:
    add_out(
        output,
        "folder of the results (default: runs/predictions)",
        type=Path,
        default=Path("runs/predictions"),
    )
    output.add_argument("--overwrite", action="store_true", help="replace predictions in --out")
    output.add_argument(
        "--mesh",
        choices=(*MESH_FORMATS, "none"),
        help="format of the meshes (default: obj for images, none for frames of videos)",
    )
    output.add_argument(
        "--no-pictures", dest="draw", action="store_false", help="write JSON and meshes only"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from adapters.prediction.run import predict, shown_notes

    result = predict(**vars(options))
    print(f"Predictions in {result.folder}")
    for line in shown_notes(result.notes):
        print(line, file=sys.stderr)
    return PARTLY_DONE if result.notes else 0
