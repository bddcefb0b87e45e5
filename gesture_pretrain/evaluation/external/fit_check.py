"""Check that the hand models match those that the fits of a dataset were made with."""

import numpy as np

from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader

_CHECKED_HANDS = 64
# NeuralAnnot's fits deviate from the annotated joints by 5 mm on average; rendered data match them
_LIMIT_MM = 20.0


def fit_distance_mm(reader: GroundTruthReader, rows: np.ndarray) -> float | None:
    """Compute the median wrist-relative distance between fitted and annotated joints, mm.

    Uses up to 64 hands of `rows`. None if no hand has both a fit and annotated joints.

    Raises:
        ValueError: The distance is above 20 mm: the fits belong to another hand model.
    """
    rows = np.asarray(rows, np.int64)
    if reader.hand_models is None or len(rows) == 0:
        return None
    chosen = spread(rows, _CHECKED_HANDS)
    truth = reader.read(*reader.hands_of(chosen))
    apart = truth.fit_joints_cam_mm - truth.joints_cam_mm
    distances = np.linalg.norm(apart - apart[:, :1], axis=-1)[:, 1:]
    if np.isnan(distances).all():
        return None
    median = float(np.nanmedian(distances))
    if median > _LIMIT_MM:
        raise ValueError(
            f"Posed with these hand models, the fits of {reader.index.path} are {median:.0f} mm "
            "(median) away from the annotated joints: they belong to another hand model. Data "
            "rendered with the bundled hand model require that model, and InterHand2.6M requires "
            "MANO's own files."
        )
    return median
