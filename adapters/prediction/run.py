"""Predicting hands in images and videos, from files to files, as one call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from adapters.prediction.hand_boxes import HandBox, HandBoxes, box_of_four, boxes_from_file
from adapters.prediction.hand_estimator import HandEstimator
from adapters.prediction.picture_hands import estimate_pictures, title
from adapters.prediction.picture_source import PictureFiles, VideoFile, find_pictures
from adapters.prediction.prediction_writer import PredictionWriter, video_file_names
from gesture_pretrain.device import use_device

NOTES_SHOWN = 10


@dataclass(frozen=True)
class PredictedHands:
    """Result of a prediction.

    Attributes:
        folder: Folder with `predictions.json`, `pictures/` and `meshes/`.
        notes: What could not be used: images, frames or boxes, one sentence each.
    """

    folder: Path
    notes: Sequence[str]


def predict(
    model: str | Path,
    inputs: Sequence[str | Path],
    *,
    boxes: str | Path | None = None,
    box: Sequence[float] | None = None,
    box_ratio: float = 1.25,
    hand: str | None = None,
    every: int = 1,
    gestures: str | None = None,
    taxonomy: str | None = None,
    mano: str | Path | None = None,
    batch: int = 16,
    device: str = "auto",
    out: str | Path = "runs/predictions",
    overwrite: bool = False,
    mesh: str | None = None,
    draw: bool = True,
    progress: bool = True,
) -> PredictedHands:
    """Predict the hands in images and videos and write them to a folder.

    Args:
        model: Folder of a stored pose network.
        inputs: Images, videos, or folders of them.
        boxes: CSV or JSON file of bounding boxes of the hands. Without boxes the hand is assumed
            to fill the image.
        box: One box for every image: left, top, width, height in px.
        box_ratio: Side of the crop over the longer side of a box, as in training.
        hand: "right" or "left" for boxes that do not state the handedness.
        every: Take every n-th frame of a video.
        gestures: Name or path of a gesture network that predicts handedness and gesture.
        taxonomy: Packaged name or CSV of the gestures.
        mano: MANO file or folder, if the network was trained with MANO.
        batch: Hands per batch.
        device: "auto", "cpu", "cuda" or "cuda:<index>".
        out: Output folder.
        overwrite: Replace predictions in `out`.
        mesh: "obj", "ply" or "none". Default: "obj" for images, "none" for frames of videos.
        draw: Draw the hands on the images.
        progress: Show progress bars.

    Raises:
        ValueError, OSError: Wrong input, or no hand was predicted.
        UnknownBackbone: No gesture network of that name.
    """
    for name, value in (("batch", batch), ("every", every), ("box_ratio", box_ratio)):
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}.")
    sources = find_pictures([Path(path) for path in inputs], every=every)
    found = _boxes(boxes, box, sources)
    estimator = HandEstimator(
        model,
        gestures=gestures,
        taxonomy=taxonomy,
        hand_model=mano,
        device=use_device(device),
        box_ratio=box_ratio,
        batch_size=batch,
    )
    writer = PredictionWriter(
        Path(out),
        network=_network_facts(estimator, box_ratio, gestures),
        faces={side: model.faces for side, model in estimator.hand_models.items()},
        mesh_format=None if mesh == "none" else mesh or "obj",
        meshes_of_frames=mesh is not None,
        draw=draw,
        overwrite=overwrite,
    )
    drawn_as = video_file_names([s.path.name for s in sources if isinstance(s, VideoFile)])
    with writer:
        for source in sources:
            results = estimate_pictures(estimator, source, found, hand=hand, batch_size=batch)
            _write_source(source, results, found, writer, drawn_as, progress)
        if not any(picture["hands"] for picture in writer.pictures):
            raise ValueError("\n".join(["no hand was predicted.", *shown_notes(writer.notes)]))
    return PredictedHands(Path(out), writer.notes)


def shown_notes(notes: Sequence[str]) -> list[str]:
    """Format the first notes, one line each, and the number of further ones."""
    lines = [f"Note: {note}" for note in notes[:NOTES_SHOWN]]
    if len(notes) > NOTES_SHOWN:
        lines.append(f"and {len(notes) - NOTES_SHOWN} further notes, see the file")
    return lines


def _boxes(
    boxes: str | Path | None,
    box: Sequence[float] | None,
    sources: Sequence[PictureFiles | VideoFile],
) -> HandBoxes:
    if boxes is not None:
        read = boxes_from_file(Path(boxes))
        read.require_some([name for source in sources for name in _file_names(source)])
        return read
    if box is None:
        return HandBoxes()
    return HandBoxes(HandBox(box_of_four(list(box), "box")))


def _file_names(source: PictureFiles | VideoFile) -> list[str]:
    paths = source.paths if isinstance(source, PictureFiles) else [source.path]
    return [path.name for path in paths]


def _write_source(
    source: PictureFiles | VideoFile,
    results,
    boxes: HandBoxes,
    writer: PredictionWriter,
    drawn_as: Mapping[str, str],
    progress: bool,
) -> None:
    """Write the predictions of a source, and note what could not be used."""
    is_video = isinstance(source, VideoFile)
    label = _file_names(source)[0] if is_video else "images"
    if is_video:
        writer.begin_video(drawn_as[label], source.frames_per_s, boxes.at_most(label))
    unit = "frame" if is_video else "image"
    total = len(source) or None
    boxless = 0
    for result in tqdm(results, total=total, desc=label, unit=unit, disable=not progress):
        writer.add(result)
        for fault in result.faults:
            writer.note(fault)
        if not result.hands and not result.faults:
            boxless += 1
            if not is_video:
                writer.note(f"{title(result.picture)} has no box in {boxes.source}.")
    if is_video:
        _end_video(source, writer, label, boxless, boxes)
    else:
        for reason in source.unreadable.values():
            writer.note(reason)


def _end_video(
    source: VideoFile, writer: PredictionWriter, label: str, boxless: int, boxes: HandBoxes
) -> None:
    writer.end_video()
    if source.ended_early:
        writer.note(source.ended_early)
    if boxless:
        writer.note(f"{boxless} frames of {label} have no box in {boxes.source}.")


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
