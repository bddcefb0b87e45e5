"""Ground truth: annotated joints and fitted meshes in the camera frame.

Letters: N hands (one hand of one image each), J = 21 joints in mano21 order, V = 778 vertices.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.record import HANDS, HandRecord
from gesture_pretrain.evaluation.poses.mesh_joints import joints_of_hands
from gesture_pretrain.geometry.camera import world_to_camera_mm
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.taxonomy import Taxonomy

NUM_VERTICES = 778


@dataclass(frozen=True)
class GroundTruth:
    """Ground truth of N hands; unknown values are NaN, never zero.

    Attributes:
        rows: (N,) int64 rows of the index.
        hand: (N,) int64, 0 right, 1 left.
        joints_cam_mm: (N, J, 3) float64, annotated joints, camera frame; NaN for joints that were
            not triangulated.
        triangulated: (N, J) bool, joints with a known 3D position (``joint_3d.json``).
        in_view: (N, J) bool, joints that are annotated and inside this image (``data.json``).
        has_fit: (N,) bool, whether the hand has a MANO fit.
        fit_vertices_cam_mm: (N, V, 3) float64, camera frame; NaN without a fit; None if the reader
            has no hand models.
        fit_joints_cam_mm: (N, J, 3) float64, joints of the fit by the hand model; NaN without a
            fit; None if the reader has no hand models.
        interacting: (N,) bool, whether both hands are annotated in the image.
        capture, subject, frame: (N,) int64.
        split, camera, label: (N,) str; the label is the sequence.
        coarse, fine: (N,) int64 gesture classes, -1 without one.
    """

    rows: np.ndarray
    hand: np.ndarray
    joints_cam_mm: np.ndarray
    triangulated: np.ndarray
    in_view: np.ndarray
    has_fit: np.ndarray
    fit_vertices_cam_mm: np.ndarray | None
    fit_joints_cam_mm: np.ndarray | None
    interacting: np.ndarray
    split: np.ndarray
    capture: np.ndarray
    subject: np.ndarray
    frame: np.ndarray
    camera: np.ndarray
    label: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


class GroundTruthReader:
    """Reads the ground truth of hands of an index.

    Args:
        index: Index of the images.
        hand_models: {"right": ..., "left": ...} for the fits; None to read only annotations.
        taxonomy: Taxonomy of the gesture classes; None for no classes.

    Raises:
        ValueError: A hand model has the wrong handedness, or does not add the mean pose.
    """

    def __init__(
        self,
        index: HandIndex,
        *,
        hand_models: Mapping[str, HandModel] | None = None,
        taxonomy: Taxonomy | None = None,
    ) -> None:
        self.index, self.taxonomy = index, taxonomy
        self.hand_models = None if hand_models is None else dict(hand_models)
        for side, model in (self.hand_models or {}).items():
            if model.hand != side or model.flat_hand_mean:
                raise ValueError(
                    f"hand model '{side}' is a {model.hand} hand with flat_hand_mean="
                    f"{model.flat_hand_mean}; fits require that hand and flat_hand_mean=False"
                )

    def hands_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """List the annotated hands of images: two arrays (N,), row and hand (0 right, 1 left).

        An image with interacting hands has two entries; an image without annotation has none.
        """
        rows = np.asarray(rows, np.int64)
        kind = self.index.values("hand", rows)
        right = np.isin(kind, (HANDS.index("right"), HANDS.index("interacting")))
        left = np.isin(kind, (HANDS.index("left"), HANDS.index("interacting")))
        position, hand = np.nonzero(np.stack([right, left], axis=1))
        return rows[position], hand.astype(np.int64)

    def read(self, rows: np.ndarray, hand: np.ndarray) -> GroundTruth:
        """Read the ground truth of hands.

        Args:
            rows: (N,) rows of the index.
            hand: (N,) 0 right, 1 left.

        Raises:
            ValueError: An image has joints or a fit but no calibration.
        """
        rows, hand = np.asarray(rows, np.int64), np.asarray(hand, np.int64)
        records = [self.index.record(row) for row in rows.tolist()]
        per_image = _image_columns(records)
        joints = np.full((len(rows), 21, 3), np.nan)
        flags = np.zeros((2, len(rows), 21), bool)
        for i, (record, side) in enumerate(zip(records, hand.tolist(), strict=True)):
            flags[:, i] = record.joint_triangulated[side], record.joint_in_view[side]
            if record.joints_world_mm is not None and flags[0, i].any():
                _require_calibration(record)
                joints[i] = world_to_camera_mm(
                    record.joints_world_mm[side], record.R_cam_world, record.camera_center_mm
                )
        has_fit = np.array(
            [r.mano[HANDS[s]] is not None for r, s in zip(records, hand.tolist(), strict=True)],
            bool,
        )
        vertices, fit_joints = self._fits(records, hand, has_fit)
        coarse, fine = self._classes(records)
        return GroundTruth(
            rows=rows,
            hand=hand,
            joints_cam_mm=joints,
            triangulated=flags[0],
            in_view=flags[1],
            has_fit=has_fit,
            fit_vertices_cam_mm=vertices,
            fit_joints_cam_mm=fit_joints,
            coarse=coarse,
            fine=fine,
            **per_image,
        )

    def metric_joints_mm(
        self, vertices: np.ndarray, hand: np.ndarray, *, tip_convention: str
    ) -> np.ndarray:
        """Regress joints (N, J, 3), float64, from meshes, each with the regressor of its hand."""
        if self.hand_models is None:
            raise ValueError("joints of meshes require hand_models; pass those of both hands")
        return joints_of_hands(vertices, hand, self.hand_models, tip_convention=tip_convention)

    def _fits(self, records, hand, has_fit) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Pose the fits: vertices (N, V, 3) and joints (N, J, 3), float64, camera frame, mm."""
        if self.hand_models is None:
            return None, None
        vertices = np.full((len(records), NUM_VERTICES, 3), np.nan)
        joints = np.full((len(records), 21, 3), np.nan)
        for code, side in enumerate(HANDS[:2]):
            chosen = np.flatnonzero(has_fit & (hand == code))
            if len(chosen) == 0:
                continue
            chosen_records = [records[i] for i in chosen]
            for record in chosen_records:
                _require_calibration(record)
            mesh = _posed(self.hand_models[side], [r.mano[side] for r in chosen_records])
            vertices[chosen], joints[chosen] = (
                _in_camera_mm(points, chosen_records) for points in mesh
            )
        return vertices, joints

    def _classes(self, records: list[HandRecord]) -> tuple[np.ndarray, np.ndarray]:
        if self.taxonomy is None:
            nothing = np.full(len(records), -1, np.int64)
            return nothing, nothing.copy()
        rows = np.array([record.row for record in records], np.int64)
        coarse, fine, _ = self.taxonomy.assign_codes(
            self.index.values("sequence", rows),
            self.index.labels,
            self.index.values("hand", rows),
            HANDS,
            rows=rows,
        )
        return np.asarray(coarse), np.asarray(fine)


