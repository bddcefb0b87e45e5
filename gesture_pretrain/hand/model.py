"""A MANO-format hand as a torch module (Romero et al., SIGGRAPH Asia 2017).

smplx poses the hand. `ManoKinematics` can do so without smplx; the two agree up to rounding.
"""

import os

import numpy as np
from torch import Tensor, nn

from gesture_pretrain.extras import missing_extra
from gesture_pretrain.hand.kinematics import HandMesh, ManoKinematics
from gesture_pretrain.hand.mano_file import read_hand


class HandModel(nn.Module):
    """One hand: maps pose, shape and translation to vertices and 21 joints.

    Has no trainable parameters and an empty state dict. Differentiable in all three inputs. Use
    ``.double()`` to compute in float64.

    Attributes:
        hand: ``"right"`` or ``"left"``.
        tip_convention: Choice of the fingertip vertices (``skeleton.TIP_VERTICES``).
        flat_hand_mean: Whether poses are relative to the flat hand. If False, ``hands_mean`` is
            added to the pose.
        faces: (1538, 3) int64 numpy, outward facing.
        weights: (778, 16) float64 numpy, skinning weights.
        joint_regressor: (16, 778) float64 numpy, from vertices to mano16 joints.
        hands_mean: (45,) float64 numpy, axis-angle, rad, as stored in the file.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        *,
        hand: str,
        tip_convention: str = "smplx",
        flat_hand_mean: bool = False,
        with_smplx: bool = True,
    ) -> None:
        """Build the module, see ``load_hand_model``.

        Args:
            arrays: Result of ``mano_file.read_hand``.
            hand, tip_convention, flat_hand_mean: See the attributes.
            with_smplx: Pose the hand with smplx, else with `ManoKinematics`.

        Raises:
            ModuleNotFoundError: smplx is not installed.
        """
        super().__init__()
        self.hand, self.tip_convention, self.flat_hand_mean = hand, tip_convention, flat_hand_mean
        self.faces, self.weights = arrays["f"], arrays["weights"]
        self.hands_mean, self.joint_regressor = arrays["hands_mean"], arrays["J_regressor"]
        self._arrays = arrays
        if with_smplx:
            options = {"tip_convention": tip_convention, "flat_hand_mean": flat_hand_mean}
            self._poser = _smplx_hand(arrays, hand=hand, **options)
        else:
            self._poser = ManoKinematics(self.blend_arrays(), tip_convention)

    def forward(self, pose: Tensor, shape: Tensor, trans_m: Tensor) -> HandMesh:
        """Pose the hand.

        Args:
            pose: (B, 48) axis-angle, rad: root, then 15 joints in mano16 order.
            shape: (B, 10) shape coefficients.
            trans_m: (B, 3) translation, m.

        Returns:
            The mesh in the frame of the root rotation and translation.

        Raises:
            ValueError: An argument has another shape.
        """
        _require_widths(pose=(pose, 48), shape=(shape, 10), trans_m=(trans_m, 3))
        mesh = self._poser.of_pose(pose, shape)
        return HandMesh(*(points_m + trans_m[:, None] for points_m in mesh))

    def blend_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays for linear blend skinning.

        Returns:
            float64 arrays, rounded to float32: ``template_m`` (778, 3), ``shape_dirs``
            (778, 3, 10), ``pose_dirs`` (135, 778, 3), ``regressor`` (16, 778) and ``weights``
            (778, 16). Not rounded: ``mean_pose`` (48,), which is added to every pose.
        """
        mean = np.zeros(45) if self.flat_hand_mean else self.hands_mean
        found = {
            "template_m": self._arrays["v_template"],
            "shape_dirs": self._arrays["shapedirs"],
            "pose_dirs": np.moveaxis(self._arrays["posedirs"], -1, 0),
            "regressor": self.joint_regressor,
            "weights": self.weights,
        }
        rounded = {
            name: values.astype(np.float32, order="C").astype(np.float64)
            for name, values in found.items()
        }
        return {**rounded, "mean_pose": np.concatenate([np.zeros(3), mean])}


def _smplx_hand(arrays: dict[str, np.ndarray], **options) -> nn.Module:
    try:
        from gesture_pretrain.hand.smplx_hand import SmplxHand
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from error
    return SmplxHand(arrays, **options)


def _require_widths(**named: tuple[Tensor, int]) -> None:
    batch = next(iter(named.values()))[0].shape[:1]
    for name, (value, width) in named.items():
        if value.shape != (*batch, width):
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}; expected (B, {width}), the same B for all"
            )


def load_hand_model(
    hand: str,
    path: str | os.PathLike | None = None,
    *,
    tip_convention: str = "smplx",
    flat_hand_mean: bool = False,
    with_smplx: bool = True,
) -> HandModel:
    """Load one hand.

    Args:
        hand: ``"right"`` or ``"left"``.
        path: ``"open"`` for the bundled hand model; a MANO file or folder; or None to search
            ``$MANO_DIR``, else ``mano_file.documented_folder()``. Never falls back to the bundled
            hand model.
        tip_convention: ``"smplx"``, ``"manopth"`` or ``"interhand"``; see
            ``skeleton.TIP_VERTICES``.
        flat_hand_mean: True if poses are relative to the flat hand instead of MANO's mean pose.
            The fits of InterHand2.6M need False.
        with_smplx: Pose the hand with smplx, else with `ManoKinematics`. Results differ by
            rounding. Predictions of networks with the bundled hand model do not use smplx.

    Raises:
        ValueError: Unknown hand or tip convention.
        MissingManoFile, ManoFileError: See ``mano_file.read_hand``.
        ModuleNotFoundError: smplx is needed and not installed.
    """
    return HandModel(
        read_hand(hand, path),
        hand=hand,
        tip_convention=tip_convention,
        flat_hand_mean=flat_hand_mean,
        with_smplx=with_smplx,
    )
