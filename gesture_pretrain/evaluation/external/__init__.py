"""Prediction files of other systems."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "read_external_predictions": "gesture_pretrain.evaluation.external.predictions",
    },
)
