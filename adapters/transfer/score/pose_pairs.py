"""The same test image with the poses and meshes of two systems: worst, median and best hands."""

from pathlib import Path

import cv2
import numpy as np

from adapters.transfer.plan.cell import FINETUNING, CellTable
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.score.results import ComparedPair, DrawnPose, PosePair
from adapters.transfer.score.scoring import Scored, on_shared_hands, place_of
from gesture_pretrain.data.images import read_image_rgb
from gesture_pretrain.data.index.record import HANDS
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruth, GroundTruthReader
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.geometry.camera import project_px
from gesture_pretrain.rendering import render_mesh

CROP_PX = 224
_MARGIN = 1.5
_BEHIND_MM, _BESIDE_MM = 12.0, 9.0
_SHARE_HIDDEN = 1 / 3
_BLOCK_HANDS = 4096
_BESIDE_THE_IMAGE_RGB = (236, 239, 242)
TEXT = (
    "Of the first declared comparison, first seed, among the third of the test hands with most "
    "hidden joints (a joint of another finger lies within 9 mm of the line of sight and at least "
    "12 mm nearer): the hands where the arm gains least, those in the middle, and those where it "
    "gains most. Joints and meshes are drawn from the true wrist, as they are scored."
)


def pose_pairs(
    plan: Plan,
    table: CellTable,
    out: Path,
    scored: Scored,
    pair: ComparedPair,
    reader: GroundTruthReader,
    *,
    each: int = 2,
) -> tuple[PosePair, ...]:
    """`each` worst, median and best hands of a comparison."""
    seed = next(
        s
        for s in plan.seeds
        if (pair.target, pair.arm, pair.fraction, s) in scored.cells
        and (pair.reference_target, pair.reference, pair.fraction, s) in scored.cells
    )
    places = (
        (pair.target, pair.arm, pair.fraction, seed),
        (pair.reference_target, pair.reference, pair.fraction, seed),
    )
    scores = on_shared_hands([scored.cells[place][plan.protocols[0]] for place in places])
    errors = [score.hand_means_mm() for score in scores]
    rows, hand = scores[0].info["rows"], scores[0].info["hand"]
    truth_mm = _true_joints(reader, rows, hand)
    gain = errors[1] - errors[0]
    usable = np.flatnonzero(~np.isnan(gain) & ~np.isnan(truth_mm[:, 0, 0]))
    if not len(usable):
        return ()
    hidden = _in_blocks(lambda part: hidden_joints(truth_mm[part]).sum(1), usable)
    kept = max(3 * each, round(_SHARE_HIDDEN * len(usable)))
    usable = usable[np.argsort(-hidden, kind="stable")[:kept]]
    names, chosen = _chosen(usable, gain, each)
    truth = reader.read(rows[chosen], hand[chosen])
    poses = [_predicted(table, out, place, truth, reader) for place in places]
    return tuple(
        _figure(reader, truth, i, poses, place=name, errors_mm=[each[chosen[i]] for each in errors])
        for i, name in enumerate(names)
    )


def _true_joints(reader: GroundTruthReader, rows: np.ndarray, hand: np.ndarray) -> np.ndarray:
    """(N, 21, 3) annotated joints, without the fits' meshes, which would not fit into memory."""
    annotations = GroundTruthReader(reader.index)
    return _in_blocks(
        lambda part: annotations.read(rows[part], hand[part]).joints_cam_mm, np.arange(len(rows))
    )


def _in_blocks(values_of, positions: np.ndarray) -> np.ndarray:
    starts = range(0, len(positions), _BLOCK_HANDS)
    return np.concatenate([values_of(positions[start : start + _BLOCK_HANDS]) for start in starts])


def hidden_joints(joints_cam_mm: np.ndarray) -> np.ndarray:
    """(N, 21) bool: joints that another finger's joint hides from the camera; a rough measure.

    Args:
        joints_cam_mm: (N, 21, 3), camera frame; NaN where not known.
    """
    direction = joints_cam_mm / np.linalg.norm(joints_cam_mm, axis=-1, keepdims=True)
    along = np.einsum("nkc,njc->njk", joints_cam_mm, direction)  # of joint k on the ray to j
    squared = (joints_cam_mm**2).sum(-1)[:, None, :] - along**2
    beside = np.sqrt(np.maximum(squared, 0.0))
    distance = np.linalg.norm(joints_cam_mm, axis=-1)
    nearer = distance[:, :, None] - along
    finger = (np.arange(21) - 1) // 4  # the wrist is -1
    other = finger[:, None] != finger[None, :]
    with np.errstate(invalid="ignore"):
        return ((nearer > _BEHIND_MM) & (beside < _BESIDE_MM) & other).any(-1)


