"""A trained pose network on a user's own images and videos: boxes, crops, hands, drawings."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "HandEstimator": "adapters.prediction.hand_estimator",
        "Intrinsics": "adapters.prediction.intrinsics",
        "PredictedHands": "adapters.prediction.run",
        "predict": "adapters.prediction.run",
        "read_image": "adapters.prediction.image_source",
    },
)
