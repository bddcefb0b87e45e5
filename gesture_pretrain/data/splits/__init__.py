"""Select the training and validation rows of a run."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "NeutralEnds": "gesture_pretrain.data.splits.neutral_ends",
        "SplitRows": "gesture_pretrain.data.splits.select",
        "select_splits": "gesture_pretrain.data.splits.select",
        "spread": "gesture_pretrain.data.splits.select",
    },
)
