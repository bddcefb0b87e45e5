"""Masked self-distillation of F_lo with the run's weight average as teacher.

Without it, F_lo is trained through F_hi only, although Stage 2 samples its tokens from F_lo. Cells
of the image are hidden from the network, which predicts what the teacher computes there from the
whole image. The principle is that of data2vec (Baevski et al., ICML 2022, arXiv 2202.03555) and of
iBOT (Zhou et al., ICLR 2022, arXiv 2111.07832).

Letters: B images, C channels, h and w the size of F_lo, K = h * w cells.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.pretraining.beyond_paper.crop_outputs import kept_running_statistics
from gesture_pretrain.pretraining.beyond_paper.mlp import build_mlp, full_precision


class MaskedDistillation(nn.Module):
    """Prediction of the teacher's F_lo at hidden cells.

    Args:
        in_channels: Channels of F_lo.
        weight: Weight of the loss.
        masked: Fraction of the cells that is hidden.
        hidden: Hidden units of the predictor.
    """

    def __init__(
        self, in_channels: int, *, weight: float = 1.0, masked: float = 0.4, hidden: int = 512
    ):
        super().__init__()
        if not 0 < masked < 1:
            raise ValueError(f"masked is {masked}; it must lie between 0 and 1.")
        self.weight, self.masked = weight, masked
        self.predictor = build_mlp(in_channels, hidden, in_channels)

    def forward(
        self,
        student: Backbone,
        teacher: Backbone,
        image: Tensor,
        rows: Tensor,
        *,
        epoch: int,
    ) -> Tensor:
        """Compute the weighted loss.

        Args:
            student: Backbone that is trained.
            teacher: Averaged backbone, in eval mode.
            image: (B, 3, S, S), normalised.
            rows: (B,) rows of the index, which key the hidden cells.
            epoch: Epoch, which keys them too.
        """
        with torch.no_grad():
            target = teacher(image).levels[teacher.low]
        cells = hidden_cells(rows, epoch, target[0, 0].numel(), self.masked)
        with kept_running_statistics(student):
            seen = student(image * visible(cells, target, image)).levels[student.low]
        predicted = self.predictor(features_at(seen, cells))
        with full_precision(image):
            return self.weight * cell_distance(predicted, features_at(target, cells))


def features_at(level: Tensor, cells: Tensor) -> Tensor:
    """Return the features (B, n, C) of a map (B, C, h, w) at cells (B, n)."""
    return level.flatten(2).mT.take_along_dim(cells[:, :, None], dim=1)


def visible(cells: Tensor, level: Tensor, image: Tensor) -> Tensor:
    """Return a mask (B, 1, S, S) of the image: 0 at the cells (B, n) of the map, 1 elsewhere."""
    mask = torch.ones_like(level[:, 0].flatten(1), dtype=image.dtype).scatter(1, cells, 0.0)
    return F.interpolate(mask.view_as(level[:, 0])[:, None], size=image.shape[2:], mode="nearest")


def cell_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Compute the mean of 1 - cosine similarity over cells (..., C).

    Targets are normalised over their channels first, which removes a common offset.
    """
    target = F.layer_norm(target.float(), target.shape[-1:])
    return (1 - F.cosine_similarity(predicted.float(), target, dim=-1)).mean()


def hidden_cells(rows: Tensor, epoch: int, count: int, fraction: float) -> Tensor:
    """Draw which of `count` cells are hidden in each image: (B, n) numbers of cells.

    The draw depends on (row, epoch) only, not on the batch or the number of processes.
    """
    hidden = min(count, max(1, round(fraction * count)))
    cells = torch.arange(count, device=rows.device)
    keys = mixed(mixed(rows) + epoch)[:, None]
    return mixed(keys + cells).argsort(dim=1, stable=True)[:, :hidden]


def mixed(numbers: Tensor) -> Tensor:
    """Mix the bits of int64 numbers into numbers of 32 bits: Wellons' hash lowbias32."""
    low = (1 << 32) - 1
    mixed = numbers & low
    mixed = (mixed ^ (mixed >> 16)) * 0x7FEB352D & low
    mixed = (mixed ^ (mixed >> 15)) * 0x846CA68B & low
    return mixed ^ (mixed >> 16)
