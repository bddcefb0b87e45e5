"""Errors of a pose network on photographs, rendered images and a video, next to MediaPipe Hands.

Every part runs if its data are given; the video is rendered and needs none. Boxes come from the
hand detector for signs and the video, and from the annotation otherwise.
"""

import argparse
from pathlib import Path

from gesture_pretrain.commands.benchmarks.measurement import measurement, new_parser, write_json
from gesture_pretrain.files import temporary_folder
from gesture_pretrain.weights.released import POSE_NETWORK

_PACKAGES = ("torch", "timm", "opencv-python", "ai-edge-litert")


def main(argv: list[str]) -> None:
    """Run the benchmark, print Markdown tables, write JSON if asked."""
    from adapters.prediction.benchmark.tables import tables
    from adapters.prediction.benchmark.video import measure_video, rendered_video
    from adapters.prediction.hand_estimator import HandEstimator

    arguments = _parser().parse_args(argv)
    estimator = HandEstimator(arguments.model)
    card = estimator.card
    results = {"model": arguments.model, "weights_sha256": card.weights.sha256}
    results |= _on_images(arguments, estimator)
    if arguments.video_frames:
        with temporary_folder() as folder:
            frames = rendered_video(folder, arguments.video_frames)
        results["video"] = measure_video(estimator, frames)
    print(tables(results))
    document = measurement("photographs", argv, packages=_PACKAGES, results=results)
    write_json(arguments.json, document)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("photographs", __doc__)
    parser.add_argument(
        "--model",
        default=POSE_NETWORK,
        help=f"released or stored pose network (default: {POSE_NETWORK})",
    )
    parser.add_argument("--signs", type=Path, metavar="DIR", help="photographs of right hands")
    parser.add_argument("--every", type=int, default=13, help="use every N-th sign (default: 13)")
    parser.add_argument("--sheet", type=Path, metavar="JPG", help="contact sheet of the signs")
    parser.add_argument(
        "--annotated",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="COCO files with keypoints, beside their images; or folders of InterHand2.6M",
    )
    parser.add_argument("--rendered", type=Path, metavar="INDEX", help="dataset with 3D joints")
    parser.add_argument("--split", default="test", help="split of --rendered (default: test)")
    parser.add_argument("--most", type=int, default=1000, help="images of --rendered at most")
    parser.add_argument("--video-frames", type=int, default=300, help="0 for no video")
    return parser


def _on_images(arguments: argparse.Namespace, estimator) -> dict:
    from adapters.prediction.benchmark.annotated_images import (
        images_of_file,
        images_of_index,
        images_of_interhand,
    )
    from adapters.prediction.benchmark.measure import (
        measure_annotated,
        measure_rendered,
        measure_signs,
    )
    from gesture_pretrain.data.index.index import HandIndex

    results = {}
    if arguments.signs is not None:
        results["signs"] = measure_signs(
            estimator, arguments.signs, every=arguments.every, sheet=arguments.sheet
        )
    for path in arguments.annotated:
        cases = images_of_interhand(path) if path.is_dir() else images_of_file(path)
        results.setdefault("annotated", []).extend(measure_annotated(estimator, cases))
    if arguments.rendered is not None:
        index = HandIndex.open(arguments.rendered)
        cases = images_of_index(index, arguments.split, arguments.most)
        results["rendered"] = measure_rendered(estimator, cases)
    return results
