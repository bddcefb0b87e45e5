"""Freeze a backbone, or its layers up to one of its levels.

Frozen layers keep their weights and batch-norm statistics and stay in eval mode. Gradients stop at
the level, so a training step costs less time and memory.
"""

from torch import nn

from gesture_pretrain.models.backbone import Backbone


def frozen_modules(backbone: Backbone, frozen: bool | str) -> list[nn.Module]:
    """List the modules that are frozen.

    Args:
        backbone: The backbone.
        frozen: True for all, False for none, or the name of the last frozen level.

    Raises:
        ValueError: No such level, or the network has no layers that end at it.
    """
    if isinstance(frozen, bool):
        return list(backbone.modules()) if frozen else []
    last = backbone.last_modules.get(frozen)
    if last is None:
        possible = ", ".join(["true", "false", *map(repr, backbone.last_modules)])
        raise ValueError(
            f"frozen={frozen!r} is not possible for {backbone.arch}; possible: {possible}"
        )
    modules = list(backbone.net.named_modules())
    end = 1 + max(i for i, (name, _) in enumerate(modules) if f"{name}.".startswith(f"{last}."))
    return [module for name, module in modules[1:end] if not last.startswith(f"{name}.")]


def frozen_parameter_names(backbone: Backbone, frozen: bool | str) -> set[str]:
    """Return the names of the frozen parameters of `backbone.net`, see `frozen_modules`."""
    held = {id(p) for module in frozen_modules(backbone, frozen) for p in module.parameters()}
    if isinstance(frozen, str):  # such as a ViT's position embedding, which comes first
        held |= {id(parameter) for parameter in backbone.net.parameters(recurse=False)}
    return {name for name, p in backbone.net.named_parameters() if id(p) in held}


def freeze(backbone: Backbone, frozen: bool | str = True) -> None:
    """Freeze weights, statistics and mode, see `frozen_modules`."""
    names = frozen_parameter_names(backbone, frozen)
    for name, parameter in backbone.net.named_parameters():
        if name in names:
            parameter.requires_grad_(False)
    for module in frozen_modules(backbone, frozen):
        module.eval()
        module.train = lambda mode=True, module=module: module
