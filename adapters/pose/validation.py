"""Validation errors during a run; published scores come from predictions files."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from adapters.pose.frames import CameraPrediction, to_camera_frame
from adapters.pose.model import HandPrediction, check_prediction
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.mean_pose import MeanPose, did_not_learn
from gesture_pretrain.processes import exact_sums

_NAMES = ("mpjpe_mm", "mpvpe_mm", "mean_pose_mpjpe_mm")


class PoseErrors:
    """Mean errors over hands, in the camera frame, relative to the wrist, unscaled, unaligned.

    `mpjpe_mm`: of each hand the mean distance over its triangulated joints without the wrist, to
    the annotated joints; hands without a wrist or any other joint are left out. `mpvpe_mm`: of each
    hand with a MANO fit the mean distance over the 778 vertices, each mesh relative to its wrist.
    A hand predicted with the wrong handedness counts in both errors.
    `mean_pose_mpjpe_mm`: the MPJPE of the mean training pose on the same hands. A network that is
    not below it did not learn. The means are the same to the last digit however many processes
    split the batches.

    Args:
        truth: Ground truth of the index that the rows refer to, with hand models.
        mean_pose: Mean pose of the training labels; None for none.
    """

    def __init__(self, truth: GroundTruthReader, mean_pose: MeanPose | None = None):
        self.truth, self.mean_pose = truth, mean_pose
        self.errors: list[np.ndarray] = []  # of each batch (B, 2), mm

    def add(self, predictions: HandPrediction, batch: Any) -> None:
        """Add a batch: predictions in the frame of the crops that `batch` describes."""
        check_prediction(predictions, len(batch.row))
        errors = hand_errors_mm(to_camera_frame(predictions, batch), self.truth, self.mean_pose)
        self.errors.append(np.stack(errors, axis=1))

    def compute(self) -> dict[str, float]:
        """Return the means over all processes, omitting those without hands, and reset."""
        errors = np.concatenate(self.errors) if self.errors else np.empty((0, len(_NAMES)))
        self.errors = []
        known = ~np.isnan(errors)
        terms = np.concatenate([known, np.where(known, errors, 0)], axis=1)
        sums = exact_sums(terms, 2 * len(_NAMES))
        counts, totals = sums[: len(_NAMES)], sums[len(_NAMES) :]
        return {
            name: total / count
            for name, count, total in zip(_NAMES, counts, totals, strict=True)
            if count
        }


def hand_errors_mm(
    predicted: CameraPrediction, truth: GroundTruthReader, mean_pose: MeanPose | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute MPJPE, MPVPE and the mean pose's MPJPE of each hand, (B,) float64 each.

    NaN if the ground truth or the prediction is missing.
    """
    real = truth.read(*truth.hands_of(predicted.rows))
    joints_mm = real.joints_cam_mm - real.joints_cam_mm[:, :1]
    joint_error = _mean_distance_mm(predicted.joints_rel_mm, joints_mm)
    mean_error, mesh_error = np.full((2, len(joint_error)), np.nan)
    if mean_pose is not None:
        mean_error = _mean_distance_mm(mean_pose.joints_rel_mm[real.hand], joints_mm)
    if predicted.vertices_rel_mm is not None:
        vertices_mm = real.fit_vertices_cam_mm - real.fit_joints_cam_mm[:, :1]
        offsets = np.linalg.norm(predicted.vertices_rel_mm - vertices_mm, axis=-1)
        mesh_error = offsets.mean(axis=1)
    return joint_error, mesh_error, mean_error


def _mean_distance_mm(predicted_mm: np.ndarray, joints_mm: np.ndarray) -> np.ndarray:
    """Average over the known joints without the wrist: (B, 21, 3) twice to (B,)."""
    distances = np.linalg.norm(predicted_mm - joints_mm, axis=-1)[:, 1:]
    known = ~np.isnan(distances)
    with np.errstate(invalid="ignore"):
        return np.where(known, distances, 0).sum(axis=1) / known.sum(axis=1)


def learning_notice(metrics: Mapping[str, float]) -> str | None:
    """Return a warning if validation metrics are not below those of the mean training pose."""
    error, mean = (metrics.get(name, math.nan) for name in ("mpjpe_mm", "mean_pose_mpjpe_mm"))
    if not did_not_learn(error, mean):
        return None
    return (
        f"The network did not learn: its validation MPJPE of {error:.1f} mm is not below "
        f"{mean:.1f} mm, that of the mean training pose. Train longer, or check labels and losses."
    )