def _image_columns(records: list[HandRecord]) -> dict[str, np.ndarray]:
    numbers = {
        name: np.array([getattr(record, name) for record in records], np.int64)
        for name in ("capture", "subject", "frame")
    }
    words = {
        name: np.array([getattr(record, name) for record in records], str)
        for name in ("camera", "label", "split")
    }
    interacting = np.array([record.hand == "interacting" for record in records], bool)
    return {**numbers, **words, "interacting": interacting}


def _require_calibration(record: HandRecord) -> None:
    if record.R_cam_world is None:
        raise ValueError(
            f"row {record.row} ({record.image_path}) has joints or a fit but no calibration of "
            f"camera {record.camera!r}, so they cannot be transformed to the camera frame"
        )


def _posed(model: HandModel, fits: list) -> list[np.ndarray]:
    """Pose fits in the world frame: vertices (N, V, 3) and joints (N, J, 3), float64, m."""
    like = next(buffer for buffer in model.buffers() if buffer.is_floating_point())
    pose, shape, trans = (
        torch.as_tensor(np.stack([getattr(fit, name) for fit in fits]))
        for name in ("pose", "shape", "trans_m")
    )
    with torch.no_grad():
        mesh = model(pose.to(like), shape.to(like), torch.zeros_like(trans).to(like))
    # add the translation in float64, because it is ten times as long as the hand
    return [points.cpu().double().numpy() + trans.double().numpy()[:, None] for points in mesh]


def _in_camera_mm(points_world_m: np.ndarray, records: list[HandRecord]) -> np.ndarray:
    rotation = np.stack([record.R_cam_world for record in records]).astype(np.float64)
    centre = np.stack([record.camera_center_mm for record in records]).astype(np.float64)
    moved = points_world_m * 1000 - centre[:, None]
    return moved @ np.swapaxes(rotation, -1, -2)
