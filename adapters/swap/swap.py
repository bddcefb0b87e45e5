"""Swap of a backbone into a target, with every tensor accounted for."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from adapters.swap.ledger import SwapLedger
from adapters.swap.projection import ChannelProjection, find_projections
from adapters.targets import PoseTarget, SwapError, backbone_of
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHead
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.tables import text_table
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
    frozen_backbone: bool = False,
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
        frozen_backbone: Keep the backbone unchanged in training; its parameters then require no
            gradient.
        **options: Options of the target.

    Returns:
        The model and its ledger.

    Raises:
        SwapError: The two are incompatible, or a tensor is not accounted for.
    """
    given = {name: value.clone() for name, value in network_state(network).items()}
    model = target.build_model(
        network,
        seed=seed,
        hand_models=hand_models,
        allow_projection=allow_projection,
        **options,
    )
    if frozen_backbone:
        model.backbone.requires_grad_(False)
    ledger = swap_ledger(
        model,
        given,
        target=target.name,
        backbone_name=backbone_name,
        frozen_backbone=frozen_backbone,
        allow_projection=allow_projection,
    )
    ledger.require_complete()
    return model, ledger


def swap_ledger(
    model: nn.Module,
    given: Mapping[str, Tensor],
    *,
    target: str,
    backbone_name: str,
    frozen_backbone: bool = False,
    allow_projection: bool = False,
) -> SwapLedger:
    """Account for every tensor of a built model, without raising for undeclared ones.

    Args:
        model: Model with a `backbone`. If it also has `target_ledger`, the `WeightLedger` of a
            checkpoint of the target, the tensors matched there are not fresh.
        given: `network_state` of the network before the swap, as a copy.
        target: Name of the target.
        backbone_name: Source of the backbone.
        frozen_backbone: See `SwapLedger`.
        allow_projection: A projection in the model is declared.

    Raises:
        SwapError: The model has no `Backbone`, or a projection that is not allowed.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, Backbone):
        raise SwapError(
            f"the model that {target} built has no attribute 'backbone' with a Backbone, but "
            f"{type(backbone).__name__}; then nothing shows that the weights arrived"
        )
    projections = find_projections(model)
    if projections and not allow_projection:
        raise SwapError(
            f"{target} put a projection behind the backbone ({', '.join(projections.values())}) "
            "though none was allowed"
        )
    arrived = carried_state(model, with_heads=_parts(given) != {"net"})
    used = {name: value for name, value in given.items() if _part(name) in _parts(arrived)}
    left_out = {name: value for name, value in given.items() if name not in used}
    trunk = {name: value for name, value in given.items() if _part(name) == "net"}
    return SwapLedger(
        target=target,
        backbone_name=backbone_name,
        backbone=compare_tensors(arrived, used, dropped=left_out, source=backbone_name),
        own=_own_tensors(model, arrived),
        changed=tuple(n for n in arrived if n in used and not _same(arrived[n], used[n])),
        projections=projections,
        frozen_backbone=frozen_backbone,
        before_swap=fingerprint(trunk),
        after_swap=fingerprint({f"net.{n}": v for n, v in backbone.net.state_dict().items()}),
    )


def network_state(network: Backbone | GestureNetwork) -> dict[str, Tensor]:
    """Return the tensors of a swap: `net.` of the backbone, `heads.` of the gesture heads."""
    state = {f"net.{n}": v for n, v in backbone_of(network).net.state_dict().items()}
    if isinstance(network, GestureNetwork):
        state |= {f"heads.{n}": v for n, v in network.heads.state_dict().items()}
    return state


def carried_state(model: nn.Module, *, with_heads: bool) -> dict[str, Tensor]:
    """Return `network_state` of a model's backbone and gesture heads.

    Args:
        model: Model with a `backbone`. It may keep only one of the two heads.
        with_heads: Whether heads were given; otherwise those in the model are its own.
    """
    state = {f"net.{n}": v for n, v in model.backbone.net.state_dict(keep_vars=True).items()}
    for path, head in model.named_modules():
        if with_heads and isinstance(head, GestureHead):
            carried = head.state_dict(keep_vars=True)
            level = path.rpartition(".")[2]
            state |= {f"heads.{level}.{name}": value for name, value in carried.items()}
    return state


def parameter_table(model: nn.Module, ledger: SwapLedger) -> str:
    """Format a table of total and trainable parameters of each part of a swapped model."""
    parts = {id(p): "backbone" for p in model.backbone.parameters()}
    if ledger.carries_heads:
        heads = (module for module in model.modules() if isinstance(module, GestureHead))
        parts |= {id(p): "heads" for head in heads for p in head.parameters()}
    for name in ledger.projections:
        parts |= {id(p): "projection" for p in model.get_submodule(name).parameters()}
    counts: dict[str, list[int]] = {}
    for parameter in model.parameters():
        row = counts.setdefault(parts.get(id(parameter), "target"), [0, 0])
        row[0] += parameter.numel()
        row[1] += parameter.numel() * parameter.requires_grad
    counts["all"] = [sum(row[i] for row in counts.values()) for i in (0, 1)]
    rows = [(part, f"{total:,}", f"{some:,}") for part, (total, some) in counts.items()]
    return text_table(("parameters", "all", "trained"), rows)


def _own_tensors(model: nn.Module, carried: Mapping[str, Tensor]) -> WeightLedger:
    """Return the model's other tensors, whatever the carried ones are called in it."""
    arrived = {id(value) for value in carried.values()}
    own = {
        name: value
        for name, value in model.state_dict(keep_vars=True).items()
        if id(value) not in arrived
    }
    from_checkpoint: WeightLedger | None = getattr(model, "target_ledger", None)
    loaded = set() if from_checkpoint is None else set(from_checkpoint.matched)
    projected = {
        f"{name}."
        for name, module in model.named_modules()
        if isinstance(module, ChannelProjection)
    }
    entries = tuple(
        LedgerEntry(name, "matched", value.numel())
        if name in loaded
        else LedgerEntry(name, "fresh", value.numel(), _why(name, projected))
        for name, value in own.items()
    )
    return WeightLedger(entries, source="" if from_checkpoint is None else from_checkpoint.source)


def _why(name: str, projected: set[str]) -> str:
    if any(name.startswith(prefix) for prefix in projected):
        return "declared 1x1 projection"
    return "the target's own"


def _same(one: Tensor, other: Tensor) -> bool:
    """Return whether tensors are equal bit for bit: NaN equals itself, and 0 is not -0."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    pair = (t.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for t in (one, other))
    return torch.equal(*pair)


def _part(name: str) -> str:
    """Return the part of a tensor: "net", "heads.coarse" or "heads.fine"."""
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first == "heads" else first


def _parts(state: Mapping[str, Tensor]) -> set[str]:
    return {_part(name) for name in state}
