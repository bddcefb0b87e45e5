"""The mean training pose, a baseline that does not use the image.

A network that is not better than this constant prediction has learned nothing about poses. Letters:
N hands, J = 21 joints in mano21 order.
"""

import math
from dataclasses import dataclass

import numpy as np

from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.metrics import mean_known
from gesture_pretrain.evaluation.poses.predictions import PosePredictions

MEAN_POSE = "mean training pose"
MAX_HANDS = 20_000
_MIRROR_X = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class MeanPose:
    """Mean joints of the training hands.

    Attributes:
        joints_rel_mm: (2, J, 3) joints of the right and the left hand, relative to the wrist, in
            the camera frame of the stored image. If the training data have only one hand, the other
            is its mirror image. NaN for a joint without any training label.
    """

    joints_rel_mm: np.ndarray

    def predictions(
        self,
        reader: GroundTruthReader,
        rows: np.ndarray,
        hand: np.ndarray,
        *,
        box_source: str | None = None,
    ) -> PosePredictions:
        """Predict the mean pose for N hands, to be scored like any other system.

        Args:
            reader: Ground-truth reader of the index.
            rows: (N,) rows of the index.
            hand: (N,) 0 right, 1 left.
            box_source: Origin of the boxes of the compared systems; the mean pose needs none.

        Raises:
            PredictionError: A joint has no training label.
        """
        return PosePredictions(
            system=MEAN_POSE,
            index_fingerprint=reader.index.fingerprint,
            rows=rows,
            hand=hand,
            joints_rel_mm=self.joints_rel_mm[hand],
            provenance={} if box_source is None else {"box_source": box_source},
        )


def mean_training_pose(reader: GroundTruthReader, train_rows: np.ndarray) -> MeanPose | None:
    """Compute the mean pose of the labels of some images; None if none of them has labels.

    Args:
        reader: Ground-truth reader of the index.
        train_rows: Training images. At most `MAX_HANDS` evenly spread hands are used.
    """
    rows, hand = reader.hands_of(train_rows)
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), MAX_HANDS)).astype(int)
    truth = reader.read(rows[chosen], hand[chosen])
    relative_mm = truth.joints_cam_mm - truth.joints_cam_mm[:, :1]
    means = np.stack([mean_known(relative_mm[truth.hand == side], 0) for side in (0, 1)])
    empty = np.isnan(means).all((1, 2))
    if empty.all():
        return None
    for side in np.flatnonzero(empty):
        means[side] = means[1 - side] * _MIRROR_X
    return MeanPose(means)


def did_not_learn(error_mm: float, mean_pose_mm: float) -> bool:
    """Return whether an error is not below that of the mean training pose; False if it is NaN."""
    return not (math.isnan(mean_pose_mm) or error_mm < mean_pose_mm)
