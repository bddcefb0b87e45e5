"""Top-1 accuracy and cross entropy over a validation set, exactly, over batches and processes."""

import torch
from torch.nn.functional import cross_entropy

from gesture_pretrain.processes import exact_sums

NO_LABEL = -1
_LEVELS = ("coarse", "fine")


class GestureAccuracy:
    """Collects logits and labels batch by batch; samples without a label are left out.

    Nothing waits for the device before `compute`. The scores are the same to the last digit however
    many processes share the batches.
    """

    def __init__(self):
        # of each batch (2, 3): by level the samples, those correct, and the summed cross entropy
        self.batches: list[torch.Tensor] = []

    def add(self, logits, batch) -> None:
        """Adds a batch.

        Args:
            logits: Has `coarse (B, num_coarse)` and `fine (B, num_fine)`.
            batch: Has `coarse (B,)` and `fine (B,)`, -1 where there is no label.
        """
        sums = []
        for name in _LEVELS:
            scores = getattr(logits, name).float()
            labels = getattr(batch, name).to(scores.device)
            loss = cross_entropy(scores, labels, ignore_index=NO_LABEL, reduction="sum")
            correct = (scores.argmax(1) == labels).sum()  # never true for -1
            count = (labels != NO_LABEL).sum()
            sums.append(torch.stack([count.double(), correct.double(), loss.double()]))
        self.batches.append(torch.stack(sums))

    def compute(self) -> dict[str, float]:
        """`coarse_top1`, `coarse_loss`, `fine_top1`, `fine_loss` (shares of 1, nats), and resets.

        A level without any labelled sample has no entry.
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
