"""FreiHAND's scores: PCK curves and F-scores of joints and meshes, raw and similarity-aligned."""

import numpy as np

from gesture_pretrain.evaluation.poses.ground_truth import GroundTruth, GroundTruthReader
from gesture_pretrain.evaluation.poses.metrics import WRIST, PckCurve, distances, f_scores
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.evaluation.poses.procrustes import procrustes_errors
from gesture_pretrain.evaluation.poses.protocol import Protocol
from gesture_pretrain.geometry.similarity import procrustes_align

F_THRESHOLDS_MM = (5.0, 15.0)


class MeshScores:
    """Accumulates the scores block by block, without hands that have no fit."""

    def __init__(self) -> None:
        self._joints = {"": PckCurve(21), " aligned": PckCurve(21)}
        self._meshes = {"": PckCurve(778), " aligned": PckCurve(778)}
        self._aligned_joint_mm: list[np.ndarray] = []
        self._aligned_vertex_mm: list[np.ndarray] = []
        self._f: dict[str, list[np.ndarray]] = {"": [], " aligned": []}

    def add(
        self,
        protocol: Protocol,
        predictions: PosePredictions,
        truth: GroundTruth,
        reader: GroundTruthReader,
    ) -> None:
        """Add a block of hands; prediction and ground truth are aligned at the regressed wrist."""
        known = truth.has_fit
        if not known.any():
            return
        hand = truth.hand[known]
        predicted, predicted_joints = _about_wrist(
            predictions.vertices_rel_mm[known], hand, protocol, reader
        )
        target, target_joints = _about_wrist(
            truth.fit_vertices_cam_mm[known], hand, protocol, reader
        )
        aligned = procrustes_align(predicted, target)
        joint_mm = procrustes_errors(predicted_joints, target_joints)
        self._joints[""].add(distances(predicted_joints, target_joints))
        self._joints[" aligned"].add(joint_mm)
        self._meshes[""].add(distances(predicted, target))
        self._meshes[" aligned"].add(distances(aligned, target))
        self._aligned_joint_mm.append(joint_mm.mean(1))
        self._aligned_vertex_mm.append(distances(aligned, target).mean(1))
        self._f[""].append(f_scores(predicted, target, F_THRESHOLDS_MM))
        self._f[" aligned"].append(f_scores(aligned, target, F_THRESHOLDS_MM))

    def means(self) -> dict[str, float]:
        """Return the means over all hands added; empty if there are none."""
        if not self._aligned_joint_mm:
            return {}
        found = {
            "PA-MPJPE": float(np.concatenate(self._aligned_joint_mm).mean()),
            "PA-MPVPE": float(np.concatenate(self._aligned_vertex_mm).mean()),
        }
        for kind in ("", " aligned"):
            found[f"AUC joints{kind}"] = self._joints[kind].auc()
            found[f"AUC mesh{kind}"] = self._meshes[kind].auc()
            for limit, value in zip(
                F_THRESHOLDS_MM, np.concatenate(self._f[kind]).mean(0), strict=True
            ):
                found[f"F@{limit:g}{kind}"] = float(value)
        return found


def _about_wrist(vertices, hand, protocol, reader) -> tuple[np.ndarray, np.ndarray]:
    """Compute vertices and regressed joints, float64, relative to the regressed wrist."""
    vertices = np.asarray(vertices, np.float64)
    joints = reader.metric_joints_mm(vertices, hand, tip_convention=protocol.tips)
    wrist = joints[:, WRIST, None]
    return vertices - wrist, joints - wrist
