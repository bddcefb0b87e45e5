"""Two errors for the progress of a run; what is published is scored from predictions files."""

from typing import Any

import numpy as np

from adapters.pose.frames import CameraPrediction, to_camera_frame
from adapters.pose.model import HandPrediction, check_prediction
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.processes import exact_sums

_NAMES = ("mpjpe_mm", "mpvpe_mm")


class PoseErrors:
    """Mean errors over hands, in the camera frame, relative to the wrist, unscaled, unaligned.

    `mpjpe_mm`: of each hand the mean distance over its triangulated joints without the wrist, to
    the annotated joints; hands without a wrist or any other joint are left out. `mpvpe_mm`: of each
    hand with a MANO fit the mean distance over the 778 vertices, each mesh relative to its wrist.
    A hand predicted as the other side is an error in both, as large as it is. The means are the
    same to the last digit however many processes share the batches.

    Args:
        truth: of the index that the batches' rows count in, with hand models.
    """

    def __init__(self, truth: GroundTruthReader):
        self.truth = truth
        self.errors: list[np.ndarray] = []  # of each batch (B, 2), mm

    def add(self, predictions: HandPrediction, batch: Any) -> None:
        """Adds a batch: predictions in the frame of the crops that `batch` describes."""
        check_prediction(predictions, len(batch.row))
        errors = hand_errors_mm(to_camera_frame(predictions, batch), self.truth)
        self.errors.append(np.stack(errors, axis=1))

    def compute(self) -> dict[str, float]:
        """`mpjpe_mm` and `mpvpe_mm` over all processes, and resets; none without any hand."""
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
    predicted: CameraPrediction, truth: GroundTruthReader
) -> tuple[np.ndarray, np.ndarray]:
    """MPJPE and MPVPE of each hand, (B,) float64 each, NaN where there is no truth."""
    real = truth.read(*truth.hands_of(predicted.rows))
    joints_mm = real.joints_cam_mm - real.joints_cam_mm[:, :1]
    distances = np.linalg.norm(predicted.joints_rel_mm - joints_mm, axis=-1)[:, 1:]
    known = ~np.isnan(distances)
    count = known.sum(axis=1)
    joint_error = np.full(len(distances), np.nan)
    some = count > 0
    joint_error[some] = np.where(known, distances, 0)[some].sum(axis=1) / count[some]
    vertices_mm = real.fit_vertices_cam_mm - real.fit_joints_cam_mm[:, :1]
    offsets = np.linalg.norm(predicted.vertices_rel_mm - vertices_mm, axis=-1)
    return joint_error, offsets.mean(axis=1)
