"""Measure a network on a rendered video: errors, jitter and speed, with and without smoothing."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.detection import DetectedHand
from adapters.prediction.benchmark.annotated_hand import AnnotatedHand
from adapters.prediction.benchmark.annotated_images import hand_of_row
from adapters.prediction.benchmark.errors import joint_errors_mm, summary
from adapters.prediction.detected_boxes import Detector, TrackedBoxes
from adapters.prediction.hand_estimator import HandEstimator
from adapters.prediction.image_hands import ImageHands, estimate_images
from adapters.prediction.image_source import SeenImage
from adapters.prediction.one_euro import HandSmoother, smoothed
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.synthetic.build import write_synthetic

FRAMES_PER_S = 30.0


def rendered_video(folder: Path, frames: int) -> list[AnnotatedHand]:
    """Render a hand of the second edition that moves through continuous poses, 256 px."""
    root = write_synthetic(
        folder / "video",
        images_per_split={"test": frames},
        cameras_per_frame=1,
        subjects={"test": 1},
        seed=2026,
        edition=2,
        continuous={"test": 1.0},
        frames_per_take=frames,
        steady=True,
        progress=False,
    )
    index = HandIndex.open(build_interhand_index(root, folder / "index", progress=False))
    rows = index.select(split="test", single_hand_only=True)
    return [hand_of_row(index, int(row)) for row in rows]


def measure_video(estimator: HandEstimator, frames: Sequence[AnnotatedHand]) -> dict[str, Any]:
    """Follow a hand through a video, with boxes from the detector and from the annotation.

    Returns:
        By the source of the first box ("detector", "annotation") and by smoothing ("raw",
        "smoothed"): the fraction of frames with a hand, summaries of the errors of
        `joint_errors_mm`, and the jitter: the mean change of a joint's error vector between
        neighbouring frames, in mm. `frames_per_s` includes detection and tracking, not drawing.
    """
    sources: dict[str, Detector] = {
        "detector": estimator.detector,
        "annotation": _Annotated(frames),
    }
    return {name: _measure(estimator, frames, detector) for name, detector in sources.items()}


class _Annotated:
    """Return the annotated hand of a frame in place of a detector."""

    def __init__(self, frames: Sequence[AnnotatedHand]):
        self._frames = {id(frame.image_rgb): frame for frame in frames}

    def __call__(self, image_rgb: np.ndarray) -> list[DetectedHand]:
        frame = self._frames[id(image_rgb)]
        x, y, width, height = frame.box_xywh_px
        box = np.array([x, y, x + width, y + height])
        return [DetectedHand(box, frame.hand, 1.0, frame.keypoints_px, np.zeros((21, 3)))]


def _measure(
    estimator: HandEstimator, frames: Sequence[AnnotatedHand], detector: Detector
) -> dict[str, Any]:
    images = [SeenImage("video", f.image_rgb, i, f.camera) for i, f in enumerate(frames)]
    start = time.perf_counter()
    raw = list(estimate_images(estimator, images, TrackedBoxes(detector)))
    seconds = time.perf_counter() - start
    smoother = HandSmoother(FRAMES_PER_S)
    smooth = [smoothed(result, smoother) for result in raw]
    return {
        "frames_per_s": len(frames) / seconds,
        "raw": _scores(raw, frames),
        "smoothed": _scores(smooth, frames),
    }


def _scores(results: Sequence[ImageHands], frames: Sequence[AnnotatedHand]) -> dict[str, Any]:
    errors, jitter, before = [], [], None
    for result, frame in zip(results, frames, strict=True):
        if not result.hands:
            before = None
            continue
        joints = result.hands[0].joints_rel_mm
        errors.append(joint_errors_mm(joints, frame.joints_cam_mm))
        off = joints - (frame.joints_cam_mm - frame.joints_cam_mm[0])
        if before is not None:
            jitter.append(float(np.linalg.norm(off - before, axis=-1).mean()))
        before = off
    return {
        "found": len(errors) / len(frames),
        **{f"{key}_mm": summary([e[key] for e in errors]) for key in ("wrist", "centred", "pa")},
        "jitter_mm": summary(jitter)["mean"],
    }
