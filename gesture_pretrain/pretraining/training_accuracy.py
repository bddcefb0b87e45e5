"""Accuracy on training images without augmentation, which shows whether labels were learned."""

import numpy as np
from torch import nn, no_grad
from torch.utils.data import Subset

from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.loaders import make_loader, own_batches
from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.pretraining.accuracy import GestureAccuracy
from gesture_pretrain.processes import rank_and_world_size

IMAGES = 1000


@no_grad()
def training_accuracy(
    model: nn.Module,
    dataset: GestureDataset,
    *,
    images: int = IMAGES,
    batch_size: int = 64,
    workers: int = 0,
) -> dict[str, float]:
    """Measure `coarse_top1`, `coarse_loss`, `fine_top1` and `fine_loss` on training images.

    Args:
        model: Trained `GesturePretrainer`, which is set to eval mode.
        dataset: Training dataset, used without its augmentation.
        images: Maximum number of images, evenly spread over the dataset.
        batch_size: Images per batch.
        workers: Loading processes.
    """
    chosen = still_part(dataset, images)
    batches = own_batches(len(chosen), batch_size, *rank_and_world_size())
    scores = GestureAccuracy()
    model.eval()
    for batch in make_loader(chosen, workers, 0, False, batch_sampler=batches):
        scores.add(model.val_step(batch), batch)
    return scores.compute()


def still_part(dataset: GestureDataset, images: int) -> Subset:
    """Select evenly spread images of a dataset, without augmentation."""
    return Subset(dataset.without_augmentation(), spread(np.arange(len(dataset)), images).tolist())
