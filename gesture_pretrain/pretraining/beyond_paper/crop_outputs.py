"""What the network computes from all crops of a batch.

Letters: B images, F further full crops and N local crops of each, V = 1 + F + N crops, C channels.
Crops of a batch are ordered by crop and then by image: crop k of image b is row k * B + b.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gesture_pretrain.data.samples.hand_crops import HandCrops
from gesture_pretrain.models.gesture_network import GestureNetwork, GestureOutput


class CropOutputs(NamedTuple):
    """Outputs and labels of all crops.

    Attributes:
        pooled: (V * B, C) pooled features.
        coarse_logits: (V * B, num_coarse).
        fine_logits: (V * B, num_fine).
        full_images: ((1 + F) * B, 3, S, S) uint8, the full crops.
        full: Output for the full crops.
        coarse, fine: (V * B,) classes, -1 for "no label".
        moment: (V * B,) pose shown, see `HandCrops`.
    """

    pooled: Tensor
    coarse_logits: Tensor
    fine_logits: Tensor
    full_images: Tensor
    full: GestureOutput
    coarse: Tensor
    fine: Tensor
    moment: Tensor


def run_crops(network: GestureNetwork, normalise: nn.Module, batch: HandCrops) -> CropOutputs:
    """Run all crops of a batch: the full ones together, then the local ones.

    Running statistics of batch norm follow the full crops only, because the backbone is later used
    on such crops.
    """
    full = torch.cat([batch.image, *batch.full_images.unbind(1)])
    outputs = [network(normalise(full))]
    if batch.local_images.shape[1]:
        local = torch.cat(batch.local_images.unbind(1))
        with kept_running_statistics(network):
            outputs.append(network(normalise(local)))
    return CropOutputs(
        torch.cat([output.features.pooled for output in outputs]),
        torch.cat([output.coarse_logits for output in outputs]),
        torch.cat([output.fine_logits for output in outputs]),
        full,
        outputs[0],
        torch.cat([batch.coarse, batch.other_coarse.T.flatten()]),
        torch.cat([batch.fine, batch.other_fine.T.flatten()]),
        torch.cat([batch.moment, batch.other_moment.T.flatten()]),
    )


@contextmanager
def kept_running_statistics(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norm, which still normalises by its batch."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
