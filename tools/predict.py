"""Hands in your own pictures and videos, with a trained pose network.

    python tools/predict.py MODEL INPUT [INPUT ...] [--boxes FILE | --box X Y W H]
        [--hand right|left] [--gestures NAME] [--out DIR]

MODEL is the folder that tools/train.py stored (`<run>/model`); an INPUT is a picture, a video, or a
folder of them. Without boxes the hand is taken to fill the picture. The folder of results gets
`predictions.json` (joints, MANO parameters, gestures), `pictures/` (joints, mesh and side view as
PNG or MP4) and `meshes/` (OBJ or PLY). docs/prediction.md says what the numbers mean.

Exit status: 0 done, 1 wrong input, 2 done but for pictures, frames or boxes that could not be used
(they are named), 130 interrupted (what was done is kept).
"""

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from adapters.prediction.hand_boxes import HandBox, HandBoxes, box_of_four, boxes_from_file
from adapters.prediction.hand_estimator import HandEstimator
from adapters.prediction.picture_hands import estimate_pictures, title
from adapters.prediction.picture_source import PictureFiles, VideoFile, find_pictures
from adapters.prediction.prediction_writer import PredictionWriter, video_file_names
from adapters.targets import UnknownTarget
from gesture_pretrain.device import choose_device
from gesture_pretrain.files import WriteFailed
from gesture_pretrain.hand.mano_file import MissingManoFile
from gesture_pretrain.report.mesh_file import MESH_FORMATS
from gesture_pretrain.weights.registry import UnknownBackbone

WRONG_INPUT, PARTLY_DONE, INTERRUPTED = 1, 2, 130
NOTES_SHOWN = 10
MANO_HINT = (
    "On this command line: --mano PATH. The network was trained with MANO, so the open hand does "
    "not go with it"
)


def main(arguments: list[str] | None = None) -> tuple[Path, list[str]]:
    """Predicts and writes.

    Returns:
        The folder of results, and what could not be used.

    Raises:
        ValueError, OSError, LookupError: Wrong input.
    """
    options = parse_arguments(arguments)
    sources = find_pictures(options.inputs, every=options.every)
    boxes = boxes_of(options, sources)
    estimator = HandEstimator(
        options.model,
        gestures=options.gestures,
        taxonomy=options.taxonomy,
        hand_model=options.mano,
        device=choose_device(options.device),
        box_ratio=options.box_ratio,
        batch_size=options.batch,
    )
    writer = PredictionWriter(
        options.out,
        network=network_facts(estimator, options),
        faces={side: model.faces for side, model in estimator.hand_models.items()},
        mesh_format=None if options.mesh == "none" else options.mesh or "obj",
        meshes_of_frames=options.mesh is not None,
        draw=options.draw,
        overwrite=options.overwrite,
    )
    videos = [source.path.name for source in sources if isinstance(source, VideoFile)]
    drawn_as = video_file_names(videos)
    with writer:
        for source in sources:
            predict_source(estimator, source, boxes, writer, options, drawn_as)
        if not any(picture["hands"] for picture in writer.pictures):
            raise ValueError("\n".join(["no hand was predicted.", *shown_notes(writer.notes)]))
    return options.out, writer.notes


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; see the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of a stored pose network")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="picture, video or folder")
    _add_hand_arguments(parser)
    _add_network_arguments(parser)
    _add_output_arguments(parser)
    options = parser.parse_intermixed_args(arguments)
    for name in ("batch", "every", "box_ratio"):
        if not getattr(options, name) > 0:
            raise ValueError(f"--{name.replace('_', '-')} must be above 0")
    return options


