"""Predicting hands in images and videos, from files to files, as one call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from adapters.prediction.box_file import boxes_from_file
from adapters.prediction.detected_boxes import DetectedBoxes, TrackedBoxes
from adapters.prediction.hand_boxes import HandBox, HandBoxes
from adapters.prediction.hand_estimator import HandEstimator
from adapters.prediction.html_page import HtmlPage
from adapters.prediction.image_hands import BoxSource, estimate_images, title
from adapters.prediction.image_source import ImageList, UnreadableInput, VideoFile, find_images
from adapters.prediction.one_euro import HandSmoother, smoothed
from adapters.prediction.prediction_writer import PredictionWriter
from gesture_pretrain.device import use_device
from gesture_pretrain.weights.released import POSE_NETWORK

NOTES_SHOWN = 10
Source = ImageList | VideoFile


@dataclass(frozen=True)
class PredictedHands:
    """Result of a prediction.

    Attributes:
        folder: Folder with `predictions.json`, `predictions.csv`, `overlays/` and `meshes/`.
        notes: What could not be used: images, frames or boxes, one sentence each.
    """

    folder: Path
    notes: Sequence[str]


def predict(
    inputs: Sequence[str | Path],
    *,
    model: str | Path = POSE_NETWORK,
    boxes: str | Path | None = None,
    box: Sequence[float] | None = None,
    whole_image: bool = False,
    box_ratio: float = 1.25,
    hand: str | None = None,
    every: int = 1,
    smooth: bool = False,
    focal_px: float | None = None,
    gestures: str | None = None,
    taxonomy: str | None = None,
    mano: str | Path | None = None,
    batch: int = 16,
    device: str = "auto",
    out: str | Path = "runs/predictions",
    overwrite: bool = False,
    mesh: str | None = None,
    draw: bool = True,
    html: bool = False,
    progress: bool = True,
) -> PredictedHands:
    """Predict the hands in images and videos and write them to a folder.

    Args:
        inputs: Images, videos, folders of them, or patterns.
        model: Name of a released pose network, or folder of a stored one.
        boxes: CSV or JSON file of boxes. Without boxes, hands are detected and followed.
        box: One box for every image: left, top, width, height in px.
        whole_image: Assume that the hand fills the image, instead of detecting it.
        box_ratio: Side of the crop over the longer side of a box, as in training.
        hand: "right" or "left" for boxes that do not state it, and for all detected hands.
        every, smooth: For videos: use every n-th frame; apply the one-euro filter to the hands.
        focal_px: Focal length of the images; None to assume a field of view of 60 degrees.
        gestures: Name or path of a gesture network that predicts handedness and gesture.
        taxonomy: Packaged name or CSV of the gestures.
        mano: MANO file or folder, if the network was trained with MANO.
        batch: Hands per batch.
        device: "auto", "cpu", "cuda" or "cuda:<index>".
        out, overwrite: Output folder; replace the predictions in it.
        mesh: "obj", "ply" or "none". Default: "obj" for images, "none" for frames of videos.
        draw, html: Draw the hands on the images; write a page with images and meshes.
        progress: Show progress bars.

    Raises:
        ValueError, OSError, UnknownBackbone: Wrong input or name, or no hand was predicted.
        ModuleNotFoundError: Hands are to be detected, and the extra `detect` is not installed.
    """
    _require_positive(batch=batch, every=every, box_ratio=box_ratio, focal_px=focal_px)
    sources = find_images([Path(path) for path in inputs], every=every)
    given = _given_boxes(boxes, box, whole_image, sources)
    estimator = HandEstimator(
        model,
        gestures=gestures,
        taxonomy=taxonomy,
        hand_model=mano,
        device=use_device(device),
        focal_px=focal_px,
        box_ratio=box_ratio,
        batch_size=batch,
    )
    boxes_of = _boxes_of_source(estimator, given, hand)
    faces = {side: hand_model.faces for side, hand_model in estimator.hand_models.items()}
    facts = _network_facts(estimator, box_ratio, gestures)
    writer = PredictionWriter(
        Path(out),
        network={**facts, "smoothed": smooth},
        faces=faces,
        mesh_format=None if mesh == "none" else mesh or "obj",
        meshes_of_frames=mesh is not None,
        draw=draw,
        page=HtmlPage(f"{facts['target']}, {facts['backbone']}", faces) if html else None,
        focal_px=focal_px,
        overwrite=overwrite,
    )
    with writer:
        _write_all(estimator, sources, boxes_of, writer, hand, smooth, progress)
    return PredictedHands(Path(out), writer.notes)


def shown_notes(notes: Sequence[str]) -> list[str]:
    """Format the first notes, one line each, and the number of further ones."""
    lines = [f"Note: {note}" for note in notes[:NOTES_SHOWN]]
    if len(notes) > NOTES_SHOWN:
        lines.append(f"and {len(notes) - NOTES_SHOWN} further notes, see the file")
    return lines


def _require_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}.")


def _write_all(
    estimator: HandEstimator,
    sources: Sequence[Source],
    boxes_of: Callable[[Source], BoxSource],
    writer: PredictionWriter,
    hand: str | None,
    smooth: bool,
    progress: bool,
) -> None:
    for source in sources:
        found = boxes_of(source)
        batch = estimator.batch_size
        results = estimate_images(estimator, source, found, hand=hand, batch_size=batch)
        if smooth and isinstance(source, VideoFile):
            smoother = HandSmoother(source.frames_per_s)
            results = (smoothed(result, smoother) for result in results)
        _write_source(source, results, found, writer, progress)
    if not any(image["hands"] for image in writer.images):
        raise ValueError("\n".join(["no hand was predicted.", *shown_notes(writer.notes)]))


def _given_boxes(
    boxes: str | Path | None,
    box: Sequence[float] | None,
    whole_image: bool,
    sources: Sequence[Source],
) -> HandBoxes | None:
    """Return the user's boxes; None if hands are to be detected."""
    if boxes is not None:
        read = boxes_from_file(Path(boxes))
        read.require_some([name for source in sources for name in _file_names(source)])
        return read
    if box is not None:
        if len(box) != 4 or not np.isfinite(box).all():
            raise ValueError(f"box is {list(box)}; it must be x, y, width, height in pixels.")
        return HandBoxes(HandBox(tuple(box)))
    return HandBoxes() if whole_image else None


