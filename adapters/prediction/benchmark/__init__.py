"""Measurements of pose networks on images and videos of hands, next to MediaPipe Hands."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "AnnotatedHand": "adapters.prediction.benchmark.annotated_hand",
        "measure_annotated": "adapters.prediction.benchmark.measure",
        "measure_rendered": "adapters.prediction.benchmark.measure",
        "measure_signs": "adapters.prediction.benchmark.measure",
        "measure_video": "adapters.prediction.benchmark.video",
    },
)
