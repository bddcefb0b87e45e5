"""Hierarchical supervised contrast over moments, fine and coarse gestures.

Supervised contrast (Khosla et al., NeurIPS 2020, arXiv 2004.11362) pulls an anchor towards all
samples of its class and away from the others. Its hierarchical form (Zhang et al., CVPR 2022,
arXiv 2204.13207) adds one such loss per level and does not let a coarser level have a lower loss
than a finer one, so that fine structure survives. The levels here, from fine to coarse:

* moment: other crops of the same image and other views of the same time step;
* fine: images with the same fine gesture, of any person, sequence and camera;
* coarse: images with the same coarse gesture.

Letters: M rows of this process, N rows of all processes, D channels.
"""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gesture_pretrain.pretraining.beyond_paper.gather import gather_rows, own_rows_start
from gesture_pretrain.pretraining.beyond_paper.mlp import build_mlp, full_precision
from gesture_pretrain.processes import rank_and_world_size, sum_over_processes
from gesture_pretrain.taxonomy import UNLABELLED

LEVELS = ("moment", "fine", "coarse")


class HierarchicalContrast(nn.Module):
    """Projection of the pooled feature and the hierarchical contrastive loss on it.

    Args:
        in_channels: Channels of the pooled feature.
        weight: Weight of the loss.
        temperature: Temperature of the softmax over the other samples.
        moment, fine, coarse: Weights of the levels; 0 leaves a level out.
        ordered: Do not let a coarser level have a lower loss than a finer one.
        hidden: Hidden units of the projection.
        channels: Output channels of the projection.
        anchors_at_once: Number of anchors compared at once, which bounds the memory.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        weight: float = 0.5,
        temperature: float = 0.1,
        moment: float = 1.0,
        fine: float = 1.0,
        coarse: float = 1.0,
        ordered: bool = True,
        hidden: int = 512,
        channels: int = 128,
        anchors_at_once: int = 1024,
    ):
        super().__init__()
        weights = dict(zip(LEVELS, (moment, fine, coarse), strict=True))
        if not temperature > 0 or min(weights.values()) < 0 or not any(weights.values()):
            raise ValueError(
                f"temperature is {temperature} and the weights of the levels {weights}. The "
                "temperature and at least one weight must be above 0, and none below."
            )
        self.weight, self.temperature, self.ordered = weight, temperature, ordered
        self.level_weights = {name: value for name, value in weights.items() if value}
        self.anchors_at_once = anchors_at_once
        self.projection = build_mlp(in_channels, hidden, channels)

    def forward(self, pooled: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
        """Compute the weighted loss.

        Args:
            pooled: (M, in_channels) pooled features of this process.
            labels: (M,) classes by level, -1 for "no label".
        """
        embedded = F.normalize(self.projection(pooled).float(), dim=1)
        losses = hierarchical_contrast(
            embedded,
            {name: labels[name] for name in self.level_weights},
            temperature=self.temperature,
            ordered=self.ordered,
            anchors_at_once=self.anchors_at_once,
        )
        weights = self.level_weights
        total = sum(weight * losses[name] for name, weight in weights.items())
        return self.weight * total / sum(weights.values())


def hierarchical_contrast(
    embedded: Tensor,
    labels: Mapping[str, Tensor],
    *,
    temperature: float = 0.1,
    ordered: bool = True,
    anchors_at_once: int = 1024,
) -> dict[str, Tensor]:
    """Compute the contrastive loss of each level over the samples of all processes.

    An anchor's loss at a level is the mean, over its positives p, of
    `logsumexp over k of s(anchor, k) - s(anchor, p)`, where s is the cosine similarity divided by
    the temperature and k runs over all other samples with a label of that level. Samples without a
    label are neither positives nor negatives, because they may show the anchor's gesture. Anchors
    without a positive have no loss.

    Each loss is scaled so that its average over processes is the mean over all anchors of all
    processes; so is its gradient.

    Args:
        embedded: (M, D) float32 embeddings of unit length.
        labels: (M,) classes by level, -1 for "no label"; the levels from fine to coarse.
        temperature: Temperature.
        ordered: Replace the loss of a level by that of the finer level before it if the latter is
            larger.
        anchors_at_once: Number of anchors compared at once.

    Returns:
        The loss of each level, 0 with a gradient of 0 if the level has no pair of positives.
    """
    keys, own = gather_rows(embedded), torch.stack(list(labels.values()), dim=1)
    of_keys, first = gather_rows(own), own_rows_start(len(embedded))
    numbers = torch.arange(first, first + len(embedded), device=embedded.device)
    parts = zip(*(t.split(anchors_at_once) for t in (embedded, own, numbers)), strict=True)
    again = partial(checkpoint, _sums_of_anchors, use_reentrant=False, preserve_rng_state=False)
    sums = sum(again(*part, keys, of_keys, temperature) for part in parts)
    totals, counts = sums.unbind()
    return _level_losses(tuple(labels), totals, counts.detach(), ordered)


def _sums_of_anchors(
    anchors: Tensor,
    of_anchors: Tensor,
    numbers: Tensor,
    keys: Tensor,
    of_keys: Tensor,
    temperature: float,
) -> Tensor:
    """Sum losses and count anchors with positives: (2, levels).

    The scores are recomputed in the backward pass, so that memory does not grow with M * N.
    """
    with full_precision(anchors):
        scores = anchors @ keys.T / temperature
    other = numbers[:, None] != torch.arange(len(keys), device=keys.device)
    rows = []
    for mine, theirs in zip(of_anchors.unbind(1), of_keys.unbind(1), strict=True):
        compared = other & (theirs != UNLABELLED)
        positive = compared & (mine[:, None] == theirs)  # never true for an anchor without label
        count = positive.sum(1)
        spread = scores.masked_fill(~compared, -torch.inf)
        # an anchor without any key to compare has no loss; its row must not give NaN
        spread = torch.where(count[:, None] > 0, spread, torch.zeros_like(spread))
        near = scores.masked_fill(~positive, 0.0).sum(1) / count.clamp(min=1)
        loss = torch.where(count > 0, spread.logsumexp(1) - near, torch.zeros_like(near))
        rows.append(torch.stack([loss.sum(), (count > 0).sum().to(loss.dtype)]))
    return torch.stack(rows, dim=1)


def _level_losses(
    names: tuple[str, ...], totals: Tensor, counts: Tensor, ordered: bool
) -> dict[str, Tensor]:
    """Compute the mean loss of each level, from the sums of this process."""
    world_size = rank_and_world_size()[1]
    all_counts = sum_over_processes(counts.clone())
    means = sum_over_processes(totals.detach().clone()) / all_counts.clamp(min=1)
    own = totals * world_size / all_counts.clamp(min=1)
    if not ordered:
        return dict(zip(names, own, strict=True))
    losses, bound, largest = [], torch.zeros_like(own[0]), torch.zeros_like(means[0])
    for loss, mean, count in zip(own, means, all_counts, strict=True):
        is_largest = mean >= largest
        losses.append(torch.where(is_largest | (count == 0), loss, bound))
        bound = torch.where(is_largest, loss, bound)
        largest = torch.maximum(mean, largest)
    return dict(zip(names, losses, strict=True))
