"""Scores compared with scikit-learn, masking, and refusals."""

import numpy as np
import pytest
from sklearn import metrics as sk

from gesture_pretrain.evaluation.features.classification import (
    classification_metrics,
    confusion_matrix,
)


def _draw(num_classes=9, samples=400, seed=3):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes - 2, samples)  # two classes never occur
    guesses = rng.integers(0, num_classes, samples)
    return labels, np.where(rng.random(samples) < 0.6, labels, guesses)


def test_scores_equal_scikit_learn():
    labels, predictions = _draw()
    ours = classification_metrics(labels, predictions, 9)
    present = np.unique(labels)
    assert ours.top1 == pytest.approx(sk.accuracy_score(labels, predictions), abs=1e-12)
    recall = sk.recall_score(labels, predictions, labels=present, average="macro")
    assert ours.balanced_accuracy == pytest.approx(recall, abs=1e-12)
    f1 = sk.f1_score(labels, predictions, labels=present, average="macro", zero_division=0)
    assert ours.macro_f1 == pytest.approx(f1, abs=1e-12)
    assert ours.num_present == 7 and ours.num_classes == 9
    reference = sk.confusion_matrix(labels, predictions, labels=range(9))
    np.testing.assert_array_equal(confusion_matrix(labels, predictions, 9), reference)


def test_scores_by_hand():
    # class 0: recall 1/2, class 1: recall 1; precision 1 and 2/3; F1 2/3 and 4/5
    scores = classification_metrics(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)
    assert scores.top1 == 0.75
    assert scores.balanced_accuracy == 0.75
    assert scores.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert scores.majority == 0.5 and scores.chance == pytest.approx(1 / 3)


def test_unlabelled_samples_change_no_score():
    labels, predictions = _draw()
    masked = np.concatenate([labels, np.full(50, -1)])
    more = np.concatenate([predictions, np.zeros(50, int)])
    ours, reference = (
        classification_metrics(*pair, 9) for pair in ((masked, more), (labels, predictions))
    )
    assert ours.num_masked == 50
    assert ours.to_json() == {**reference.to_json(), "num_masked": 50}


def test_nothing_labelled_is_an_error():
    with pytest.raises(ValueError, match="None of the 3 samples has a label"):
        classification_metrics(np.full(3, -1), np.zeros(3, int), 4)


@pytest.mark.parametrize(
    "labels, predictions", [([0, 4], [0, 0]), ([0, 1], [0, 4]), ([0, 1], [0, -1])]
)
def test_id_out_of_range_is_an_error(labels, predictions):
    with pytest.raises(ValueError, match=r"outside \[0, 4\)"):
        classification_metrics(np.array(labels), np.array(predictions), 4)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="must both be"):
        confusion_matrix(np.zeros(3, int), np.zeros(2, int), 4)
