"""Top-1 accuracy and cross entropy over a validation set, summed over batches and processes."""

import torch
from torch.nn.functional import cross_entropy

from .device import sum_over_processes

NO_LABEL = -1
_LEVELS = ("coarse", "fine")


class GestureAccuracy:
    """Collects logits and labels batch by batch; samples without a label are left out.

    Args:
        device: where the sums are kept (the process group must be able to add them there).
    """

    def __init__(self, device: torch.device):
        self.device = device
        self._reset()

    def _reset(self) -> None:
        # level -> [samples, correct, summed cross entropy]
        self.sums = torch.zeros(len(_LEVELS), 3, dtype=torch.float64, device=self.device)

    def add(self, logits, batch) -> None:
        """Adds a batch.

        Args:
            logits: has `coarse (B, num_coarse)` and `fine (B, num_fine)`.
            batch: has `coarse (B,)` and `fine (B,)`, -1 where there is no label.
        """
        for level, name in enumerate(_LEVELS):
            scores = getattr(logits, name).float()
            labels = getattr(batch, name).to(scores.device)
            loss = cross_entropy(scores, labels, ignore_index=NO_LABEL, reduction="sum")
            correct = (scores.argmax(1) == labels).sum()  # never true for -1
            count = (labels != NO_LABEL).sum()
            self.sums[level] += torch.stack([count.double(), correct.double(), loss.double()])

    def compute(self) -> dict[str, float]:
        """`coarse_top1`, `coarse_loss`, `fine_top1`, `fine_loss` (shares of 1, nats), and resets.

        A level without any labelled sample has no entry.
        """
        sums = sum_over_processes(self.sums).tolist()
        self._reset()
        metrics = {}
        for name, (count, correct, loss) in zip(_LEVELS, sums, strict=True):
            if count:
                metrics[f"{name}_top1"] = correct / count
                metrics[f"{name}_loss"] = loss / count
        return metrics
