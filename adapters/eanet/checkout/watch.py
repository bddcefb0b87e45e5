"""What a checkout does with the backbone it was given, seen from outside: steps, saves, loads.

Upstream collects the parameters of its optimiser from a list, saves under names of its own and
loads without looking at the key report. So a backbone can stay untrained, or not come back, and
nothing says so. The watch sees every step of an optimiser, every snapshot written and every one
loaded in the process, and raises where the backbone is not in it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from adapters.eanet.checkout.backbone import own_tensors, trained_parameters
from adapters.swap.first_step import check_change, check_optimizer
from adapters.targets import SwapError
from gesture_pretrain.weights.ledger import fingerprint

_NAME = "the checkout"
_SHOWN = 5


class CheckoutWatch:
    """Looks at one backbone from `start` to `stop`.

    Args:
        backbone: What was put into the checkout.

    Attributes:
        steps: Of optimisers, so far.
        first_step: What the first one showed; None before it.
        saved, loaded: One entry per snapshot with a `network`.
    """

    def __init__(self, backbone: nn.Module):
        self.backbone = backbone
        self.steps = 0
        self.first_step: dict[str, Any] | None = None
        self.saved: list[dict[str, Any]] = []
        self.loaded: list[dict[str, Any]] = []
        self._before = ""
        self._undo: list = []

    def start(self) -> None:
        """Begin to look; `stop` ends it."""
        steps = (
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        )
        self._undo = [handle.remove for handle in steps]
        self._wrap(torch, "save", self._saving)
        self._wrap(nn.Module, "load_state_dict", self._loading)

    def stop(self) -> None:
        """Put everything back."""
        for undo in reversed(self._undo):
            undo()
        self._undo = []

    def _wrap(self, owner: Any, name: str, wrapper) -> None:
        original = getattr(owner, name)
        setattr(owner, name, wrapper(original))
        self._undo.append(lambda: setattr(owner, name, original))

    # --- the first step ---------------------------------------------------------------------

    def _before_step(self, optimizer: torch.optim.Optimizer, _args, _kwargs) -> None:
        if self.steps:
            return
        parameters = trained_parameters(self.backbone)
        check_optimizer(parameters, optimizer, frozen=False)
        check_gradients(parameters)
        self._before = fingerprint(parameters)

    def _after_step(self, optimizer: torch.optim.Optimizer, _args, _kwargs) -> None:
        self.steps += 1
        if self.steps > 1:
            return
        parameters = trained_parameters(self.backbone)
        after = fingerprint(parameters)
        check_change(self._before, after, frozen=False, target=_NAME)
        self.first_step = {
            "optimizer": type(optimizer).__name__,
            "parameter_groups": len(optimizer.param_groups),
            "backbone_parameters": len(parameters),
            "backbone_parameters_in_optimizer": len(parameters),
            "backbone_parameters_with_gradient": len(parameters),
            "before": self._before,
            "after": after,
        }

    # --- snapshots --------------------------------------------------------------------------

    def _saving(self, save):
        def watched(content, file, *args, **kwargs):
            if isinstance(content, Mapping) and isinstance(content.get("network"), Mapping):
                prefix = require_tensors(content["network"], own_tensors(self.backbone), "snapshot")
                entry = {"file": str(file), "epoch": content.get("epoch"), "prefix": prefix}
                self.saved.append(entry)
            return save(content, file, *args, **kwargs)

        return watched

    def _loading(self, load):
        watch = self

        def watched(module: nn.Module, state_dict: Mapping[str, Tensor], *args, **kwargs):
            report = load(module, state_dict, *args, **kwargs)
            inside = any(part is watch.backbone for part in module.modules())
            if inside and module is not watch.backbone:
                prefix = require_tensors(state_dict, own_tensors(watch.backbone), "loaded snapshot")
                watch.loaded.append({"prefix": prefix, "tensors": len(own_tensors(watch.backbone))})
            return report

        return watched


def check_gradients(parameters: Mapping[str, nn.Parameter]) -> None:
    """Check that every parameter has a finite gradient.

    Raises:
        SwapError: Names those that have none, or one that is not finite.
    """
    without = [name for name, p in parameters.items() if p.grad is None]
    if without:
        raise SwapError(
            f"{len(without)} of {len(parameters)} backbone parameters got no gradient in the "
            f"checkout's first step: {_shown(without)}. It does not read them, or detaches them."
        )
    broken = [name for name, p in parameters.items() if not torch.isfinite(p.grad).all()]
    if broken:
        raise SwapError(
            f"the gradient of {len(broken)} of {len(parameters)} backbone parameters is not finite "
            f"in the checkout's first step: {_shown(broken)}"
        )


def require_tensors(network: Mapping[str, Tensor], own: Mapping[str, Tensor], what: str) -> str:
    """Check that a snapshot's `network` holds the backbone as it is in memory, bit for bit.

    Args:
        network: Tensors by name.
        own: Those of the backbone, by the end of their name.
        what: For the message.

    Returns:
        What stands before the backbone's names.

    Raises:
        SwapError: A tensor is missing or differs.
    """
    prefix = _prefix_of(network, own)
    missing = [name for name in own if prefix + name not in network]
    if missing:
        raise SwapError(
            f"{len(missing)} of {len(own)} tensors of the backbone are not in the {what}: "
            f"{_shown(missing)}; it has {_shown(list(network))}. Upstream loads without looking "
            "at names, so they would be at random afterwards. Was it written with another "
            "backbone, or without the backbone swapped in?"
        )
    other = [n for n, value in own.items() if not _same(value, network[prefix + n])]
    if other:
        raise SwapError(
            f"{len(other)} of {len(own)} tensors of the backbone in the {what} differ from those "
            f"in memory: {_shown(other)}"
        )
    return prefix


def _prefix_of(network: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What stands before most of the backbone's names."""
    first = next(iter(own))
    prefixes = [n[: -len(first)] for n in network if n == first or n.endswith(f".{first}")]
    return max(prefixes, key=lambda p: sum(p + n in network for n in own), default="module.")


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.detach().cpu(), other.detach().cpu())


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
