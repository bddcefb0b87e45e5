"""Predict hands in your own images and videos.

    %(prog)s photo.jpg --html
    %(prog)s clip.mp4 --smooth --out DIR
    %(prog)s 0
    %(prog)s IMAGES/ --model runs/eanet/model --boxes boxes.json --hand right

An INPUT is an image, a video, a folder of them, a pattern such as 'photos/*.jpg', or the number of
a camera, which opens a window. The network is the released one, or that of --model. Without boxes
the hands are detected. The output folder gets `predictions.json` and `predictions.csv` (joints,
MANO parameters, gestures if the network predicts them), `overlays/` (joints, mesh and side view as
PNG or MP4) and `meshes/` (OBJ or PLY). The numbers are documented in docs/prediction.md.

Exit status: 0 done, 1 wrong input, 2 done except for images, frames or boxes that could not be used
(they are listed), 130 interrupted (finished predictions are kept).
"""

import argparse
import sys
from pathlib import Path

from gesture_pretrain.commands.options import add_device, add_number, add_out
from gesture_pretrain.report.mesh_file import MESH_FORMATS
from gesture_pretrain.weights.released import POSE_NETWORK

PARTLY_DONE = 2
_OUT = Path("runs/predictions")
# Options without effect on a live view: their attributes and defaults
_NOT_LIVE = {
    "--boxes": ("boxes", None),
    "--box": ("box", None),
    "--whole-image": ("whole_image", False),
    "--every": ("every", 1),
    "--focal": ("focal_px", None),
    "--out": ("out", _OUT),
    "--overwrite": ("overwrite", False),
    "--mesh": ("mesh", None),
    "--no-overlays": ("draw", True),
    "--html": ("html", False),
}
EXISTS_HINT = "See --out and --overwrite."
AFTER_INTERRUPTION = " The predictions made so far are written."
MANO_HINT = (
    "On this command line: --mano PATH. The network was trained with MANO, so the bundled hand "
    "model does not fit it"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image, video, folder, pattern or camera number"
    )
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
        help="one box for every image: left, top, width, height in px (default: detect the hands)",
    )
    where.add_argument(
        "--whole-image",
        action="store_true",
        help="the hand fills the image: do not detect it",
    )
    text = "side of the crop over the longer side of a box, as in training"
    add_number(hands, "--box-ratio", 1.25, text, metavar="RATIO")
    hands.add_argument(
        "--hand",
        choices=("right", "left"),
        help="handedness of detected hands, and for boxes that do not state it (default: that of "
        "the detector, or predicted with the gesture)",
    )
    add_number(hands, "--every", 1, "take every N-th frame of a video")
    hands.add_argument(
        "--smooth", action="store_true", help="smooth the hands of a video (one-euro filter)"
    )
    hands.add_argument(
        "--focal",
        dest="focal_px",
        type=float,
        metavar="PX",
        help="focal length of the images (default: a field of view of 60 degrees)",
    )


def _add_network_options(network: argparse._ArgumentGroup) -> None:
    network.add_argument(
        "--model",
        metavar="NAME",
        default=POSE_NETWORK,
        help=f"released pose network, or folder that `pose train` stored (default: {POSE_NETWORK})",
    )
    network.add_argument(
        "--gestures",
        metavar="NAME",
        help="registry name or path of a gesture network that predicts handedness and gesture "
        "(default: the heads of a token-fusion network)",
    )
    network.add_argument(
        "--taxonomy",
        metavar="NAME",
        help="packaged name or CSV of the gestures (default: the packaged one that fits)",
    )
    network.add_argument(
        "--mano",
        metavar="PATH",
        help="MANO file or folder, if the network was trained with MANO (default: $MANO_DIR)",
    )
    add_number(network, "--batch", 16, "hands per batch")
    add_device(network)


def _add_output_options(output: argparse._ArgumentGroup) -> None:
    add_out(
        output,
        "folder of the results (default: runs/predictions)",
        type=Path,
        default=_OUT,
    )
    output.add_argument("--overwrite", action="store_true", help="replace predictions in --out")
    output.add_argument(
        "--mesh",
        choices=(*MESH_FORMATS, "none"),
        help="format of the meshes (default: obj for images, none for frames of videos)",
    )
    output.add_argument(
        "--no-overlays", dest="draw", action="store_false", help="do not draw on the images"
    )
    output.add_argument(
        "--html", action="store_true", help="write a page with the images and rotatable meshes"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if is_camera(options.inputs):
        return _run_live(options)
    from adapters.prediction.run import predict, shown_notes

    result = predict(**vars(options))
    print(f"Predictions in {result.folder}")
    for line in shown_notes(result.notes):
        print(line, file=sys.stderr)
    return PARTLY_DONE if result.notes else 0


def is_camera(inputs: list[str]) -> bool:
    """Return whether the only input is the number of a camera."""
    return len(inputs) == 1 and inputs[0].isdecimal() and not Path(inputs[0]).exists()


def _require_live_options(options: argparse.Namespace) -> None:
    given = [word for word, (name, unset) in _NOT_LIVE.items() if getattr(options, name) != unset]
    if given:
        raise ValueError(
            f"{', '.join(given)} cannot be used with a camera: its hands are detected, and nothing "
            "is written. Record a video and pass its file instead."
        )


def _run_live(options: argparse.Namespace) -> int:
    from adapters.prediction.hand_estimator import HandEstimator
    from adapters.prediction.live import require_display, show_camera
    from gesture_pretrain.device import use_device

    _require_live_options(options)
    require_display()
    estimator = HandEstimator(
        options.model,
        gestures=options.gestures,
        taxonomy=options.taxonomy,
        hand_model=options.mano,
        device=use_device(options.device),
        box_ratio=options.box_ratio,
        batch_size=options.batch,
    )
    index = int(options.inputs[0])
    show_camera(estimator, index, hand=options.hand, smooth=options.smooth)
    return 0
