"""Training, storing and predicting with any pose network."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "TrainedPose": "adapters.pose.stage",
        "load_pose_model": "adapters.pose.checkpoint",
        "train": "adapters.pose.stage",
        "HandPrediction": "adapters.pose.model",
        "release_pose_model": "adapters.pose.checkpoint",
    },
)
