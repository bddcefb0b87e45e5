"""The objective of Stage 1: `L = CE_coarse + lambda * CE_fine`, lambda rising with the epochs.

The paper lets lambda rise by a fixed step every 10 epochs up to a maximum, so that the coarse
gestures separate first. It does not give start, step and maximum: 0.1, 0.1 and 1.0 are our
assumption.

Letters: B batch, K classes. Label -1 means "no label": such samples add neither loss nor gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gesture_pretrain.training.step_mean import step_mean_count

UNLABELLED = -1


@dataclass(frozen=True)
class FineWeightRamp:
    """lambda by epoch: `min(maximum, start + step * floor(epoch / every_epochs))`.

    Attributes:
        start: Lambda in the first epochs.
        step: What is added every `every_epochs` epochs.
        every_epochs: Epochs between two steps.
        maximum: Where it stops.
    """

    start: float = 0.1
    step: float = 0.1
    every_epochs: int = 10
    maximum: float = 1.0

    def __post_init__(self):
        if self.every_epochs < 1 or self.step < 0 or not 0 <= self.start <= self.maximum:
            raise ValueError(
                f"{self} is no ramp: it needs every_epochs >= 1, step >= 0, 0 <= start <= maximum"
            )

    def value(self, epoch: int) -> float:
        """lambda in an epoch counted from 0."""
        if epoch < 0:
            raise ValueError(f"epochs count from 0, got {epoch}")
        return min(self.maximum, self.start + self.step * (epoch // self.every_epochs))


def labelled_cross_entropy(
    logits: Tensor, labels: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross entropy over the labelled samples of the batch.

    In distributed training, and where a batch is taken in parts, the mean is over the labelled
    samples of the whole step, scaled so that the average over ranks and parts is that mean, however
    the labels are spread.

    Args:
        logits: `(B, K)`; half precision is raised to float32.
        labels: `(B,)` integers in `[0, K)`, or -1 for "no label".
        label_smoothing: In `[0, 1]`.

    Returns:
        A scalar; exactly 0, with a gradient of 0, where nothing is labelled.

    Raises:
        ValueError: A label is outside `[-1, K)`; only on the CPU, where looking costs nothing.
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
    """Share of labelled samples whose largest logit is their label; None where none is.

    On a GPU NaN instead of None: whether any sample is labelled is not known without waiting.
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
            f"{UNLABELLED} (no label). Have head and taxonomy the same number of classes?"
        )
