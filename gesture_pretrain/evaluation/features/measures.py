"""Evaluation of frozen backbones: feature tables -> predictions on disk -> scores.

`probe_predictions` fits on the train table and predicts for the evaluated table.
`score_predictions` compares stored predictions with the ground truth, so that scores can be
recomputed without fitting again. Letters: M evaluated samples, J = 21 joints.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gesture_pretrain.evaluation.features.classification import classification_metrics
from gesture_pretrain.evaluation.features.extract import FeatureTable
from gesture_pretrain.evaluation.features.joint_error import joint_errors_mm, mpjpe_mm
from gesture_pretrain.evaluation.features.linear_probe import (
    ProbeFit,
    mean_pose,
    probe_gesture,
    probe_joints,
)
from gesture_pretrain.evaluation.features.nearest_neighbours import (
    average_joints,
    nearest_neighbours,
    vote,
)
from gesture_pretrain.files.npz_file import write_npz
from gesture_pretrain.taxonomy import UNLABELLED

LEVELS = ("coarse", "fine")


@dataclass(frozen=True)
class Predictions:
    """Predictions of one backbone for M evaluated samples.

    Attributes:
        arrays: By name: heads_coarse, heads_fine (only with heads), knn_coarse, knn_fine,
            probe_coarse, probe_fine (M,) classes; knn_joints_mm, probe_joints_mm and
            mean_pose_mm (M, J, 3), camera frame, wrist-relative (only with joints).
        fits: By name, how a probe's penalty was chosen.
    """

    arrays: dict[str, np.ndarray]
    fits: dict = field(default_factory=dict)

    def save(self, path: Path | str) -> Path:
        """Write an .npz without pickled data."""
        return write_npz(path, {"fits_json": json.dumps(self.fits), **self.arrays})

    @classmethod
    def load(cls, path: Path | str) -> "Predictions":
        """Read a file of `save`."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name != "fits_json"}
            return cls(arrays, json.loads(str(stored["fits_json"])))


def probe_predictions(
    train: FeatureTable,
    evaluated: FeatureTable,
    *,
    num_classes: Mapping[str, int],
    k: int = 20,
) -> Predictions:
    """Predict gestures and joints of the evaluated samples from frozen features.

    Args:
        train: Gallery of the k-NN and train data of the probes.
        num_classes: {"coarse": K1, "fine": K2}.
        k: Neighbours.

    Raises:
        ValueError: The samples have neither labels of two or more gestures nor joints in common, or
            fewer than k neighbours are left.
    """
    arrays, fits = {}, {}
    for level in distinct_levels(train, evaluated):
        if num_classes[level] == 1:  # right by construction, which is no score
            continue
        labelled = _labelled(train, level)
        if labelled.any() and _labelled(evaluated, level).any():
            arrays |= _head_predictions(evaluated, level)
            arrays |= _gesture_predictions(
                train, evaluated, level, labelled, num_classes[level], k, fits
            )
    if train.has_joints and evaluated.has_joints:
        arrays |= joint_predictions(train, evaluated, k, fits)
    if not arrays:
        raise ValueError(
            f"The {len(train)} train samples and the {len(evaluated)} evaluated samples have "
            "neither labels of two or more gestures nor joints in common. Choose a taxonomy that "
            "names this data's labels."
        )
    return Predictions(arrays, fits)


def score_predictions(
    predictions: Predictions, evaluated: FeatureTable, *, num_classes: Mapping[str, int]
) -> dict:
    """Score one backbone, as plain values for metrics.json.

    Returns:
        {"heads_coarse": {...}, "knn_coarse": {...}, ..., "probe_joints": {"mpjpe_mm": ...}, ...},
        for all methods with predictions and ground truth.
    """
    scores = {}
    for name, predicted in predictions.arrays.items():
        kind = name.rpartition("_")[2]
        if kind in LEVELS:
            if _labelled(evaluated, kind).any():
                truth = getattr(evaluated, kind)
                scores[name] = classification_metrics(truth, predicted, num_classes[kind]).to_json()
        elif evaluated.has_joints:
            scores[name.removesuffix("_mm")] = _joint_scores(predicted, evaluated)
    if not scores:
        raise ValueError(
            f"The {len(evaluated)} evaluated samples have no truth for any prediction. Choose a "
            "taxonomy that names this data's labels."
        )
    return scores


def distinct_levels(train: FeatureTable, evaluated: FeatureTable) -> tuple[str, ...]:
    """List the levels to predict, without a fine level that repeats the coarse one."""
    repeats = all(np.array_equal(table.coarse, table.fine) for table in (train, evaluated))
    return LEVELS[:1] if repeats else LEVELS


def _labelled(table: FeatureTable, level: str) -> np.ndarray:
    return getattr(table, level) != UNLABELLED


def _head_predictions(evaluated: FeatureTable, level: str) -> dict[str, np.ndarray]:
    logits = getattr(evaluated, f"{level}_logits")
    return {} if logits is None else {f"heads_{level}": logits.argmax(1)}


def _gesture_predictions(train, evaluated, level, labelled, num_classes, k, fits) -> dict:
    labels = getattr(train, level)[labelled]
    features, groups = train.features[labelled], train.groups[labelled]
    neighbours = nearest_neighbours(
        features, evaluated.features, k=k, gallery_groups=groups, query_groups=evaluated.groups
    )
    probe = probe_gesture(
        features,
        labels,
        evaluated.features,
        subjects=train.subjects[labelled],
        groups=groups,
    )
    fits[f"probe_{level}"] = _fit_record(probe, "held-out top-1")
    return {
        f"knn_{level}": vote(neighbours, labels, num_classes),
        f"probe_{level}": probe.predictions,
    }


def joint_predictions(
    train: FeatureTable, evaluated: FeatureTable, k: int, fits: dict
) -> dict[str, np.ndarray]:
    """Predict joints (M, J, 3) by k-NN, linear probe and mean pose; add the fit to `fits`."""
    known = train.joint_valid.all(1)
    features, groups = train.features[known], train.groups[known]
    joints, valid = train.joints_rel_mm[known], train.joint_valid[known]
    mean = mean_pose(joints, valid)
    neighbours = nearest_neighbours(
        features, evaluated.features, k=k, gallery_groups=groups, query_groups=evaluated.groups
    )
    probe = probe_joints(
        features, joints, valid, evaluated.features, subjects=train.subjects[known], groups=groups
    )
    fits["probe_joints"] = _fit_record(probe, "held-out MPJPE, mm")
    return {
        "knn_joints_mm": average_joints(neighbours, joints, valid).astype(np.float32),
        "probe_joints_mm": probe.predictions.astype(np.float32),
        "mean_pose_mm": np.broadcast_to(mean, (len(evaluated), *mean.shape)).astype(np.float32),
    }


def _fit_record(probe: ProbeFit, score_name: str) -> dict:
    return {
        "penalty": probe.penalty,
        "penalties": list(probe.penalties),
        score_name: list(probe.scores),
        "held_out_by": probe.held_out_by,
        "num_train": probe.num_train,
        "at_the_edge": probe.at_the_edge,
    }


def _joint_scores(predicted_mm: np.ndarray, evaluated: FeatureTable) -> dict:
    errors = joint_errors_mm(predicted_mm, evaluated.joints_rel_mm, evaluated.joint_valid)
    counted = np.isfinite(errors)
    return {
        "mpjpe_mm": mpjpe_mm(predicted_mm, evaluated.joints_rel_mm, evaluated.joint_valid),
        "num_samples": int(counted.any(1).sum()),
        "num_joints": int(counted.sum()),
    }
