"""Predicted poses, evaluation protocols and scores."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "GroundTruthReader": "gesture_pretrain.evaluation.poses.ground_truth",
        "PROTOCOLS": "gesture_pretrain.evaluation.poses.protocol",
        "PosePredictions": "gesture_pretrain.evaluation.poses.predictions",
        "Protocol": "gesture_pretrain.evaluation.poses.protocol",
        "Score": "gesture_pretrain.evaluation.poses.score",
        "did_not_learn": "gesture_pretrain.evaluation.poses.mean_pose",
        "find_protocols": "gesture_pretrain.evaluation.poses.protocol",
        "mean_training_pose": "gesture_pretrain.evaluation.poses.mean_pose",
        "score_predictions": "gesture_pretrain.evaluation.poses.score",
    },
)
