"""Classification scores of gesture predictions: arrays in, numbers out.

Letters: N samples, K classes. A label of -1 means "this sample has no gesture label"; such samples
are masked out of every score and counted in ``num_masked``. Averages over classes run over the
classes *present among the unmasked labels*: InterHand2.6M's splits do not hold every class, and a
class that cannot be missed must not count as 0 or as 1.
"""

from dataclasses import asdict, dataclass

import numpy as np

from gesture_pretrain.taxonomy import UNLABELLED


@dataclass(frozen=True)
class ClassificationMetrics:
    """Scores of one set of predictions, all as fractions in [0, 1].

    Attributes:
        top1: Fraction of the labelled samples whose class was predicted.
        balanced_accuracy: Recall averaged over the present classes.
        macro_f1: F1 averaged over the present classes; F1 of a class never predicted is 0.
        num_samples: Labelled samples that were scored.
        num_masked: Samples left out because their label is -1.
        num_classes: Classes of the taxonomy (K).
        num_present: Classes that occur among the scored labels.
        chance: top-1 of a uniform guess over the K classes.
        majority: top-1 of always answering the most frequent scored class.
    """

    top1: float
    balanced_accuracy: float
    macro_f1: float
    num_samples: int
    num_masked: int
    num_classes: int
    num_present: int
    chance: float
    majority: float

    def to_json(self) -> dict:
        """Return the fields as a dictionary."""
        return asdict(self)


def classification_metrics(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> ClassificationMetrics:
    """Score predictions against labels.

    Args:
        labels: (N,) integers in [-1, K); -1 is masked.
        predictions: (N,) integers in [0, K).
        num_classes: K.

    Raises:
        ValueError: Lengths differ, an id is out of range, or no sample has a label.
    """
    confusion = confusion_matrix(labels, predictions, num_classes)
    num_samples = int(confusion.sum())
    if num_samples == 0:
        raise ValueError(
            f"None of the {len(labels)} samples has a label (all are -1), so there is nothing to "
            "score. Check that the taxonomy names this data's labels."
        )
    truth, predicted, hits = confusion.sum(1), confusion.sum(0), np.diag(confusion)
    present = truth > 0
    recall = hits[present] / truth[present]
    f1 = 2 * hits[present] / (truth[present] + predicted[present])
    return ClassificationMetrics(
        top1=float(hits.sum() / num_samples),
        balanced_accuracy=float(recall.mean()),
        macro_f1=float(f1.mean()),
        num_samples=num_samples,
        num_masked=int(len(labels) - num_samples),
        num_classes=num_classes,
        num_present=int(present.sum()),
        chance=1.0 / num_classes,
        majority=float(truth.max() / num_samples),
    )


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pairs of true and predicted class.

    Args:
        labels: (N,) integers in [-1, K); -1 is left out.
        predictions: (N,) integers in [0, K).
        num_classes: K.

    Returns:
        (K, K) int64, rows = true class, columns = predicted class.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape or labels.ndim != 1:
        raise ValueError(
            f"labels {labels.shape} and predictions {predictions.shape} must both be (N,)."
        )
    known = labels != UNLABELLED
    labels, predictions = labels[known], predictions[known]
    _check_range("label", labels, num_classes)
    _check_range("prediction", predictions, num_classes)
    pairs = labels.astype(np.int64) * num_classes + predictions.astype(np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _check_range(what: str, ids: np.ndarray, num_classes: int) -> None:
    if ids.size and (ids.min() < 0 or ids.max() >= num_classes):
        raise ValueError(
            f"A {what} lies outside [0, {num_classes}): found {ids.min()}..{ids.max()}. "
            "Labels and predictions must come from one taxonomy."
        )