def _chosen(usable: np.ndarray, gain: np.ndarray, each: int) -> tuple[list[str], np.ndarray]:
    """What each chosen hand is an example of, and its position."""
    order = usable[np.argsort(gain[usable], kind="stable")]
    each = min(each, max(1, len(order) // 3))
    middle = (len(order) - each) // 2
    parts = {"worst": order[:each], "median": order[middle : middle + each], "best": order[-each:]}
    names = [name for name, part in parts.items() for _ in part]
    return names, np.concatenate(list(parts.values()))


def _predicted(
    table: CellTable, out: Path, place: tuple, truth: GroundTruth, reader: GroundTruthReader
) -> PosePredictions:
    """Predictions, with their meshes, of the hands of `truth` in its order."""
    cell = next(c for c in table.cells if c.stage == FINETUNING and place_of(c) == place)
    stored = PosePredictions.load(CellFolder(out, cell).predictions)
    keys = 2 * stored.rows + stored.hand
    order = np.argsort(keys)
    found = stored.take(order[np.searchsorted(keys[order], 2 * truth.rows + truth.hand)])
    return found if reader.hand_models is None else found.with_vertices(reader.hand_models)


def _figure(
    reader: GroundTruthReader, truth: GroundTruth, i: int, poses, *, place: str, errors_mm
) -> PosePair:
    record = reader.index.record(int(truth.rows[i]))
    wrist = truth.joints_cam_mm[i, 0]
    joints = [truth.joints_cam_mm[i]]
    meshes = [None if truth.fit_vertices_cam_mm is None else truth.fit_vertices_cam_mm[i]]
    for pose in poses:
        joints.append(pose.joints_rel_mm[i] + wrist)
        meshes.append(None if pose.vertices_rel_mm is None else pose.vertices_rel_mm[i] + wrist)
    pixels = [_projected(points, record) for points in joints]
    affine = _crop_of(pixels[0])
    faces = None
    if reader.hand_models is not None:
        faces = reader.hand_models[HANDS[truth.hand[i]]].faces
    true, arm, reference = (
        DrawnPose(
            points @ affine[:, :2].T + affine[:, 2],
            None if mesh is None or faces is None else _mesh_layer(mesh, faces, record, affine),
        )
        for points, mesh in zip(pixels, meshes, strict=True)
    )
    return PosePair(
        crop_rgb=_crop(read_image_rgb(record.image_path, record.row), affine),
        truth=true,
        reference=reference,
        arm=arm,
        place=f"{place}: {record.label}",
        reference_mm=float(errors_mm[1]),
        arm_mm=float(errors_mm[0]),
    )


def _crop(image_rgb: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(
        image_rgb,
        affine,
        (CROP_PX, CROP_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_BESIDE_THE_IMAGE_RGB,
    )


def _mesh_layer(vertices_cam_mm: np.ndarray, faces, record, affine) -> np.ndarray | None:
    """(S, S, 2) brightness and coverage in the crop; None where it is not in front of the camera.

    Args:
        vertices_cam_mm: (V, 3), NaN where there is no fit.
        faces: (F, 3).
        record: of the image, for its camera.
        affine: (2, 3) from pixels of the image to those of the crop.
    """
    if not (vertices_cam_mm[:, 2] > 0).all():  # NaN is not
        return None
    scale = affine[0, 0]
    image, coverage = render_mesh(
        vertices_cam_mm / 1000,
        faces,
        scale * np.asarray(record.focal_px),
        scale * np.asarray(record.princpt_px) + affine[:, 2],
        (CROP_PX, CROP_PX),
        colour_rgb=(255, 255, 255),
    )
    # the image is black where nothing is: at an edge it is brightness times coverage
    brightness = image.mean(-1) / np.maximum(coverage, 1e-6)
    return np.stack([np.clip(brightness, 0, 255), 255 * coverage], axis=-1).astype(np.uint8)


def _projected(joints_cam_mm: np.ndarray, record) -> np.ndarray:
    pixels = np.full((21, 2), np.nan)
    known = joints_cam_mm[:, 2] > 0  # NaN is not
    pixels[known] = project_px(joints_cam_mm[known], record.focal_px, record.princpt_px)
    return pixels


def _crop_of(points_px: np.ndarray) -> np.ndarray:
    """(2, 3) map of a square around the points to the crop."""
    low, high = np.nanmin(points_px, axis=0), np.nanmax(points_px, axis=0)
    scale = CROP_PX / max(float((high - low).max()) * _MARGIN, 1.0)
    shift = CROP_PX / 2 - scale * (low + high) / 2
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
