"""Paired differences over clusters, seeds and pretrainings, with intervals and tests."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "PairedDifference": "gesture_pretrain.evaluation.statistics.comparison",
        "compare_paired": "gesture_pretrain.evaluation.statistics.comparison",
        "compare_scores": "gesture_pretrain.evaluation.statistics.paired_scores",
        "crossed_interval": "gesture_pretrain.evaluation.statistics.crossed",
        "detectable_difference": "gesture_pretrain.evaluation.statistics.comparison",
        "holm": "gesture_pretrain.evaluation.statistics.comparison",
        "sign_flip_p_value": "gesture_pretrain.evaluation.statistics.sign_flip",
    },
)
