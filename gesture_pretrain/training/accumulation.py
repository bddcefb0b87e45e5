"""Gradient accumulation: one optimiser step on a batch that is computed in parts to save memory.

Up to rounding, the gradient is that of the whole batch, because losses that are means over valid
entries are divided by the counts of the whole batch (`StepCounts`). Only two things depend on the
parts: batch norm in training mode computes its statistics per part, as with a smaller batch, and
dropout draws its masks per part.
"""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gesture_pretrain.training.optimizer import FiniteOptimWrapper
from gesture_pretrain.training.step_mean import StepCounts


def check_parts(parts: int, share: int, optim_wrapper: object) -> None:
    """Raise ValueError if the part of a batch on one process cannot be split into `parts`."""
    if parts == 1:
        return
    if share % parts:
        raise ValueError(
            f"training.accumulate is {parts}, but each process has {share} images of a batch, "
            f"which is not divisible by {parts}. Choose a divisor of {share}."
        )
    if not isinstance(optim_wrapper, FiniteOptimWrapper):
        raise ValueError(
            "training.accumulate above 1 does not support training.precision=fp16; use bf16 or fp32"
        )


def accumulated_step(
    model: nn.Module, batch: Any, *, parts: int, optim_wrapper: FiniteOptimWrapper
) -> dict[str, Tensor]:
    """Run forward and backward of each part, then one step; return mean log values.

    Args:
        model: An mmengine model with a mode "count", or its distributed wrapper.
        batch: A named tuple of tensors with a leading axis B.
        parts: A divisor of B.
        optim_wrapper: Optimiser wrapper.
    """
    core = getattr(model, "module", model)
    pieces = [core.data_preprocessor(piece, True) for piece in split_batch(batch, parts)]
    counts = collect_counts(core, pieces)
    optim_wrapper.begin_step()
    logs = []
    for number, piece in enumerate(pieces, start=1):
        waits = number < parts and hasattr(model, "no_sync")
        with model.no_sync() if waits else nullcontext():
            with optim_wrapper.optim_context(model), counts.giving():
                losses = model(**piece, mode="loss")
            loss, log = core.parse_losses(losses)
            logs.append({name: value.detach() for name, value in log.items()})
            if not optim_wrapper.add_loss(loss / parts):
                break
    optim_wrapper.finish_step()
    return mean_logs(logs)


@torch.no_grad()
def collect_counts(core: nn.Module, pieces: list[dict]) -> StepCounts:
    """Collect the denominators of the losses of all pieces, without running the network.

    Args:
        core: The model.
        pieces: Arguments of its `forward`, except the mode.

    Raises:
        ValueError: The model has no mode "count".
    """
    counts = StepCounts()
    for piece in pieces:
        try:
            with counts.collecting():
                core(**piece, mode="count")
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"training.accumulate: {type(core).__name__} has no mode 'count', which returns "
                f"the denominators of its losses ({error}). Use training.accumulate=1."
            ) from error
    return counts


def split_batch(batch: Any, parts: int) -> list:
    """Split a tensor `(B, ...)`, or a named tuple of tensors, into `parts` of equal size.

    A number applies to the whole batch and is repeated for each part.
    """
    if isinstance(batch, Tensor):
        return list(batch.chunk(parts))
    if isinstance(batch, int):
        return [batch] * parts
    columns = [split_batch(values, parts) for values in batch]
    return [type(batch)(*values) for values in zip(*columns, strict=True)]


def mean_logs(logs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Average log values by name, over the parts that have them."""
    names = dict.fromkeys(name for log in logs for name in log)
    return {
        name: torch.stack([log[name].float() for log in logs if name in log]).mean()
        for name in names
    }
