"""Exact top-1 accuracy and cross entropy over the batches and processes of a validation."""

import torch
from torch.nn.functional import cross_entropy

from gesture_pretrain.processes import exact_sums
from gesture_pretrain.taxonomy import UNLABELLED

_LEVELS = ("coarse", "fine")


class GestureAccuracy:
    """Accumulates accuracy and cross entropy batch by batch, ignoring unlabelled samples.

    Nothing waits for the device before `compute`. The scores are bit-identical for any number of
    processes.
    """

    def __init__(self):
        # per batch (2, 3): samples, correct samples and summed cross entropy by level
        self.batches: list[torch.Tensor] = []

    def add(self, logits, batch) -> None:
        """Add a batch.

        Args:
            logits: Logits `coarse (B, num_coarse)` and `fine (B, num_fine)`.
            batch: Labels `coarse (B,)` and `fine (B,)`, -1 for "no label".
        """
        sums = []
        for name in _LEVELS:
            scores = getattr(logits, name).float()
            labels = getattr(batch, name).to(scores.device)
            loss = cross_entropy(scores, labels, ignore_index=UNLABELLED, reduction="sum")
            correct = (scores.argmax(1) == labels).sum()  # never true for -1
            count = (labels != UNLABELLED).sum()
            sums.append(torch.stack([count.double(), correct.double(), loss.double()]))
        self.batches.append(torch.stack(sums))

    def compute(self) -> dict[str, float]:
        """Return top-1 accuracy in [0, 1] and loss in nats by level, and reset.

        Keys are `coarse_top1`, `coarse_loss`, `fine_top1` and `fine_loss`. A level without labelled
        samples has no entry.
        """
        table = torch.stack(self.batches).flatten(1).cpu().numpy() if self.batches else None
        self.batches = []
        sums = iter(exact_sums(table, 3 * len(_LEVELS)))
        metrics = {}
        for name, count, correct, loss in zip(_LEVELS, sums, sums, sums, strict=True):
            if count:
                metrics[f"{name}_top1"] = correct / count
                metrics[f"{name}_loss"] = loss / count
        return metrics
