"""Whether the hand models at hand are those that the fits of a data set were made with."""

import numpy as np

from gesture_pretrain.evaluation.poses.ground_truth import GroundTruthReader

_CHECKED_HANDS = 64
# NeuralAnnot's fits lie 5 mm from the annotated joints on average; rendered data lie on them
_LIMIT_MM = 20.0


def fit_distance_mm(reader: GroundTruthReader, rows: np.ndarray) -> float | None:
    """Median distance of the fits' joints from the annotated ones, over up to 64 hands of `rows`.

    Both about their wrists. None where no hand has a fit and annotated joints.

    Raises:
        ValueError: It is beyond 20 mm: parameters of one hand model put into another.
    """
    rows = np.asarray(rows, np.int64)
    if reader.hand_models is None or len(rows) == 0:
        return None
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, _CHECKED_HANDS).astype(np.int64))]
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
            "rendered with the bundled hand model need --mano open; InterHand2.6M needs MANO's own "
            "files."
        )
    return median
