"""Errors of wrist-relative joints. Letters: M samples, J = 21 joints."""

import numpy as np

WRIST = 0


def joint_errors_mm(
    predicted_mm: np.ndarray, joints_rel_mm: np.ndarray, joint_valid: np.ndarray
) -> np.ndarray:
    """Compute the distance per joint, (M, J) mm; NaN if it is not counted.

    The wrist is the root: its error is 0 by construction and it is never counted. A sample whose
    wrist is not valid has no root and is left out whole.
    """
    counted = np.array(joint_valid, dtype=bool)
    counted &= counted[:, [WRIST]]
    counted[:, WRIST] = False
    distance = np.linalg.norm(np.asarray(predicted_mm, np.float64) - joints_rel_mm, axis=-1)
    missing = counted & ~np.isfinite(distance)
    if missing.any():
        raise ValueError(f"{int(missing.sum())} valid joints have no finite prediction.")
    return np.where(counted, distance, np.nan)


def mpjpe_mm(predicted_mm: np.ndarray, joints_rel_mm: np.ndarray, joint_valid: np.ndarray) -> float:
    """Compute MPJPE in mm relative to the wrist, over the valid joints without the wrist.

    No alignment and no scaling of the prediction; camera frame.

    Args:
        predicted_mm, joints_rel_mm: (N, 21, 3) minus the wrist.
        joint_valid: (N, 21) bool.

    Raises:
        ValueError: No joint is valid, or one that is has no finite prediction.
    """
    errors = joint_errors_mm(predicted_mm, joints_rel_mm, joint_valid)
    if np.isnan(errors).all():
        raise ValueError("No joint is valid, so there is no error to average.")
    return float(np.nanmean(errors))
