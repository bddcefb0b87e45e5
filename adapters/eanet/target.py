"""EANet as a target: building it around a backbone, its dataset and its sizes."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch.utils.data import Dataset

from adapters.eanet.backbone_map import (
    GESTURE_LOGITS,
    INPUTS,
    BackboneMap,
    CarriedHeads,
    carried_heads,
)
from adapters.eanet.dataset import STRIDE, EanetDataset
from adapters.eanet.encoder_file import export_encoder
from adapters.eanet.mano import mano_hands
from adapters.eanet.model import CELL_ORIGINS, EanetModel
from adapters.eanet.objective import REDUCTIONS
from adapters.swap.projection import fit_backbone
from adapters.targets import BackboneNeeds, PoseTarget, backbone_of
from eanet.initialise import initialise_for_training
from eanet.network import EANet
from eanet.quirks import Quirks, find_quirks
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHeads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.names import require_choice

CHANNELS = 2048
# options that are chosen by a name
_NAMED = {
    "reduction": REDUCTIONS,
    "cell_origin": tuple(CELL_ORIGINS),
    "input_normalisation": tuple(INPUTS),
}

PRESETS = {
    "full": {},
    "upstream": {"quirks": "upstream", "reduction": "mean", "input_normalisation": "unit"},
    # For training on a CPU. With a grid of three or four cells, the published origin of the cells
    # would put a third or a quarter of the crop out of the network's reach
    "tiny": {
        "backbone_channels": None,
        "grid": None,
        "width": 96,
        "depth": 1,
        "mlp_ratio": 2,
        "fusion_heads": 4,
        "cell_origin": "centre",
    },
}


def build_eanet(
    network: Backbone | GestureNetwork,
    *,
    seed: int = 0,
    hand_models: Mapping[str, HandModel],
    allow_projection: bool = False,
    backbone_channels: int | None = CHANNELS,
    grid: int | None = 8,
    width: int = 512,
    num_heads: int = 4,
    depth: int = 4,
    mlp_ratio: int = 4,
    gesture_logits: str = "none",
    fusion_heads: int = 8,
    quirks: str | Quirks = "correct",
    reduction: str = "valid",
    cell_origin: str = "edge",
    input_normalisation: str = "backbone",
) -> EanetModel:
    """Build the model around a backbone, which is not copied.

    Args:
        network: The backbone; a `GestureNetwork` with heads for `gesture_logits="logits"`.
        seed: Random seed of the initial weights, drawn as upstream does before training.
        hand_models: "right" and "left", with poses relative to the mean pose.
        allow_projection: Bring another number of channels to `backbone_channels` by a 1x1
            convolution, `network.backbone.backbone_projection`; another experiment.
        backbone_channels: Channels of the map that EANet reads; None for the backbone's.
        grid: Cells of the heat map; the crops have 32 times as many pixels. None: by the crops
            that the backbone is meant for.
        width, num_heads, depth, mlp_ratio: See `eanet.EANet`.
        gesture_logits: "none", or "logits": fuse the gesture logits with the joint features.
        fusion_heads: Heads of that fusion.
        quirks: "correct", "upstream", or `eanet.Quirks`.
        reduction: "valid" or "mean", see `objective.weighted_losses`.
        cell_origin: "edge" or "centre", see `EanetModel`.
        input_normalisation: "backbone" or "unit", see `BackboneMap`.

    Raises:
        SwapError: The backbone's channels, stride or size do not fit, it has no gesture heads
            although they are read, or a projection would separate it from its heads.
        ValueError: Invalid value.
    """
    backbone = backbone_of(network)
    needs = eanet_needs(
        backbone_channels=backbone_channels, grid=grid, gesture_logits=gesture_logits
    )
    through = fit_backbone(
        backbone, needs, target="eanet", allow_projection=allow_projection, seed=seed
    )
    heads = carried_heads(network, gesture_logits, through)
    cells = backbone.input_spec.size_px // STRIDE if grid is None else grid
    built = _fresh_eanet(
        BackboneMap(backbone, through, input_normalisation=input_normalisation),
        heads,
        seed=seed,
        backbone_channels=backbone_channels or backbone.pooled_channels,
        grid=cells,
        width=width,
        num_heads=num_heads,
        depth=depth,
        mlp_ratio=mlp_ratio,
        gesture_fusion=gesture_logits,
        fusion_heads=fusion_heads,
        quirks=find_quirks(quirks) if isinstance(quirks, str) else quirks,
    )
    return EanetModel(
        built, mano_hands(hand_models), grid=cells, reduction=reduction, cell_origin=cell_origin
    )


def eanet_needs(
    *,
    backbone_channels: int | None = CHANNELS,
    grid: int | None = 8,
    gesture_logits: str = "none",
    **options,
) -> BackboneNeeds:
    """Require one map at stride 32, and crops of the size that position embeddings fix.

    Raises:
        ValueError: Unknown choice of an option.
    """
    require_choice("gesture_logits", gesture_logits, GESTURE_LOGITS)
    for name, choices in _NAMED.items():
        require_choice(name, options.get(name, choices[0]), choices)
    if isinstance(options.get("quirks"), str):
        find_quirks(options["quirks"])
    return BackboneNeeds(
        channels=backbone_channels,
        stride=STRIDE,
        input_px=None if grid is None else STRIDE * grid,
        gesture_logits=gesture_logits == "logits",
    )


def build_eanet_dataset(
    index, rows, taxonomy, size_px: int, *, hand_models: Mapping[str, HandModel], **options
) -> EanetDataset:
    """Build EANet's dataset; `options` are those of `EanetDataset`.

    Raises:
        ValueError, DataError: See `EanetDataset`.
    """
    return EanetDataset(index, rows, taxonomy, size_px, mano=mano_hands(hand_models), **options)


def eanet_dataset_with(*, quirks: str | Quirks = "correct", **_options) -> Callable[..., Dataset]:
    """Return `build_eanet_dataset` with the quirks of the model, for training."""
    chosen = find_quirks(quirks) if isinstance(quirks, str) else quirks
    return partial(build_eanet_dataset, quirks=chosen)


def _fresh_eanet(slot: BackboneMap, heads: GestureHeads | None, *, seed: int, **sizes) -> EANet:
    counts = {}
    if heads is not None:
        counts = {"num_main": heads.coarse.num_classes, "num_sub": heads.fine.num_classes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = EANet(slot, **counts, **sizes)
        initialise_for_training(network)
    if heads is not None:
        network.gesture_heads = CarriedHeads(heads)
    return network


class EanetTarget(PoseTarget):
    """EANet around any backbone."""

    name = "eanet"
    summary = "EANet: both hands by joint tokens, 2.5D heat maps, MANO parameters"
    presets = PRESETS
    build_model = staticmethod(build_eanet)
    build_dataset = staticmethod(build_eanet_dataset)
    needs_for = staticmethod(eanet_needs)
    dataset_for = staticmethod(eanet_dataset_with)
    export = staticmethod(export_encoder)


TARGET = EanetTarget()