def _boxes_of_source(
    estimator: HandEstimator, given: HandBoxes | None, hand: str | None
) -> Callable[[Source], BoxSource]:
    if given is not None:
        return lambda source: given
    detector = estimator.detector  # a missing extra stops before anything is written
    kinds = {ImageList: DetectedBoxes, VideoFile: TrackedBoxes}
    return lambda source: kinds[type(source)](detector, hand=hand)


def _file_names(source: Source) -> list[str]:
    paths = source.paths if isinstance(source, ImageList) else [source.path]
    return [path.name for path in paths]


def _write_source(
    source: Source,
    results,
    boxes: BoxSource,
    writer: PredictionWriter,
    progress: bool,
) -> None:
    """Write the predictions of a source, and note what could not be used."""
    is_video = isinstance(source, VideoFile)
    label = _file_names(source)[0] if is_video else "images"
    if is_video:
        writer.begin_video(label, source.frames_per_s)
    unit = "frame" if is_video else "image"
    total = len(source) or None
    boxless = 0
    try:
        for result in tqdm(results, total=total, desc=label, unit=unit, disable=not progress):
            writer.add(result)
            for fault in result.faults:
                writer.note(fault)
            if not result.hands and not result.faults:
                boxless += 1
                if not is_video:
                    writer.note(f"{title(result.seen)} has {boxes.nothing}.")
    except UnreadableInput as error:
        writer.note(str(error))
    if is_video:
        _end_video(source, writer, label, boxless, boxes)
    else:
        for reason in source.unreadable.values():
            writer.note(reason)


def _end_video(
    source: VideoFile, writer: PredictionWriter, label: str, boxless: int, boxes: BoxSource
) -> None:
    writer.end_video()
    if source.ended_early:
        writer.note(source.ended_early)
    if boxless:
        writer.note(f"{boxless} frames of {label} have {boxes.nothing}.")


def _network_facts(estimator: HandEstimator, box_ratio: float, gestures: str | None) -> dict:
    """Describe the network in the file of results."""
    card = estimator.card
    return {
        "target": card.target,
        "backbone": card.backbone_name,
        "weights_sha256": card.weights.sha256,
        "trained_on": card.data.get("name"),
        "hand_model": card.hand.path or "MANO",
        "tip_convention": card.hand.tip_convention,
        "crop_px": card.size_px,
        "box_ratio": box_ratio,
        "gestures": gestures,
    }
