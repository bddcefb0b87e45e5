"""Accuracy on training images without augmentation, which shows whether labels were learned."""

import numpy as np
from torch import nn, no_grad
from torch.utils.data import Subset

from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.loaders import make_loader, own_batches
from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.pretraining.accuracy import GestureAccuracy
from gesture_pretrain.processes import rank_and_world_size

IMAGES, BATCH = 1000, 64


@no_grad()
def training_accuracy(
    model: nn.Module,
    dataset: GestureDataset,
    *,
    workers: int = 0,
) -> dict[str, float]:
    """Measure `coarse_top1`, `coarse_loss`, `fine_top1` and `fine_loss` on 1000 training images.

    Args:
        model: Trained `GesturePretrainer`, which is set to eval mode.
        dataset: Training dataset, used without its augmentation.
        workers: Loading processes.
    """
    chosen = still_part(dataset, IMAGES)
    batches = own_batches(len(chosen), BATCH, *rank_and_world_size())
    scores = GestureAccuracy()
    model.eval()
    for batch in make_loader(chosen, workers, 0, False, batch_sampler=batches):
        scores.add(model.val_step(batch), batch)
    return scores.compute()


def still_part(dataset: GestureDataset, images: int) -> Subset:
    """Select evenly spread images of a dataset, without augmentation."""
    return Subset(dataset.without_augmentation(), spread(np.arange(len(dataset)), images).tolist())
