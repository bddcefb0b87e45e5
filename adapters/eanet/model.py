"""EANet as a `PoseModel`: from a batch of crops to named losses or hands."""

import torch
from mmengine.model import BaseModel
from torch import Tensor

from adapters.eanet.backbone_map import BackboneMap, unit_image
from adapters.eanet.dataset import EanetSample
from adapters.eanet.mano import ManoHands
from adapters.eanet.objective import REDUCTIONS, placed_hands, training_targets, weighted_losses
from adapters.pose.model import MODES, HandPrediction
from eanet.heatmap_cells import crop_from_cells
from eanet.mano_joints import PlacedHand
from eanet.network import EANet, EANetOutput
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.names import require_choice
from gesture_pretrain.pretraining.model import BatchToDevice

CELL_ORIGINS = {"edge": 0.0, "centre": 0.5}


class EanetModel(BaseModel):
    """Network, MANO hands and losses.

    Args:
        network: EANet around a `BackboneMap`.
        hands: The MANO hands; they stay out of the state dict.
        grid: Cells of the network's heat map along x and y.
        depth_cells: Along z.
        reduction: "valid" or "mean", see `objective.weighted_losses`.
        cell_origin: Reference point of a cell index: "edge", as in upstream's checkpoints, whose
            network cannot reach the last cell's far side; or "centre".

    Attributes:
        epoch: The current epoch, from 0; unused.

    Raises:
        ValueError: Unknown `reduction` or `cell_origin`.
    """

    nondeterministic_on_cuda = "grid_sample"

    def __init__(
        self,
        network: EANet,
        hands: ManoHands,
        *,
        grid: int = 8,
        depth_cells: int = 8,
        reduction: str = "valid",
        cell_origin: str = "edge",
    ):
        super().__init__(data_preprocessor=OneHandToDevice(non_blocking=True))
        require_choice("reduction", reduction, REDUCTIONS)
        require_choice("cell_origin", cell_origin, CELL_ORIGINS)
        self.network, self.hands = network, hands
        self.grid, self.depth_cells = grid, depth_cells
        self.reduction, self.cell_offset = reduction, CELL_ORIGINS[cell_origin]
        self.epoch = 0

    @property
    def backbone(self) -> Backbone:
        slot: BackboneMap = self.network.backbone
        return slot.backbone

    def no_weight_decay(self) -> set[str]:
        """Return names of undecayed embeddings and class tokens (timm's convention)."""
        names = (name for name, _ in self.network.named_parameters(prefix="network"))
        own = (name for name in names if not name.startswith("network.backbone."))
        return {name for name in own if name.endswith(("_embed", "cls_token", "_embed.weight"))}

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch, from 0, the next batches belong to."""
        self.epoch = epoch

    def forward(
        self, batch: EanetSample, mode: str = "loss"
    ) -> dict[str, Tensor] | HandPrediction | EANetOutput:
        """Run a batch.

        Args:
            batch: Collated samples. Predictions need `image` and `hand` only.
            mode: "loss", "predict", "tensor" or "count".

        Returns:
            "loss": the eight weighted terms, `*_loss`, to be summed. "predict": the hand that each
            crop shows. "tensor": the network's output. "count": nothing; the objective counts
            what is known, see `gesture_pretrain.training.step_mean.StepCounts`.

        Raises:
            ValueError: Unknown mode, crops of another size, or a prediction for crops of two hands.
        """
        if mode not in (*MODES, "tensor", "count"):
            raise ValueError(
                f"unknown mode {mode!r}; possible: 'loss', 'predict', 'tensor', 'count'"
            )
        self._check_size(batch.image)
        if mode == "predict":
            _require_one_hand(batch.hand)
        if mode == "count":
            blank = _blank_output(len(batch.hand), batch.mano_pose)
            self._losses(batch, blank, *placed_hands(blank, self.hands))
            return {}
        output = self.network(unit_image(batch.image))
        if mode == "tensor":
            return output
        output = _in_float32(output)
        with torch.autocast(batch.image.device.type, enabled=False):
            right, left = placed_hands(output, self.hands)
            if mode == "loss":
                return self._losses(batch, output, right, left)
            return self._of_the_hand_shown(batch, output, (right, left))

    def _losses(
        self, batch: EanetSample, output: EANetOutput, right: PlacedHand, left: PlacedHand
    ) -> dict[str, Tensor]:
        return weighted_losses(
            output,
            right,
            left,
            training_targets(batch, cell_offset=self.cell_offset),
            reduction=self.reduction,
            quirks=self.network.quirks,
        )

    def _of_the_hand_shown(
        self, batch: EanetSample, output: EANetOutput, placed: tuple[PlacedHand, PlacedHand]
    ) -> HandPrediction:
        hand = batch.hand

        def chosen(right: Tensor, left: Tensor) -> Tensor:
            return torch.where(hand.view(-1, *[1] * (right.ndim - 1)) == 0, right, left)

        cells = chosen(output.rjoint_img, output.ljoint_img) + self.cell_offset
        keypoints_px, depth_m = crop_from_cells(
            cells, crop_px=batch.image.shape[-1], cells=self.grid, depth_cells=self.depth_cells
        )
        right, left = placed
        return HandPrediction(
            joints_rel_mm=1000 * chosen(right.joint_cam, left.joint_cam),
            vertices_rel_mm=1000 * chosen(right.mesh_cam, left.mesh_cam),
            keypoints_px=keypoints_px,
            joint_depth_rel_mm=1000 * (depth_m - depth_m[:, :1]),
            mano_pose=torch.cat(
                [
                    chosen(output.rroot_pose_aa, output.lroot_pose_aa),
                    chosen(output.rpose_aa, output.lpose_aa),
                ],
                dim=1,
            ),
            mano_shape=chosen(output.rshape, output.lshape),
            hand=hand,
        )

    def _check_size(self, image: Tensor) -> None:
        side = 32 * self.grid
        if image.shape[-2:] != (side, side):
            raise ValueError(
                f"crops are {image.shape[-1]} x {image.shape[-2]} px, but a grid of {self.grid} "
                f"cells reads {side} px: choose size_px={side} or grid={image.shape[-1] // 32}"
            )


class OneHandToDevice(BatchToDevice):
    """Move a batch to the device, after checking those to be predicted on the host."""

    def forward(self, data: EanetSample, training: bool = False) -> dict[str, EanetSample]:
        if not training:
            _require_one_hand(data.hand)
        return super().forward(data, training)


def _require_one_hand(hand: Tensor) -> None:
    """Refuse crops of two hands on the CPU; on a GPU `OneHandToDevice` looks before the copy."""
    looked_at = hand.device.type == "cpu" and not torch.compiler.is_compiling()
    if looked_at and bool(((hand != 0) & (hand != 1)).any()):
        raise ValueError(
            "the batch holds crops of two hands, but a prediction is of one; choose the hands in "
            "`batch.hand`: 0 right, 1 left"
        )


def _blank_output(count: int, like: Tensor) -> EANetOutput:
    sizes = {"joint_img": (21, 3), "root_pose_6d": (6,), "pose_6d": (90,), "shape": (10,)}
    sizes |= {"cam": (3,), "root_pose_aa": (3,), "pose_aa": (45,)}
    hands = {f"{side}{name}": size for side in "rl" for name, size in sizes.items()}
    values = {n: like.new_zeros(count, *size) for n, size in {**hands, "rel_trans": (3,)}.items()}
    values |= {f"{side}cam": like.new_ones(count, 3) for side in "rl"}
    return EANetOutput(**{name: values.get(name) for name in EANetOutput._fields})


def _in_float32(output: EANetOutput) -> EANetOutput:
    return EANetOutput(*(None if value is None else value.float() for value in output))
