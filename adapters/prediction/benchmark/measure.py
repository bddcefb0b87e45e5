"""Measure a network next to MediaPipe Hands on photographs and rendered images."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from adapters.prediction.benchmark.annotated_hand import (
    AnnotatedHand,
    Prediction,
    detected,
    estimated,
    handedness,
)
from adapters.prediction.benchmark.errors import joint_errors_mm, keypoint_error, summary
from adapters.prediction.hand_boxes import box_of_detected
from adapters.prediction.hand_estimator import HandEstimator
from adapters.prediction.image_source import read_image
from gesture_pretrain.report.contact_sheet import Tile, contact_sheet

SYSTEMS = ("network", "MediaPipe")


def measure_signs(
    estimator: HandEstimator, folder: Path, *, every: int = 13, sheet: Path | None = None
) -> dict[str, Any]:
    """Compare with MediaPipe's landmarks on photographs without annotation, all of right hands.

    Args:
        estimator: The network.
        folder: Folder of JPEG files and folders of them.
        every: Use every n-th file, in order of the path.
        sheet: Contact sheet to write, JPEG.

    Returns:
        Number of images, fraction with a detected hand, fractions of the detected hands with the
        right handedness by the detector and by the network's gestures (None without gestures),
        and Procrustes-aligned distances of the joints in mm.
    """
    files = sorted(folder.rglob("*.jpg"))[::every]
    tiles, distances, sides, own_sides = [], [], [], []
    for file in files:
        image = read_image(file)
        found = estimator.detector(image)
        if not found:
            tiles.append(Tile(image, f"{_label(file)}: no hand"))
            continue
        box = box_of_detected(found[0])
        (hand,) = estimator.predict([image], [box.box_xywh_px], [box.hand])
        errors = joint_errors_mm(hand.joints_rel_mm, 1000 * found[0].landmarks_world_m)
        distances.append(errors["pa"])
        sides.append(box.hand == "right")
        if estimator.tells_sides():
            own_sides.append(estimator.predict([image], [box.box_xywh_px])[0].hand == "right")
        caption = f"{_label(file)}: {hand.hand}, {errors['pa']:.0f} mm"
        tiles.append(Tile(image, caption, keypoints_px=hand.keypoints_px))
    if sheet is not None:
        title = "Predicted joints; distance from MediaPipe's after alignment"
        _write_jpeg(contact_sheet(tiles, title=title, columns=10), sheet)
    return {
        "images": len(files),
        "detected": len(distances) / len(files),
        "right_handedness": {"detector": _fraction(sides), "network": _fraction(own_sides)},
        "pa_to_mediapipe_mm": summary(distances),
    }


def measure_annotated(estimator: HandEstimator, cases: Iterable[AnnotatedHand]) -> list[dict]:
    """Compare on images with annotated keypoints; one dict per image.

    The network gets the annotated box, and the handedness where it is annotated. MediaPipe gets the
    whole image. An error is None where MediaPipe finds no hand in the annotated box.
    """
    rows = []
    for case in cases:
        other = detected(estimator.detector, case)
        (own,) = estimated(estimator, [case], [handedness(case, other, estimator)])
        predictions: dict[str, Prediction | None] = {"network": own, "MediaPipe": other}
        rows.append(
            {
                "image": case.name,
                "annotated_hand": case.hand,
                **{f"hand_{k}": None if p is None else p.hand for k, p in predictions.items()},
                **{f"error_2d_{k}": _keypoint_error(p, case) for k, p in predictions.items()},
            }
        )
    return rows


def measure_rendered(estimator: HandEstimator, cases: Iterable[AnnotatedHand]) -> dict[str, Any]:
    """Compare on images with 3D joints: summaries in mm of the errors of `joint_errors_mm`.

    The network gets the annotated box and handedness, MediaPipe the whole image. MediaPipe's
    errors are those of the hands that it found; `found` is their fraction.
    """
    errors: dict[str, list[dict[str, float]]] = {system: [] for system in SYSTEMS}
    count = 0
    for case in cases:
        count += 1
        other = detected(estimator.detector, case)
        (own,) = estimated(estimator, [case], [case.hand])
        for system, prediction in zip(SYSTEMS, (own, other), strict=True):
            if prediction is not None:
                errors[system].append(joint_errors_mm(prediction.joints_mm, case.joints_cam_mm))
    return {
        system: {
            "found": len(found) / max(count, 1),
            **{f"{key}_mm": summary([e[key] for e in found]) for key in ("wrist", "centred", "pa")},
        }
        for system, found in errors.items()
    }


def _keypoint_error(prediction: Prediction | None, case: AnnotatedHand) -> float | None:
    if prediction is None:
        return None
    return keypoint_error(prediction.keypoints_px, case.keypoints_px, case.box_xywh_px)


def _label(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


def _fraction(values: list[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _write_jpeg(png: bytes, path: Path) -> None:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes())
