"""Learning rate as a pure function of the iteration: linear warm-up, then half a cosine.

A pure function has no state, so a run resumed at iteration k uses exactly the learning rate of an
uninterrupted run. There are no warm restarts (Loshchilov and Hutter 2017, SGDR, equation 5 with one
period).
"""

import math

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from gesture_pretrain.schema import Fraction, section


@section
class Schedule:
    """Length of a run and the shape of its learning rate.

    Attributes:
        epochs: Passes over the training rows. Used if `iterations` is None.
        iterations: Length in batches. Takes precedence over `epochs`.
        warmup_iterations: Batches during which the learning rate rises linearly from 1/warmup to 1.
            In a shorter run, all batches except the last.
        final_lr_ratio: Learning rate after the last batch, as a fraction of the peak.
    """

    epochs: PositiveFloat = 30
    iterations: PositiveInt | None = None
    warmup_iterations: NonNegativeInt = 100
    final_lr_ratio: Fraction = 0.01

    def total_iterations(self, iterations_per_epoch: int) -> int:
        """Return the number of batches in the run."""
        if self.iterations is not None:
            return self.iterations
        return max(1, round(self.epochs * iterations_per_epoch))

    def lr_ratio(self, iteration: int, total_iterations: int) -> float:
        """Return the learning rate of batch `iteration` (0-based) as a fraction of the peak."""
        warmup = min(self.warmup_iterations, total_iterations - 1)
        if iteration < warmup:
            return (iteration + 1) / warmup
        progress = (iteration - warmup) / max(1, total_iterations - warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.final_lr_ratio + (1 - self.final_lr_ratio) * cosine
