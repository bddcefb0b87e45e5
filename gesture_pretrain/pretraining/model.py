"""Stage 1 as an mmengine model that computes named losses from a batch of hand crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from torch import Tensor

from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork, GestureOutput
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.pretraining.beyond_paper.crop_outputs import run_crops
from gesture_pretrain.pretraining.beyond_paper.losses import BeyondPaper
from gesture_pretrain.pretraining.distillation import Distillation
from gesture_pretrain.pretraining.objective import (
    FineWeightRamp,
    labelled_cross_entropy,
    top1_accuracy,
)

if TYPE_CHECKING:
    from gesture_pretrain.data.samples.gesture_dataset import HandSample
    from gesture_pretrain.data.samples.hand_crops import HandCrops


class GestureLogits(NamedTuple):
    """Coarse `(B, num_coarse)` and fine `(B, num_fine)` logits."""

    coarse: Tensor
    fine: Tensor


class BatchToDevice(BaseDataPreprocessor):
    """Moves a batch to the model's device without unpacking it.

    mmengine would unpack the named tuple into separate arguments of `forward`.
    """

    def forward(self, data: HandSample, training: bool = False) -> dict[str, HandSample]:
        return {"batch": self.cast_data(data)}


class GesturePretrainer(BaseModel):
    """Network and objective of gesture-aware pretraining.

    Args:
        network: Backbone and heads.
        ramp: Weight lambda of the fine loss by epoch.
        coarse_weight: Weight of the coarse loss; 1 in the paper.
        label_smoothing: Label smoothing of both cross entropies.
        channels_last: Use channels-last memory order for weights and images.
        beyond_paper: Options beyond the paper's recipe. With them, mode "loss" requires a batch of
            `HandCrops`.
        distillation: Losses to a teacher, added to those of the labels.

    Attributes:
        epoch: Current epoch, from 0. Set by `set_epoch`; not part of the state dict.
    """

    def __init__(
        self,
        network: GestureNetwork,
        *,
        ramp: FineWeightRamp | None = None,
        coarse_weight: float = 1.0,
        label_smoothing: float = 0.0,
        channels_last: bool = False,
        beyond_paper: BeyondPaper | None = None,
        distillation: Distillation | None = None,
    ):
        super().__init__(data_preprocessor=BatchToDevice(non_blocking=True))
        self.network = network
        self.normalise = ImageNormaliser(network.backbone.input_spec, channels_last=channels_last)
        self.ramp = FineWeightRamp() if ramp is None else ramp
        self.coarse_weight = coarse_weight
        self.label_smoothing = label_smoothing
        self.epoch = 0
        self.beyond_paper = beyond_paper
        if beyond_paper is not None and beyond_paper.equivariance is not None:
            self.nondeterministic_on_cuda = "grid_sample"
        self.distillation = distillation
        if channels_last:
            self.network.to(memory_format=torch.channels_last)

    @property
    def backbone(self) -> Backbone:
        """The backbone that is pretrained."""
        return self.network.backbone

    @property
    def fine_weight(self) -> float:
        """Weight lambda of the fine loss in the current epoch."""
        return self.ramp.value(self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0, of the next batches."""
        self.ramp.value(epoch)  # raises for a negative epoch
        self.epoch = epoch

    def forward(
        self, batch: HandSample, mode: str = "tensor"
    ) -> dict[str, Tensor] | GestureLogits | GestureOutput:
        """Run a batch.

        Args:
            batch: Collated samples: `image` `(B, 3, S, S)` uint8 RGB; `coarse` and `fine` `(B,)`
                int64, -1 for "no label". Other fields are not used.
            mode: "loss", "predict", "tensor" or "count".

        Returns:
            "loss": `loss_coarse` and `loss_fine`, weighted, to be summed; `coarse_top1` and
            `fine_top1` of the labelled samples, absent (NaN on a GPU) if there are none;
            `fine_weight`; the losses of `distillation`. "predict": the logits. "tensor": features
            and logits. "count": an empty dict; the objective counts labelled samples, see
            `StepCounts`.

        Raises:
            ValueError: Unknown mode, unsupported image size, or a label out of range.
            TypeError: The image is not uint8.
        """
        if mode not in ("loss", "predict", "tensor", "count"):
            raise ValueError(
                f"unknown mode {mode!r}; possible: 'loss', 'predict', 'tensor', 'count'"
            )
        if mode == "count":
            self.losses(self._zero_logits(len(batch.coarse)), batch.coarse, batch.fine)
            return {}
        if mode == "loss" and self.beyond_paper is not None:
            return self._losses_beyond_paper(batch, self.beyond_paper)
        output = self.network(self.normalise(batch.image))
        if mode == "tensor":
            return output
        logits = GestureLogits(output.coarse_logits, output.fine_logits)
        if mode == "predict":
            return logits
        losses = self.losses(logits, batch.coarse, batch.fine)
        if self.distillation is not None:
            losses |= self.distillation(batch.image, output)
        return losses

    def losses(self, logits: GestureLogits, coarse: Tensor, fine: Tensor) -> dict[str, Tensor]:
        """Compute weighted losses and log values from logits and labels `(B,)`, see `forward`."""
        smoothing = self.label_smoothing
        values = {
            "loss_coarse": self.coarse_weight
            * labelled_cross_entropy(logits.coarse, coarse, label_smoothing=smoothing),
            "loss_fine": self.fine_weight
            * labelled_cross_entropy(logits.fine, fine, label_smoothing=smoothing),
            "coarse_top1": top1_accuracy(logits.coarse, coarse),
            "fine_top1": top1_accuracy(logits.fine, fine),
            "fine_weight": torch.tensor(self.fine_weight),
        }
        return {name: value for name, value in values.items() if value is not None}

    def _losses_beyond_paper(self, batch: HandCrops, options: BeyondPaper) -> dict[str, Tensor]:
        """Compute the losses over all crops, and those of the options."""
        crops = run_crops(self.network, self.normalise, batch)
        logits, values = GestureLogits(crops.coarse_logits, crops.fine_logits), {}
        if options.projector is not None:
            # the exported heads learn beside the projector, which alone trains the backbone
            logits = GestureLogits(*self.network.heads(crops.pooled.detach()))
            projected = GestureLogits(*options.projector(crops.pooled))
            losses = self.losses(projected, crops.coarse, crops.fine)
            values = {f"projected_{name}": value for name, value in losses.items()}
        values |= self.losses(logits, crops.coarse, crops.fine)
        if self.distillation is not None:
            values |= self.distillation(crops.full_images, crops.full)
        return values | options.losses(
            crops,
            batch,
            student=self.backbone,
            normalise=self.normalise,
            epoch=self.epoch,
        )

    def _zero_logits(self, count: int) -> GestureLogits:
        heads, like = self.network.heads, self.normalise.mean
        classes = (heads.coarse.num_classes, heads.fine.num_classes)
        return GestureLogits(*(like.new_zeros(count, each) for each in classes))
