"""Single hands with their true pose and the poses of two systems: worst, median and best hands."""

from pathlib import Path

import cv2
import numpy as np

from adapters.transfer.plan.cell import FINETUNING, CellTable
from adapters.transfer.plan.plan import Plan
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.score.results import ComparedPair
from adapters.transfer.score.scoring import Scored, on_shared_hands, place_of
from gesture_pretrain.data.images import read_image_rgb
from gesture_pretrain.data.index.record import HandRecord
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruth, GroundTruthReader
from gesture_pretrain.evaluation.poses.metrics import mean_known
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.geometry.camera import project_px
from gesture_pretrain.report.contact_sheet import Tile

CROP_PX = 224
_MARGIN = 1.5
_OF_EACH_KIND = 2
_BESIDE_THE_IMAGE_RGB = (236, 239, 242)


def pose_tiles(
    plan: Plan,
    table: CellTable,
    out: Path,
    scored: Scored,
    pair: ComparedPair,
    reader: GroundTruthReader,
) -> tuple[Tile, ...]:
    """Draw hands where an arm gains least, those in the middle, and those where it gains most.

    Args:
        plan, table, out, scored: The plan, its cells, their folder and their scores.
        pair: Comparison of the arm with its reference.
        reader: Ground-truth reader of the test index.

    Returns:
        Three tiles per hand: ground truth, the reference's pose, and the arm's pose. Predicted
        joints are drawn from the true wrist, as they are scored.
    """
    places = _places(plan, scored, pair)
    scores = on_shared_hands([scored.cells[place][plan.protocols[0]] for place in places])
    reference_mm, arm_mm = (mean_known(s.errors.joint_mm, axis=1) for s in scores)
    names, chosen = _choose(reference_mm - arm_mm)
    if not names:
        return ()
    info = scores[0].info
    truth = reader.read(info["rows"][chosen], info["hand"][chosen])
    reference, arm = (_predicted(table, out, place, truth) for place in places)
    tiles = []
    for i, (name, hand) in enumerate(zip(names, chosen, strict=True)):
        record, joints_mm = reader.index.record(int(truth.rows[i])), truth.joints_cam_mm[i]
        captions = (
            f"truth\n{name}: {record.label}",
            f"{pair.reference}\n{reference_mm[hand]:.0f} mm",
            f"{pair.arm}\n{arm_mm[hand]:.0f} mm",
        )
        poses = (joints_mm, *(p.joints_rel_mm[i] + joints_mm[0] for p in (reference, arm)))
        tiles += _tiles(record, poses, captions)
    return tuple(tiles)


def _places(plan: Plan, scored: Scored, pair: ComparedPair) -> list[tuple]:
    """Return the places of the reference and of the arm, of the first seed that has both."""
    sides = ((pair.reference_target, pair.reference), (pair.target, pair.arm))
    by_seed = ([(*side, pair.fraction, seed) for side in sides] for seed in plan.seeds)
    return next(places for places in by_seed if all(place in scored.cells for place in places))


def _choose(gain_mm: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return what each chosen hand is an example of, and its position."""
    order = np.argsort(gain_mm, kind="stable")
    order = order[~np.isnan(gain_mm[order])]
    each = min(_OF_EACH_KIND, len(order) // 3)
    middle = (len(order) - each) // 2
    parts = {"worst": order[:each], "median": order[middle : middle + each]}
    parts["best"] = order[len(order) - each :]
    names = [name for name, part in parts.items() for _ in part]
    return names, np.concatenate(list(parts.values()))


def _predicted(table: CellTable, out: Path, place: tuple, truth: GroundTruth) -> PosePredictions:
    """Read a cell's predictions of the hands of `truth`, in its order."""
    cell = next(c for c in table.cells if c.stage == FINETUNING and place_of(c) == place)
    stored = PosePredictions.load(CellFolder(out, cell).predictions)
    keys = 2 * stored.rows + stored.hand
    order = np.argsort(keys)
    return stored.take(order[np.searchsorted(keys[order], 2 * truth.rows + truth.hand)])


def _tiles(record: HandRecord, poses_cam_mm, captions) -> list[Tile]:
    """Draw poses (21, 3) in the same crop around the first one."""
    pixels = [_projected(joints_cam_mm, record) for joints_cam_mm in poses_cam_mm]
    affine = _crop_around(pixels[0])
    crop = cv2.warpAffine(
        read_image_rgb(record.image_path, record.row),
        affine,
        (CROP_PX, CROP_PX),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_BESIDE_THE_IMAGE_RGB,
    )
    return [
        Tile(
            crop,
            caption,
            keypoints_px=points @ affine[:, :2].T + affine[:, 2],
            joint_valid=~np.isnan(points).any(1),
        )
        for points, caption in zip(pixels, captions, strict=True)
    ]


def _projected(joints_cam_mm: np.ndarray, record: HandRecord) -> np.ndarray:
    pixels = np.full((21, 2), np.nan)
    known = joints_cam_mm[:, 2] > 0  # false for NaN
    pixels[known] = project_px(joints_cam_mm[known], record.focal_px, record.princpt_px)
    return pixels


def _crop_around(points_px: np.ndarray) -> np.ndarray:
    """Return the (2, 3) map from a square around the points to the crop."""
    low, high = np.nanmin(points_px, axis=0), np.nanmax(points_px, axis=0)
    scale = CROP_PX / max(float((high - low).max()) * _MARGIN, 1.0)
    shift = CROP_PX / 2 - scale * (low + high) / 2
    return np.array([[scale, 0.0, shift[0]], [0.0, scale, shift[1]]])
