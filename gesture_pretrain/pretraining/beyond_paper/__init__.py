"""Options of Stage 1 beyond the paper; all are off by default."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "BeyondPaper": "gesture_pretrain.pretraining.beyond_paper.losses",
        "ProjectedHeads": "gesture_pretrain.pretraining.beyond_paper.projector",
    },
)
