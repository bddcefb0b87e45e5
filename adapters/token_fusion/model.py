"""Token fusion as a `PoseModel`: from right-hand crops to named losses or hands.

Left hands are mirrored into right ones by the dataset (`PoseDataset(mirror_left=True)`) and out
again by the readers of predictions; this file only sees right hands.
"""

import torch
from mmengine.model import BaseModel
from torch import Tensor

from adapters.pose.model import MODES, HandPrediction
from adapters.token_fusion import objective
from adapters.token_fusion.estimator import TokenFusionNetwork, TokenFusionOutput
from adapters.token_fusion.objective import PoseTargets, Weights
from adapters.token_fusion.targets import pose_targets
from gesture_pretrain.data.samples.pose_dataset import PoseSample
from gesture_pretrain.hand.kinematics import ManoKinematics
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.hand.rotation import axis_angle_from_matrix, matrix_from_6d
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.pretraining.model import BatchToDevice


class TokenFusionModel(BaseModel):
    """Network, right hand and objective.

    Args:
        network: The network.
        hand_model: The right hand that poses and shapes belong to.
        weights: Weights of the objective's terms.

    Attributes:
        epoch: The current epoch, from 0; unused.

    Raises:
        ValueError: The hand model is of a left hand.
    """

    nondeterministic_on_cuda = "grid_sample"

    def __init__(
        self,
        network: TokenFusionNetwork,
        hand_model: HandModel,
        *,
        weights: Weights | None = None,
    ):
        super().__init__(data_preprocessor=RightHandsToDevice(non_blocking=True))
        if hand_model.hand != "right":
            raise ValueError(
                f"token fusion poses the right hand, got the model of a {hand_model.hand} one. "
                "Left hands are mirrored: PoseDataset(mirror_left=True)."
            )
        self.network = network
        self.normalise = ImageNormaliser(network.backbone.input_spec)
        self.kinematics = ManoKinematics(hand_model.blend_arrays(), hand_model.tip_convention)
        self.weights = Weights() if weights is None else weights
        self.epoch = 0

    @property
    def backbone(self) -> Backbone:
        return self.network.backbone

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch, from 0, the next batches belong to."""
        self.epoch = epoch

    def forward(
        self, batch: PoseSample, mode: str = "loss"
    ) -> dict[str, Tensor] | HandPrediction | TokenFusionOutput:
        """Run a batch.

        Args:
            batch: Collated samples of right hands.
            mode: "loss", "predict", "tensor" or "count".

        Returns:
            "loss": the weighted terms, `*_loss`, to be summed, and for the log `mpjpe_mm` and
            `keypoint_error_px`, where anything is annotated (on a GPU NaN where nothing is), and
            the gates of the guidance.
            "predict": the hands. "tensor": the network's output. "count": nothing; the objective
            counts what is annotated, see `gesture_pretrain.training.step_mean.StepCounts`.

        Raises:
            ValueError: Unknown mode, or a left hand.
        """
        if mode not in (*MODES, "tensor", "count"):
            raise ValueError(
                f"unknown mode {mode!r}; possible: 'loss', 'predict', 'tensor', 'count'"
            )
        refuse_left_hands(batch.hand)
        if mode == "count":
            targets = pose_targets(batch, self.network.grid, self.kinematics.mean_pose)
            self.losses(self._blank_output(len(batch.hand)), targets, batch.image.shape[-1])
            return {}
        output = self.network(self.normalise(batch.image))
        if mode == "tensor":
            return output
        size_px = batch.image.shape[-1]
        if mode == "predict":
            return self.prediction(output, size_px)
        targets = pose_targets(batch, self.network.grid, self.kinematics.mean_pose)
        return self.losses(output, targets, size_px) | self.gates()

    def gates(self) -> dict[str, Tensor]:
        """Return the gates in use, `gate_coarse` and `gate_fine`."""
        guidance = self.network.guidance
        tokens = {} if guidance is None else guidance.tokens.items()
        return {f"gate_{level}": token.gate.detach() for level, token in dict(tokens).items()}

    def card_values(self) -> dict[str, float]:
        """Return the gates for the card of the trained network."""
        return {name: float(value) for name, value in self.gates().items()}

    def no_weight_decay(self) -> set[str]:
        """Return the names of embeddings, which are not decayed, as in timm."""
        names = (name for name, _ in self.named_parameters())
        return {name for name in names if name.endswith((".position", ".type_embedding"))}

    def losses(
        self, output: TokenFusionOutput, targets: PoseTargets, size_px: int
    ) -> dict[str, Tensor]:
        """Return weighted terms and values for the log, see `forward`."""
        grid, weights = self.network.grid, self.weights
        rotations = matrix_from_6d(output.pose_6d)
        joints_mm = 1000 * self.kinematics.joints_m(rotations, output.shape)
        rel_mm = joints_mm - joints_mm[:, :1]
        cells = output.joints_cells
        terms = {
            "pose_loss": weights.pose * objective.pose_term(output.pose_6d, targets),
            "shape_loss": weights.shape * objective.shape_term(output.shape, targets),
            "joints_3d_loss": weights.joints_3d
            * objective.joints_3d_term(cells, targets, grid, size_px),
            "mano_joints_3d_loss": weights.joints_3d
            * objective.mano_joints_3d_term(rel_mm, targets),
            "joints_25d_loss": weights.joints_25d * objective.joints_25d_term(cells, targets),
            "joints_2d_loss": weights.joints_2d * objective.joints_2d_term(cells, targets),
            "mano_joints_2d_loss": weights.joints_2d
            * objective.mano_joints_2d_term(rel_mm, output.weak_camera, targets, grid, size_px),
            "structure_loss": weights.structure * objective.structure_term(rotations, targets),
        }
        if weights.limits:
            terms["limit_loss"] = weights.limits * objective.limit_term(rotations, targets)
        return terms | _errors(rel_mm.detach(), cells.detach(), targets, size_px / grid.cells)

    def prediction(self, output: TokenFusionOutput, size_px: int) -> HandPrediction:
        """Convert the network's output to hands in the frame of a crop of `size_px`."""
        grid = self.network.grid
        rotations = matrix_from_6d(output.pose_6d)
        mesh = self.kinematics(rotations, output.shape)
        wrist = mesh.joints_m[:, :1]
        pose = axis_angle_from_matrix(rotations).flatten(1)
        return HandPrediction(
            joints_rel_mm=1000 * (mesh.joints_m - wrist),
            vertices_rel_mm=1000 * (mesh.vertices_m - wrist),
            keypoints_px=grid.px_from_cells(output.joints_cells[..., :2], size_px),
            joint_depth_rel_mm=grid.depth_from_cells(output.joints_cells[..., 2]),
            mano_pose=pose - self.kinematics.mean_pose,
            mano_shape=output.shape,
            hand=torch.zeros(len(pose), dtype=torch.int64, device=pose.device),
        )

    def _blank_output(self, count: int) -> TokenFusionOutput:
        like = self.kinematics.mean_pose
        return TokenFusionOutput(
            joints_cells=like.new_zeros(count, 21, 3),
            pose_6d=like.new_ones(count, 16, 6),
            shape=like.new_zeros(count, 10),
            weak_camera=like.new_ones(count, 3) if self.network.mano_heads.camera else None,
            coarse_logits=None,
            fine_logits=None,
        )


