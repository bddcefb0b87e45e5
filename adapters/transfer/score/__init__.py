"""Scores and comparisons of the finished cells of a plan."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "ComparedPair": "adapters.transfer.score.results",
        "TransferResults": "adapters.transfer.score.results",
        "compare_external": "adapters.transfer.score.comparing",
        "compare_plan": "adapters.transfer.score.comparing",
        "score_plan": "adapters.transfer.score.scoring",
    },
)
