"""Errors of each hand under a protocol, before averaging. Letters: N hands, J = 21 joints."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gesture_pretrain.evaluation.poses.ground_truth import GroundTruth, GroundTruthReader
from gesture_pretrain.evaluation.poses.joint_order import permutation
from gesture_pretrain.evaluation.poses.metrics import (
    MIDDLE_KNUCKLE,
    WRIST,
    bone_scale,
    root_aligned_errors,
)
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.procrustes import procrustes_errors
from gesture_pretrain.evaluation.poses.protocol import Protocol

_ROOTS = {"wrist": WRIST, "middle1": MIDDLE_KNUCKLE}


class NotAvailable(ValueError):
    """A protocol cannot be applied to these predictions or data."""


@dataclass(frozen=True)
class HandErrors:
    """Errors of N hands.

    Attributes:
        joint_mm: (N, J) float64, NaN where a joint is not counted.
        vertex_mm: (N,) float64, mean over the mesh; NaN without a fit or mesh.
        excluded: Number of hands left out or treated specially, by reason.
    """

    joint_mm: np.ndarray
    vertex_mm: np.ndarray
    excluded: Mapping[str, int] = field(default_factory=dict)


def counted_joints(protocol: Protocol, truth: GroundTruth) -> np.ndarray:
    """Compute the joint mask (N, J) of a protocol, bool, mano21 order."""
    if protocol.mask == "none":
        return np.ones((len(truth), 21), bool)
    flags = {"in view": truth.in_view, "triangulated": truth.triangulated}[protocol.mask]
    if protocol.wrist_gates:
        flags = flags & flags[:, WRIST, None]
    if protocol.mask_rows == "interhand21 read as mano21":  # the defect of EANet's evaluator
        flags = flags[:, permutation("interhand21", "mano21")]
    return flags


def hand_errors(
    protocol: Protocol,
    predictions: PosePredictions,
    truth: GroundTruth,
    reader: GroundTruthReader,
) -> HandErrors:
    """Compute the errors of hands, which are in the same order in `predictions` and `truth`.

    Raises:
        NotAvailable: The protocol requires a predicted mesh or hand models that are missing.
        ValueError: The hands differ, or an error is not finite (the protocol scales, and all points
            of a prediction coincide).
    """
    if not (
        np.array_equal(predictions.rows, truth.rows)
        and np.array_equal(predictions.hand, truth.hand)
    ):
        raise ValueError(
            "predictions and ground truth are of different hands, or in different order"
        )
    require_available(protocol, predictions, reader)
    predicted, target = _joints(protocol, predictions, truth, reader)
    counted, excluded = _counted(protocol, truth, target)
    joint_mm = _joint_errors(protocol, predicted, target, counted)
    if protocol.missing_fit == "counted as 0 mm":
        flags = counted_joints(protocol, truth)
        joint_mm = np.where(~truth.has_fit[:, None] & flags, 0.0, joint_mm)
        counted = counted | (~truth.has_fit[:, None] & flags)
    if not protocol.root_counted:
        joint_mm[:, _ROOTS[protocol.root]] = np.nan
        counted[:, _ROOTS[protocol.root]] = False
    _require_numbers(protocol, predictions, joint_mm, counted)
    vertex_mm = _vertex_errors(protocol, predictions, truth, reader)
    return HandErrors(joint_mm, vertex_mm, excluded)


def require_available(
    protocol: Protocol, predictions: PosePredictions, reader: GroundTruthReader
) -> None:
    """Raise NotAvailable if the protocol requires a mesh or hand models that are missing."""
    if protocol.joints == "regressed from the mesh" and not predictions.has_mesh:
        raise NotAvailable(
            f"'{predictions.system}' predicts no mesh, but protocol {protocol.name} regresses all "
            "joints from meshes"
        )
    if protocol.missing_fit != "no fit is used" and reader.hand_models is None:
        raise NotAvailable(
            f"protocol {protocol.name} compares with MANO fits, which require the hand models"
        )


def target_joints_mm(
    protocol: Protocol, truth: GroundTruth, reader: GroundTruthReader
) -> np.ndarray:
    """Compute the ground-truth joints (N, J, 3) of a protocol, camera frame; NaN if unknown."""
    if protocol.ground_truth == "annotation":
        return truth.joints_cam_mm
    return reader.metric_joints_mm(
        truth.fit_vertices_cam_mm, truth.hand, tip_convention=protocol.tips
    )


def _joints(protocol, predictions, truth, reader) -> tuple[np.ndarray, np.ndarray]:
    target = target_joints_mm(protocol, truth, reader)
    if protocol.joints == "predicted":
        return predictions.joints_rel_mm.astype(np.float64), target
    vertices = predictions.vertices_rel_mm.astype(np.float64)
    return reader.metric_joints_mm(vertices, truth.hand, tip_convention=protocol.tips), target


def _counted(protocol, truth, target) -> tuple[np.ndarray, dict[str, int]]:
    """Find the joints (N, J) that count and have a known target, and count exclusions."""
    flags = counted_joints(protocol, truth)
    known = ~np.isnan(target).any(-1)
    if protocol.alignment != "similarity":
        known &= known[:, _ROOTS[protocol.root], None]
    counted = flags & known
    excluded: dict[str, int] = {}
    if protocol.missing_fit != "no fit is used":
        name = {"excluded": "hands without a fit, excluded"}.get(
            protocol.missing_fit, "hands without a fit, counted as 0 mm"
        )
        excluded[name] = int(np.sum(~truth.has_fit))
        if protocol.ground_truth == "annotation":
            excluded["hands without a fit, excluded from MPVPE only"] = excluded.pop(name)
    has_truth = truth.has_fit if protocol.ground_truth == "fit" else np.ones(len(truth), bool)
    excluded["hands without a counted joint"] = int(np.sum(has_truth & ~counted.any(1)))
    if protocol.alignment == "similarity":
        few = counted.any(1) & (counted.sum(1) < 3)
        excluded["hands with fewer than 3 joints to align by"] = int(few.sum())
        counted = counted & ~few[:, None]
    lost = flags & ~known & has_truth[:, None]
    excluded["joints in the mask whose 3D position is not known"] = int(lost.sum())
    return counted, excluded


def _joint_errors(protocol, predicted, target, counted) -> np.ndarray:
    errors = np.full(counted.shape, np.nan)
    some = counted.any(1)
    if protocol.alignment == "similarity":
        errors[some] = procrustes_errors(predicted[some], target[some], counted[some])
        return errors
    root = _ROOTS[protocol.root]
    scale = _scale(protocol, predicted, target)
    with np.errstate(invalid="ignore"):
        errors = root_aligned_errors(predicted, target, predicted[:, root], target[:, root], scale)
    return np.where(counted, errors, np.nan)


def _scale(protocol, predicted, target) -> np.ndarray | float:
    return bone_scale(predicted, target) if protocol.alignment == "root and bone" else 1.0


def _vertex_errors(protocol, predictions, truth, reader) -> np.ndarray:
    """Compute the mean distance of the mesh, (N,); NaN without a fit or a predicted mesh."""
    errors = np.full(len(truth), np.nan)
    known = truth.has_fit
    if not protocol.vertices or predictions.vertices_rel_mm is None or not known.any():
        return errors
    meshes = [
        vertices[known].astype(np.float64)
        for vertices in (predictions.vertices_rel_mm, truth.fit_vertices_cam_mm)
    ]
    if protocol.alignment == "similarity":
        errors[known] = procrustes_errors(*meshes).mean(1)
        return errors
    # aligned at joints regressed from the meshes, even if the protocol uses annotated joints
    joints = [
        reader.metric_joints_mm(vertices, truth.hand[known], tip_convention=protocol.tips)
        for vertices in meshes
    ]
    roots = [points[:, _ROOTS[protocol.root]] for points in joints]
    errors[known] = root_aligned_errors(*meshes, *roots, _scale(protocol, *joints)).mean(1)
    return errors


def _require_numbers(protocol, predictions, joint_mm, counted) -> None:
    wrong = (counted & ~np.isfinite(joint_mm)).any(1)
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} predictions of '{predictions.system}' have no finite error under "
            f"{protocol.name}, first for row {int(predictions.rows[wrong][0])}: wrist and middle "
            "knuckle coincide"
        )