class RightHandsToDevice(BatchToDevice):
    """Move a batch to the device, after checking its hands if they are on the CPU."""

    def forward(self, data: PoseSample, training: bool = False) -> dict[str, PoseSample]:
        refuse_left_hands(data.hand)
        return super().forward(data, training)


def refuse_left_hands(hand: Tensor) -> None:
    """Raise ValueError for left hands, on the CPU only, as a GPU would synchronise."""
    looked_at = hand.device.type == "cpu" and not torch.compiler.is_compiling()
    if looked_at and bool((hand != 0).any()):
        raise ValueError(
            "the batch holds left hands; token fusion sees right ones only. Build the data "
            "set with mirror_left=True, as the target's build_dataset does."
        )


def _errors(
    rel_mm: Tensor, cells: Tensor, targets: PoseTargets, px_per_cell: float
) -> dict[str, Tensor]:
    """Return mean joint errors of the annotated samples."""
    in_view = targets.joints_cells_valid[..., :2].all(-1)
    means = {
        "mpjpe_mm": _mean_where(
            (rel_mm - targets.hand_joints_rel_mm).norm(dim=-1), targets.hand_joints_valid
        ),
        "keypoint_error_px": _mean_where(
            px_per_cell * (cells - targets.joints_cells)[..., :2].norm(dim=-1), in_view
        ),
    }
    return {name: mean for name, mean in means.items() if mean is not None}


def _mean_where(values: Tensor, valid: Tensor) -> Tensor | None:
    """Average valid values; without any, return None on the CPU, NaN on a GPU (no sync)."""
    count = valid.sum()
    if count.device.type == "cpu" and count == 0:
        return None
    return torch.where(valid, values, 0.0).sum() / count
