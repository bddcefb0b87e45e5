"""Predictions files of other systems."""

from gesture_pretrain.evaluation.external.fit_check import fit_distance_mm
from gesture_pretrain.evaluation.external.predictions import read_external_predictions

__all__ = ["fit_distance_mm", "read_external_predictions"]
