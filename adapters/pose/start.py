"""What a pose run starts from: a stored, published or random backbone, or a stored pose network."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from adapters.pose.checkpoint import HandRecord, find_pose_model, load_pose_model, read_pose_card
from adapters.pose.hand_models import HandModelSource
from adapters.swap.ledger import SwapLedger
from adapters.targets import PoseTarget, backbone_of, find_pose_target
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.names import first_few
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.ledger import WeightLedger, compare_tensors
from gesture_pretrain.weights.record import TaxonomyRecord
from gesture_pretrain.weights.registry import find_backbone, load_network
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

DEFAULT_SIZE_PX = 256
# Arguments of `build_model` that do not change its tensors
_FREE = {"weights", "frame", "allow_projection", "seed"}


class StartingPoint(NamedTuple):
    """Network that a target is built around.

    Attributes:
        network: The backbone, with its gesture heads if it has any.
        name: Source of its weights, for the ledger.
        frozen: Whether it is kept unchanged, or the last level that is.
        head_classes: Classes that its gesture heads were trained on; None without heads
            or if they are random.
        target_state: Every tensor of the stored pose network that the run continues; None
            if the target's own weights are random.
    """

    network: Backbone | GestureNetwork
    name: str
    frozen: bool | str
    head_classes: TaxonomyRecord | None = None
    target_state: Mapping[str, Tensor] | None = None


def build_starting_point(
    *,
    taxonomy: Taxonomy,
    gesture_logits: bool,
    seed: int,
    name: str | None = None,
    arch: str | None = None,
    init: str | Path = "random",
    size_px: PositiveInt | None = None,
    heads: Mapping | None = None,
    frozen: bool | str = False,
) -> StartingPoint:
    """Load a backbone by name, or build one by architecture.

    Args:
        taxonomy: Taxonomy of the data; sets the number of classes of random heads.
        gesture_logits: The target reads gesture logits, so there must be heads.
        seed: Random seed of random weights.
        name: `arch.tag` in the registry, or a path of exported weights, loaded with heads.
        arch: Architecture, if no name is given.
        init: "random", "imagenet", "timm", a file of weights, or exported weights without
            their heads, see `build_starting_backbone`.
        size_px: Side of the crops; None for that of the stored weights, else 256.
        heads: Hidden units and dropout of random heads, if the model reads gesture logits and
            the weights have none; {} for the defaults.
        frozen: Keep weights and statistics as they are: True for the whole backbone, or the name of
            a level, such as "stride8", for the layers up to it.

    Raises:
        ValueError: Neither or both of name and arch, or keys that do not fit.
        UnknownBackbone: No weights of that name.
    """
    _check_choice(name, arch, init)
    if name is not None:
        network, source = _stored(name, size_px), name
        _check_heads(network, name, heads, gesture_logits)
        classes = find_backbone(name).record.taxonomy
    else:
        classes = None
        size_px = size_px or DEFAULT_SIZE_PX
        network = build_starting_backbone(arch, init=init, size_px=size_px, seed=seed)
        source = f"{arch} ({init})"
    if gesture_logits and isinstance(network, Backbone):
        network = GestureNetwork(network, _random_heads(network, taxonomy, seed, heads or {}))
    return StartingPoint(network, source, frozen, classes)


def crop_size_px(
    *, pose_network: str | None, name: str | None = None, size_px: int | None = None, **_
) -> int:
    """Return the crop side of a backbone section, without reading tensors.

    Args:
        pose_network: Stored pose network that the run starts from, or None.
        name, size_px: See `build_starting_point`.
    """
    if size_px is not None:
        return size_px
    if pose_network is not None:
        return read_pose_card(find_pose_model(pose_network)).size_px
    return DEFAULT_SIZE_PX if name is None else find_backbone(name).record.input.size_px


def check_backbone_of_init(*, arch: str | None = None, init: str = "random", **others) -> None:
    """Raise ValueError unless a backbone section goes with a stored pose network to start from.

    Args:
        arch, init, **others: The section, see `build_starting_point`.
    """
    weights = {"init": init} if init != "random" else {}
    weights |= {key: others[key] for key in ("name", "heads") if others.get(key) is not None}
    faults = ["arch is missing"] if arch is None else []
    faults += [f"{key}={value!r} must be removed" for key, value in weights.items()]
    if faults:
        raise ValueError(
            "init names a stored pose network, which brings the weights of its backbone. In "
            f"section backbone, {', '.join(faults)}. The option --init does both."
        )


def _check_choice(name, arch, init) -> None:
    if (name is None) == (arch is None):
        raise ValueError(
            f"backbone.name is {name!r} and backbone.arch is {arch!r}; give one of them: a name of "
            "the registry, or an architecture to start from"
        )
    if name is not None and init != "random":
        raise ValueError(
            f"backbone.name={name!r} brings its own weights; backbone.init goes with backbone.arch"
        )


def _check_heads(network, name: str, heads: Mapping | None, gesture_logits: bool) -> None:
    if isinstance(network, GestureNetwork) and heads is not None:
        raise ValueError(
            f"{name} brings its own gesture heads; backbone.heads describes random ones. Leave it "
            "out."
        )
    if isinstance(network, Backbone) and gesture_logits and heads is None:
        raise ValueError(
            f"The model reads gesture logits, but {name} has no gesture heads. Choose weights with "
            "heads or a model without guidance; or ask for random heads with backbone.heads={}."
        )


def _stored(name: str, size_px: int | None) -> Backbone | GestureNetwork:
    network = load_network(name)
    resize(backbone_of(network), size_px, name=name)
    return network


def resize(backbone: Backbone, size_px: int | None, *, name: str) -> None:
    """Set the side of the crops of stored weights.

    Args:
        backbone: The backbone, changed in place.
        size_px: The side; None keeps it.
        name: Name of the weights, for the message.

    Raises:
        ValueError: The backbone does not take this size.
    """
    spec = backbone.input_spec
    if size_px is not None and size_px != spec.size_px:
        if spec.fixed_size or size_px % spec.multiple_of:
            raise ValueError(
                f"{name} takes crops of "
                + (f"{spec.size_px} px only" if spec.fixed_size else f"{spec.multiple_of} px steps")
                + f", not backbone.size_px={size_px}"
            )
        backbone.input_spec = spec._replace(size_px=size_px)


def _random_heads(backbone: Backbone, taxonomy: Taxonomy, seed: int, heads: Mapping) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_gesture_heads(
            backbone.pooled_channels,
            num_coarse=taxonomy.num_coarse,
            num_fine=taxonomy.num_fine,
            **heads,
        )


def starting_point_of(
    source: str,
    *,
    target: PoseTarget,
    options: Mapping[str, Any],
    hand_source: HandModelSource,
    arch: str,
    size_px: int | None = None,
    frozen: bool | str = False,
    **_unset,
) -> StartingPoint:
    """Load a stored network, to continue its training.

    The backbone section has no other keys, see `check_backbone_of_init`.

    Args:
        source: Name of a released network, or folder of a stored one.
        target: The target of the run.
        options: Options of `target.build_model`.
        hand_source: Hand model of the run.
        arch: Architecture of the backbone.
        size_px: Side of the crops; None for that of the stored network.
        frozen: See `build_starting_point`.

    Raises:
        ValueError: Target, options, hand model or architecture are not those of the network.
        FileNotFoundError, WeightsError: See `load_pose_model`.
    """
    stored = load_pose_model(source, hand_model=hand_source.path)
    card = stored.card
    _require_equal(
        _facts(target, arch, hand_source, options),
        _facts(find_pose_target(card.target), card.arch, card.hand, card.options),
        source,
    )
    backbone = backbone_of(stored.network)
    resize(backbone, card.size_px if size_px is None else size_px, name=source)
    return StartingPoint(
        stored.network, source, frozen, card.head_classes, stored.model.state_dict()
    )


def _facts(
    target: PoseTarget, arch: str, hand: HandModelSource | HandRecord, options: Mapping
) -> dict[str, Any]:
    """Return what two networks must have in common, by config key."""
    parameters = inspect.signature(target.build_model).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    options = {**defaults, **options}
    return {
        "target": target.name,
        "backbone.arch": arch,
        "hand_model.path": "open" if hand.path == "open" else "MANO",  # which is checked by hash
        "hand_model.tip_convention": hand.tip_convention,
        **{f"model.{key}": value for key, value in options.items() if key not in _FREE},
    }


def _require_equal(run: Mapping[str, Any], stored: Mapping[str, Any], source: str) -> None:
    different = [key for key in sorted({*run, *stored}) if run.get(key) != stored.get(key)]
    if different:
        listed = ", ".join(
            f"{key}={run.get(key, 'default')!r} instead of {stored.get(key, 'default')!r}"
            for key in different
        )
        raise ValueError(
            f"The run cannot start from {source}, because the networks differ: {listed}. Change "
            "the config, or start from a backbone only."
        )


def load_target_state(model: nn.Module, ledger: SwapLedger, start: StartingPoint) -> SwapLedger:
    """Load every tensor of the stored network into the target built around its backbone.

    Args:
        model: The target, changed in place.
        ledger: Ledger of the swap of the backbone.
        start: Result of `starting_point_of`.

    Returns:
        The ledger, in which the target's own tensors are matched.

    Raises:
        ValueError: Tensors have other shapes, because the target depends on the side of the crops.
    """
    arrived = compare_tensors(model.state_dict(), start.target_state)
    if reshaped := arrived.names("wrong_shape"):
        raise ValueError(
            f"At this crop size, {ledger.target} has tensors of other shapes than {start.name}: "
            f"{first_few(reshaped)}. Use the backbone.size_px of that network."
        )
    model.load_state_dict(start.target_state, strict=True)
    names = {entry.name for entry in ledger.own.entries}
    own = tuple(entry for entry in arrived.entries if entry.name in names)
    return replace(ledger, own=WeightLedger(own, source=start.name))
