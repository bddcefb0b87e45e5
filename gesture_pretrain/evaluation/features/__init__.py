"""Evaluation of frozen features by k-NN and linear probes to gestures and 3D joints.

A probe to the labels a network was trained with is circular. Probes to root-relative joints are
not, because pretraining uses no joints. Functions take arrays and return predictions, which
`classification.py` and `mpjpe_mm` score. All results are deterministic.

Letters: N gallery (train) samples, M query samples, C channels, K classes, J = 21 joints.
"""

from gesture_pretrain.lazy import lazy_names

__getattr__, __all__ = lazy_names(
    __name__,
    {
        "evaluate_features": "gesture_pretrain.evaluation.features.run",
    },
)
