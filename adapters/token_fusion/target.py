"""Token fusion as a target: building it around a backbone, its dataset and its sizes."""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from adapters.targets import BackboneNeeds, PoseTarget, backbone_of
from adapters.token_fusion.estimator import TokenFusionNetwork
from adapters.token_fusion.guidance import guidance_levels
from adapters.token_fusion.model import TokenFusionModel
from adapters.token_fusion.objective import Weights
from gesture_pretrain.config.sections import check_section
from gesture_pretrain.data.samples.pose_dataset import PoseDataset, PoseFrame
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHeads, build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.schema import validated

PRESETS = {
    "full": {},
    "tiny": {
        "channels": 32,
        "cells": 8,
        "depth_cells": 8,
        "width": 64,
        "encoder_layers": 1,
        "fusion_layers": 2,
        "num_heads": 4,
        "head_hidden": 128,
    },
}


def build_token_fusion(
    network: Backbone | GestureNetwork,
    *,
    seed: int = 0,
    hand_models: Mapping[str, HandModel],
    allow_projection: bool = False,
    guidance: str = "both",
    num_coarse: int = 54,
    num_fine: int = 70,
    weights: Mapping | None = None,
    frame: PoseFrame = "camera",
    **sizes,
) -> TokenFusionModel:
    """Build the model around a backbone, which is not copied.

    Args:
        network: A `GestureNetwork` keeps its gesture heads; for a `Backbone` new ones are
            made if they guide.
        seed: Random seed of the initial weights.
        hand_models: The "right" one is used.
        allow_projection: Ignored: projecting both levels is part of the method.
        guidance: "none", "coarse", "fine" or "both".
        num_coarse, num_fine: Classes of fresh heads; those of InterHand2.6M's taxonomy by default.
        weights: Fields of `objective.Weights` that differ from the defaults.
        frame: Frame of the poses, see `PoseDataset`: "camera", as in the paper, or "view".
        **sizes: Further arguments of `TokenFusionNetwork`.

    Raises:
        ValueError: Unknown option, invalid value, or no right hand.
        TypeError: `network` is neither a `Backbone` nor a `GestureNetwork`.
    """
    backbone = backbone_of(network)
    chosen = _checked(weights, sizes)
    if "right" not in hand_models:
        raise ValueError("hand_models needs 'right'; load_hand_model('right') gives it")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = _gesture_heads(network, guidance, num_coarse, num_fine)
        built = TokenFusionNetwork(backbone, heads, guidance=guidance, **sizes)
    return TokenFusionModel(
        built,
        hand_models["right"],
        weights=chosen,
    )


def build_token_fusion_dataset(index, rows, taxonomy, size_px: int, **options) -> PoseDataset:
    """Build a dataset of right hands, mirroring left ones; `options` are those of `PoseDataset`."""
    return PoseDataset(index, rows, taxonomy, size_px, mirror_left=True, **options)


def token_fusion_needs(
    *,
    guidance: str = "both",
    num_coarse: int = 54,
    num_fine: int = 70,
    weights: Mapping | None = None,
    frame: PoseFrame = "camera",
    **sizes,
) -> BackboneNeeds:
    """Require two levels of any width, and gesture logits if they guide.

    Raises:
        ValueError: Unknown option, or invalid guidance or weight.
    """
    _checked(weights, sizes)
    return BackboneNeeds(levels=("high", "low"), gesture_logits=bool(guidance_levels(guidance)))


def _checked(weights: Mapping | None, sizes: Mapping) -> Weights:
    """Check the options, and return the weights of the losses."""
    check_section("model", TokenFusionNetwork, sizes, ("backbone", "gesture_heads", "guidance"))
    return validated(Weights, weights or {}, place=("model", "weights"))


def _gesture_heads(
    network: Backbone | GestureNetwork, guidance: str, num_coarse: int, num_fine: int
) -> GestureHeads | None:
    if not guidance_levels(guidance):
        return None
    if isinstance(network, GestureNetwork):
        return network.heads
    return build_gesture_heads(network.pooled_channels, num_coarse=num_coarse, num_fine=num_fine)


class TokenFusionTarget(PoseTarget):
    """Token fusion around any backbone."""

    name = "token_fusion"
    summary = "Gesture-guided token fusion: per-joint tokens, a Transformer, MANO parameters"
    presets = PRESETS
    build_model = staticmethod(build_token_fusion)
    build_dataset = staticmethod(build_token_fusion_dataset)
    needs_for = staticmethod(token_fusion_needs)

    def dataset_for(self, *, frame: PoseFrame = "camera", **_options) -> Callable[..., PoseDataset]:
        """Return `build_dataset` with poses in the frame of the network."""
        return partial(self.build_dataset, frame=frame)


TARGET = TokenFusionTarget()
