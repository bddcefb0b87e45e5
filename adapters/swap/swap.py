"""Swap of a backbone into a target, with every tensor accounted for."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from adapters.swap.ledger import SwapLedger
from adapters.swap.projection import find_projections
from adapters.targets import PoseTarget, SwapError, backbone_of
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.frozen_layers import freeze
from gesture_pretrain.models.gesture_heads import GestureHead
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.weights.ledger import (
    LedgerEntry,
    WeightLedger,
    compare_tensors,
    fingerprint,
)


def build_swapped(
    target: PoseTarget,
    network: Backbone | GestureNetwork,
    *,
    backbone_name: str,
    seed: int,
    hand_models: Mapping[str, Any],
    allow_projection: bool = False,
    frozen_backbone: bool | str = False,
    **options,
) -> tuple[nn.Module, SwapLedger]:
    """Build a target around a backbone, and account for every tensor.

    Args:
        target: The target.
        network: The backbone, alone or with its gesture heads.
        backbone_name: Source of the backbone, for the ledger.
        seed: Random seed of the target's weights.
        hand_models: Hand model by side, "right" and "left".
        allow_projection: Allow a 1x1 projection behind the backbone.
        frozen_backbone: Freeze the backbone (True) or its layers up to the level of this name, see
            `freeze`.
        **options: Options of the target.

    Returns:
        The model and its ledger.

    Raises:
        SwapError: The two are incompatible, or a tensor is not accounted for.
    """
    given = {name: value.clone() for name, value in _given_state(network).items()}
    model = target.build_model(
        network,
        seed=seed,
        hand_models=hand_models,
        allow_projection=allow_projection,
        **options,
    )
    _require_backbone(model, target.name)
    freeze(model.backbone, frozen_backbone)
    projections = find_projections(model)
    if projections and not allow_projection:
        raise SwapError(
            f"{target.name} put a projection behind the backbone "
            f"({', '.join(projections.values())}), but none was allowed."
        )
    arrived = _arrived_state(model, with_heads=_parts(given) != {"net"})
    used = {name: value for name, value in given.items() if _part(name) in _parts(arrived)}
    dropped = {name: value for name, value in given.items() if name not in used}
    ledger = SwapLedger(
        target=target.name,
        backbone_name=backbone_name,
        backbone=compare_tensors(arrived, used, dropped=dropped, source=backbone_name),
        own=_own_tensors(model, arrived, projections),
        changed=tuple(n for n in arrived if n in used and not _same(arrived[n], used[n])),
        projections=projections,
        frozen_backbone=frozen_backbone,
        before_swap=fingerprint(_trunk(given)),
        after_swap=fingerprint(_trunk(arrived)),
    )
    ledger.require_complete()
    return model, ledger


def _require_backbone(model: nn.Module, target: str) -> None:
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, Backbone):
        raise SwapError(
            f"The model that {target} built has no Backbone as attribute 'backbone', but "
            f"{type(backbone).__name__}. Without it, nothing shows that the weights arrived."
        )


def _given_state(network: Backbone | GestureNetwork) -> dict[str, Tensor]:
    """Return the tensors to swap: `net.` of the backbone, `heads.` of the gesture heads."""
    state = {f"net.{n}": v for n, v in backbone_of(network).net.state_dict().items()}
    if isinstance(network, GestureNetwork):
        state |= {f"heads.{n}": v for n, v in network.heads.state_dict().items()}
    return state


def _arrived_state(model: nn.Module, *, with_heads: bool) -> dict[str, Tensor]:
    """Return the same tensors of a built model, which may keep only one of the two heads."""
    state = {f"net.{n}": v for n, v in model.backbone.net.state_dict(keep_vars=True).items()}
    for path, head in model.named_modules():
        if with_heads and isinstance(head, GestureHead):
            level = path.rpartition(".")[2]
            tensors = head.state_dict(keep_vars=True)
            state |= {f"heads.{level}.{name}": value for name, value in tensors.items()}
    return state


def _own_tensors(
    model: nn.Module, arrived: Mapping[str, Tensor], projections: Mapping[str, str]
) -> WeightLedger:
    """Return the model's other tensors, whatever names the arrived ones have in it."""
    seen = {id(value) for value in arrived.values()}
    return WeightLedger(
        tuple(
            LedgerEntry(name, "fresh", value.numel(), _why_fresh(name, projections))
            for name, value in model.state_dict(keep_vars=True).items()
            if id(value) not in seen
        )
    )


def _why_fresh(name: str, projections: Mapping[str, str]) -> str:
    if any(name.startswith(f"{module}.") for module in projections):
        return "declared 1x1 projection"
    return "the target's own"


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether tensors are equal bit for bit: NaN equals itself, and 0 is not -0."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    pair = (t.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for t in (one, other))
    return torch.equal(*pair)


def _trunk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if _part(name) == "net"}


def _part(name: str) -> str:
    """Return the part of a tensor: "net", "heads.coarse" or "heads.fine"."""
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first == "heads" else first


def _parts(state: Mapping[str, Tensor]) -> set[str]:
    return {_part(name) for name in state}
