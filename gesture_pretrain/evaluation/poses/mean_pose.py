"""The mean training pose: the error that a network reaches without looking at its image.

A network that is not better than this constant has learned nothing about poses, however its loss
fell. Letters: N hands, J = 21 joints in mano21 order.
"""

import math
from dataclasses import dataclass

import numpy as np

from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.protocol import Protocol
from gesture_pretrain.evaluation.poses.score import Score, score_predictions

MEAN_POSE = "mean training pose"
MAX_HANDS = 20_000
_MIRROR_X = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class MeanPose:
    """Mean joints of the training hands.

    Attributes:
        joints_rel_mm: (2, J, 3) of the right and the left hand, minus the wrist, axes of the camera
            of the stored image. A hand that is not in the training data is the mirror image of the
            other one. NaN for a joint without any training label.
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
        """The mean pose as the prediction for N hands, to be scored like any other system.

        Args:
            reader: Of the index that `rows` count in.
            rows: (N,) images.
            hand: (N,) 0 right, 1 left.
            box_source: Of the systems beside it in a table; the mean pose needs no boxes.

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
    """The mean pose of the labels of some images; None where none of them has labels.

    Args:
        reader: Of the index.
        train_rows: Images; of more than `MAX_HANDS` hands, that many evenly spread ones are read.
    """
    rows, hand = reader.hands_of(train_rows)
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), MAX_HANDS)).astype(int)
    truth = reader.read(rows[chosen], hand[chosen])
    relative_mm = truth.joints_cam_mm - truth.joints_cam_mm[:, :1]
    means = np.stack([_mean_known(relative_mm[truth.hand == side]) for side in (0, 1)])
    empty = np.isnan(means).all((1, 2))
    if empty.all():
        return None
    for side in np.flatnonzero(empty):
        means[side] = means[1 - side] * _MIRROR_X
    return MeanPose(means)


def mean_pose_score(
    reader: GroundTruthReader,
    protocol: Protocol,
    *,
    train_rows: np.ndarray,
    rows: np.ndarray,
    box_source: str | None = None,
) -> Score | None:
    """The score of the mean training pose.

    Args:
        reader: Of the index.
        protocol: See `find_protocols`.
        train_rows: Images whose labels were trained on.
        rows: Evaluated images.
        box_source: Of the systems that it is compared with.

    Returns:
        None where a joint has no training label, or the protocol requires a mesh.
    """
    pose = mean_training_pose(reader, train_rows)
    if pose is None or np.isnan(pose.joints_rel_mm).any():
        return None
    predictions = pose.predictions(reader, *reader.hands_of(rows), box_source=box_source)
    scores, _ = score_predictions(predictions, reader, [protocol], rows=rows)
    return scores[0] if scores else None


def did_not_learn(error_mm: float, mean_pose_mm: float) -> bool:
    """Whether an error is not below that of the mean training pose; False where that is NaN."""
    return not (math.isnan(mean_pose_mm) or error_mm < mean_pose_mm)


def _mean_known(joints_mm: np.ndarray) -> np.ndarray:
    """(N, J, 3) to (J, 3): mean of what is not NaN; NaN where nothing is."""
    known = ~np.isnan(joints_mm)
    with np.errstate(invalid="ignore"):
        return np.where(known, joints_mm, 0.0).sum(0) / known.sum(0)
