"""Sums over all processes that do not depend on how the terms are spread or ordered."""

import math

import numpy as np
import torch.distributed as dist

from gesture_pretrain.training.device import rank_and_world_size


def exact_sums(terms: np.ndarray | None, columns: int) -> list[float]:
    """The correctly rounded sum of each column over the terms of all processes.

    Args:
        terms: (N, columns) float64 of this process; None where it has none.
        columns: how many there are.
    """
    own = np.empty((0, columns)) if terms is None else np.asarray(terms, np.float64)
    if own.ndim != 2 or own.shape[1] != columns:
        raise ValueError(f"terms have shape {own.shape}; needed is (N, {columns})")
    parts = [own]
    if rank_and_world_size()[1] > 1:
        parts = [None] * rank_and_world_size()[1]
        dist.all_gather_object(parts, own)
    return [math.fsum(column) for column in np.concatenate(parts).T]
