"""Predicted poses, evaluation protocols and scores."""

from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader
from gesture_pretrain.evaluation.poses.mean_pose import (
    MeanPose,
    did_not_learn,
    mean_pose_score,
    mean_training_pose,
)
from gesture_pretrain.evaluation.poses.predictions import PosePredictions, PredictionError
from gesture_pretrain.evaluation.poses.protocol import PROTOCOLS, Protocol, find_protocols
from gesture_pretrain.evaluation.poses.score import Score, score_predictions

__all__ = [
    "PROTOCOLS",
    "GroundTruthReader",
    "MeanPose",
    "PosePredictions",
    "PredictionError",
    "Protocol",
    "Score",
    "did_not_learn",
    "find_protocols",
    "mean_pose_score",
    "mean_training_pose",
    "score_predictions",
]
