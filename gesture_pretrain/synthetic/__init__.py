"""The embedded dataset: rendered hands with the annotations of InterHand2.6M."""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "write_synthetic": "gesture_pretrain.synthetic.build",
    },
)
