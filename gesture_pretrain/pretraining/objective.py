"""The objective of Stage 1: `L = CE_coarse + lambda * CE_fine`, with lambda increasing by epoch.

In the paper, lambda increases by a fixed step every 10 epochs up to a maximum, so that the coarse
gestures separate first. The paper does not state start, step and maximum; 0.1, 0.1 and 1.0 are our
assumptions.

Letters: B batch, K classes. Label -1 means "no label"; such samples contribute no loss or gradient.
"""

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from gesture_pretrain.schema import section
from gesture_pretrain.taxonomy import UNLABELLED
from gesture_pretrain.training.step_mean import step_mean_count


@section
class FineWeightRamp:
    """Schedule of lambda: `min(maximum, start + step * floor(epoch / every_epochs))`.

    Attributes:
        start: Initial lambda.
        step: Increase every `every_epochs` epochs.
        every_epochs: Epochs between increases.
        maximum: Upper limit of lambda.
    """

    start: NonNegativeFloat = 0.1
    step: NonNegativeFloat = 0.1
    every_epochs: PositiveInt = 10
    maximum: float = 1.0

    def __post_init__(self):
        if self.start > self.maximum:
            raise ValueError(f"start is {self.start}; it must be at most maximum, {self.maximum}.")

    def value(self, epoch: int) -> float:
        """Return lambda in an epoch, counted from 0."""
        if epoch < 0:
            raise ValueError(f"epochs count from 0, got {epoch}")
        return min(self.maximum, self.start + self.step * (epoch // self.every_epochs))


def labelled_cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Compute the mean cross entropy over the labelled samples of the batch.

    In distributed training, and with gradient accumulation, the loss is scaled so that its average
    over processes and parts equals the mean over all labelled samples of the step, regardless of
    how the labels are distributed.

    Args:
        logits: `(B, K)`. Half precision is converted to float32.
        labels: `(B,)` integers in `[0, K)`, or -1 for "no label".
        label_smoothing: Label smoothing in `[0, 1]`.

    Returns:
        A scalar; exactly 0, with gradient 0, if no sample is labelled.

    Raises:
        ValueError: A label is outside `[-1, K)`. Checked only on the CPU, where it needs no wait.
    """
    if labels.device.type == "cpu":
        _check_labels(labels, logits.shape[1])
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    total = F.cross_entropy(
        logits, labels, ignore_index=UNLABELLED, reduction="sum", label_smoothing=label_smoothing
    )
    return total / step_mean_count((labels != UNLABELLED).sum()).to(total.dtype)


def top1_accuracy(logits: Tensor, labels: Tensor) -> Tensor | None:
    """Compute the fraction of labelled samples that are classified correctly; None without labels.

    On a GPU, the result without labels is NaN, because None would require waiting for the device.
    """
    count = (labels != UNLABELLED).sum()
    if count.device.type == "cpu" and count == 0:
        return None
    return (logits.argmax(dim=1) == labels).sum().float() / count  # never true for -1


def _check_labels(labels: Tensor, num_classes: int) -> None:
    wrong = labels[(labels < UNLABELLED) | (labels >= num_classes)]
    if wrong.numel():
        raise ValueError(
            f"labels {sorted(set(wrong.tolist()))[:5]} are outside [0, {num_classes}) and not "
            f"{UNLABELLED} (no label). Head and taxonomy must have the same number of classes."
        )
