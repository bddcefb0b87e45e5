"""Equivariance of F_lo: its features move with the crop.

Classification asks for invariance to rotation, shift, scale and mirroring, while pose depends on
them. Here a cell of one crop has to be recognised among all cells of another crop of the same
image, at the place to which the crops' map moves it, after its direction has been changed by the
same map. The equivariant contrast is that of PeCLR (Spurr et al., ICCV 2021, arXiv 2106.05953),
applied to the cells of a map as in TI-Net (arXiv 2502.12535).

Letters: B images, C channels, h and w the size of F_lo, K = h * w cells, D projected channels.
"""

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from gesture_pretrain.pretraining.beyond_paper.mlp import build_mlp, full_precision
from gesture_pretrain.training.step_mean import step_mean_count


class CropEquivariance(nn.Module):
    """Projection of F_lo's cells to 2D vectors, and the equivariance loss on them.

    Args:
        in_channels: Channels of F_lo.
        weight: Weight of the loss.
        temperature: Temperature of the softmax over the cells of the other crop.
        hidden: Hidden units of the projection.
        vectors: Number of 2D vectors per cell; D is twice this number.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        weight: float = 0.5,
        temperature: PositiveFloat = 0.2,
        hidden: int = 256,
        vectors: int = 32,
    ):
        super().__init__()
        self.weight, self.temperature = weight, temperature
        self.projection = build_mlp(in_channels, hidden, 2 * vectors)

    def forward(self, first: Tensor, second: Tensor, maps: Tensor, size_px: int) -> Tensor:
        """Compute the weighted loss.

        Args:
            first, second: (B, C, h, w), F_lo of two crops of the same images.
            maps: (B, 2, 3), maps from pixels of the first crop to pixels of the second.
            size_px: Side length of both crops.
        """
        vectors = [self._project(each) for each in (first, second)]
        with full_precision(first):
            loss = equivariance_loss(
                *vectors, maps.float(), size_px=size_px, temperature=self.temperature
            )
        return self.weight * loss

    def _project(self, level: Tensor) -> Tensor:
        return self.projection(level.movedim(1, -1)).movedim(-1, 1).float()


def equivariance_loss(
    first: Tensor, second: Tensor, maps: Tensor, *, size_px: int, temperature: float
) -> Tensor:
    """Compute the cross entropy of finding each cell of the first crop in the second, and back.

    Cells that the second crop does not show are left out. The loss is scaled so that its average
    over processes is the mean over all cells that both crops show.

    Args:
        first, second: (B, D, h, w) vectors by cell; channels 2 i and 2 i + 1 are x and y of vector
            i.
        maps: (B, 2, 3), maps from pixels of the first crop to pixels of the second.
        size_px: Side length of both crops.
        temperature: Temperature.
    """
    height, width = first.shape[2:]
    places_px = moved_cells(maps, height, width, size_px)
    sampling = 2 * places_px / size_px - 1
    shown = (sampling.abs() <= 1).all(-1)  # (B, K)
    found = F.grid_sample(second, sampling[:, None], padding_mode="border", align_corners=False)
    keys = F.normalize(found[:, :, 0].mT, dim=-1)  # (B, K, D)
    anchors = F.normalize(turned(first.flatten(2).mT, maps), dim=-1)
    scores = anchors @ keys.mT / temperature
    pairs = shown[:, :, None] & shown[:, None, :]
    scores = scores.masked_fill(~pairs, torch.finfo(scores.dtype).min)
    hits = scores.diagonal(dim1=1, dim2=2)
    losses = (scores.logsumexp(2) + scores.logsumexp(1)) / 2 - hits
    total = losses.masked_fill(~shown, 0.0).sum()
    return total / step_mean_count(shown.sum()).to(total.dtype)


def moved_cells(maps: Tensor, height: int, width: int, size_px: int) -> Tensor:
    """Compute where the map moves the centre of each cell: (B, K, 2) pixels of the second crop.

    The convention is that of Stage 2: a crop reaches from 0 to `size_px`, and so do the cells.
    """
    y = (torch.arange(height, device=maps.device) + 0.5) * (size_px / height)
    x = (torch.arange(width, device=maps.device) + 0.5) * (size_px / width)
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1).to(maps)
    return centres @ maps[:, :, :2].mT + maps[:, None, :, 2]


def turned(vectors: Tensor, maps: Tensor) -> Tensor:
    """Rotate and mirror (B, K, D) vectors as the maps do, without their scale."""
    linear = maps[:, :, :2]
    determinant = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
    scale = determinant.abs().sqrt()
    pairs = vectors.unflatten(-1, (-1, 2)) @ (linear / scale[:, None, None]).mT[:, None]
    return pairs.flatten(-2)