def _add_hand_arguments(parser: argparse.ArgumentParser) -> None:
    """Which hands are looked at: boxes, sides, frames."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--boxes", type=Path, metavar="FILE", help="boxes of the hands, CSV or JSON")
    where.add_argument(
        "--box",
        nargs=4,
        type=float,
        metavar=tuple("XYWH"),
        help="one box for every picture: left, top, width, height in px (default: all of it)",
    )
    parser.add_argument(
        "--box-ratio",
        type=float,
        metavar="RATIO",
        default=1.25,
        help="side of the crop over the longer side of a box, as in training (default: 1.25)",
    )
    parser.add_argument(
        "--hand",
        choices=("right", "left"),
        help="side of the hands whose box does not say it (default: the gestures tell it)",
    )
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take every N-th frame of a video (default: 1)",
    )


def _add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """What the hands are read with, and where that runs."""
    parser.add_argument(
        "--gestures",
        metavar="NAME",
        help="registry name or path of a gesture network that tells side and gesture (default: "
        "the heads of a token-fusion MODEL)",
    )
    parser.add_argument(
        "--taxonomy",
        metavar="NAME",
        help="packaged name or CSV of the gestures (default: the packaged one that fits)",
    )
    parser.add_argument(
        "--mano",
        metavar="PATH",
        help="MANO file or folder, if MODEL was trained with MANO (default: $MANO_DIR)",
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", default=16, help="hands at a time (default: 16)"
    )
    parser.add_argument(
        "--device",
        default="auto",
        help="auto, cpu, cuda, cuda:0 … (default: auto, which is cuda where there is one)",
    )


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """What is written, and where."""
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("runs/predictions"),
        help="folder of the results (default: runs/predictions)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace predictions in --out")
    parser.add_argument(
        "--mesh",
        choices=(*MESH_FORMATS, "none"),
        help="format of the meshes (default: obj for pictures, none for frames of videos)",
    )
    parser.add_argument(
        "--no-pictures", dest="draw", action="store_false", help="write JSON and meshes only"
    )


def boxes_of(options: argparse.Namespace, sources: list[PictureFiles | VideoFile]) -> HandBoxes:
    """The boxes that the command line gives; without any, the whole picture."""
    if options.boxes is not None:
        boxes = boxes_from_file(options.boxes)
        boxes.require_some([name for source in sources for name in names_of(source)])
        return boxes
    if options.box is None:
        return HandBoxes()
    return HandBoxes(HandBox(box_of_four(options.box, "--box")))


def names_of(source: PictureFiles | VideoFile) -> list[str]:
    """File names of a source."""
    paths = source.paths if isinstance(source, PictureFiles) else [source.path]
    return [path.name for path in paths]


def predict_source(
    estimator: HandEstimator,
    source: PictureFiles | VideoFile,
    boxes: HandBoxes,
    writer: PredictionWriter,
    options: argparse.Namespace,
    drawn_as: Mapping[str, str],
) -> None:
    """Predicts all pictures of a source, writes them, and notes what could not be used."""
    is_video = isinstance(source, VideoFile)
    label = names_of(source)[0] if is_video else "pictures"
    if is_video:
        writer.begin_video(drawn_as[label], source.frames_per_s, boxes.at_most(label))
    results = estimate_pictures(
        estimator, source, boxes, hand=options.hand, batch_size=options.batch
    )
    unit = "frame" if is_video else "picture"
    boxless = 0
    for result in tqdm(results, total=len(source) or None, desc=label, unit=unit):
        writer.add(result)
        for fault in result.faults:
            writer.note(fault)
        if not result.hands and not result.faults:
            boxless += 1
            if not is_video:
                writer.note(f"{title(result.picture)} has no box in {boxes.source}.")
    if is_video:
        writer.end_video()
        if source.ended_early:
            writer.note(source.ended_early)
        if boxless:
            writer.note(f"{boxless} frames of {label} have no box in {boxes.source}.")
    else:
        for reason in source.unreadable.values():
            writer.note(reason)


def shown_notes(notes: Sequence[str]) -> list[str]:
    """The first notes, a line each, and how many more there are in the file of results."""
    lines = [f"Note: {note}" for note in notes[:NOTES_SHOWN]]
    if len(notes) > NOTES_SHOWN:
        lines.append(f"and {len(notes) - NOTES_SHOWN} further notes, see the file")
    return lines


def network_facts(estimator: HandEstimator, options: argparse.Namespace) -> dict:
    """What predicts, for the file of results."""
    card = estimator.card
    return {
        "target": card.target,
        "backbone": card.backbone_name,
        "weights_sha256": card.weights["sha256"],
        "trained_on": card.data.get("name"),
        "hand_model": card.hand["path"] or "MANO",
        "tip_convention": card.hand["tip_convention"],
        "crop_px": card.size_px,
        "box_ratio": options.box_ratio,
        "gestures": options.gestures,
    }


def run(arguments: list[str] | None = None) -> int:
    """`main` with errors as one message and an exit status."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    try:
        folder, notes = main(arguments)
    except MissingManoFile as error:
        print(f"\nError: {error}\n{MANO_HINT}", file=sys.stderr)
        return WRONG_INPUT
    except (ValueError, OSError, UnknownBackbone, UnknownTarget, WriteFailed) as error:
        print(f"\nError: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("\nInterrupted. What was predicted until here is written.", file=sys.stderr)
        return INTERRUPTED
    print(f"Predictions in {folder}")
    for line in shown_notes(notes):
        print(line, file=sys.stderr)
    return PARTLY_DONE if notes else 0


if __name__ == "__main__":
    sys.exit(run())
