"""torch.compile for the network of a run; off unless asked for."""

import torch
from torch import nn

MODES = ("default", "reduce-overhead", "max-autotune")


def check_compile(mode: str | None, checkpoint_activations: bool) -> None:
    """Raises ValueError for an unknown mode, or one that cannot be."""
    if mode is None:
        return
    if mode not in MODES:
        raise ValueError(f"training.compile is {mode!r}; possible: none, {', '.join(MODES)}.")
    if checkpoint_activations:
        raise ValueError(
            "training.compile does not go with training.checkpoint_activations; the compiler "
            "chooses by itself what to compute again. Leave one of them off."
        )


def compile_network(model: nn.Module, mode: str) -> None:
    """Compiles, in place, what runs between the batch and the objective.

    That is the model's `network`, or where it has none its `backbone`. Names of tensors stay as
    they are; a copy of the model (the weight average) is not compiled. All batches of a run have
    one shape, so it is compiled once for training and once for validation.
    """
    network = getattr(model, "network", None)
    if network is None:
        network = model.backbone
    network.compile(mode=None if mode == "default" else mode, dynamic=False)
    torch._dynamo.config.suppress_errors = False  # what cannot be compiled is said
