"""Features and labels of all processes, with the gradient of the features."""

import torch
from torch import Tensor, distributed

from gesture_pretrain.processes import rank_and_world_size


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient.chunk(distributed.get_world_size())[distributed.get_rank()]


def gather_rows(own: Tensor) -> Tensor:
    """Concatenate (B, ...) tensors of all processes by rank, with gradient.

    The gradient of a process's rows is the sum over the losses of all processes. All processes must
    have the same B.
    """
    return own if rank_and_world_size()[1] == 1 else _AllGather.apply(own)


def own_rows_start(count: int) -> int:
    """Return where the rows of this process start in `gather_rows` of `count` rows each."""
    return rank_and_world_size()[0] * count
