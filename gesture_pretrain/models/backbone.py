"""A backbone: any timm model, or one of ours, as named feature maps and a pooled feature.

Letters: B batch, C channels, H and W image height and width. Whoever builds on a backbone asks its
`feature_specs` for channels and strides.
"""

import difflib
from typing import NamedTuple

import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from gesture_pretrain.models.architectures import ARCHS, is_architecture, timm_options
from gesture_pretrain.models.feature_levels import FeatureSpec, feature_levels, global_average
from gesture_pretrain.models.unused_head import remove_unused_head


class InputSpec(NamedTuple):
    """What a backbone wants as input.

    Attributes:
        size_px: Side of the square crop it is meant for.
        mean: Per RGB channel, of values in 0..1.
        std: Per RGB channel, of values in 0..1.
        multiple_of: Height and width must be multiples of this.
        fixed_size: Only `size_px` will do (position embeddings of that size).
    """

    size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    multiple_of: int
    fixed_size: bool = False


class BackboneFeatures(NamedTuple):
    """What a backbone gives for `(B, 3, H, W)`.

    Attributes:
        levels: Maps by name, `(B, channels, H / stride, W / stride)` by `feature_specs`.
        pooled: `(B, C)`, the average of the `high` level over its positions.
    """

    levels: dict[str, Tensor]
    pooled: Tensor


class Backbone(nn.Module):
    """A network whose maps have names.

    Args:
        net: timm model without classifier, or a network with `forward_levels` and `feature_specs`.
        arch: Its name.
        input_spec: What it wants as input.

    Attributes:
        net: The network; its state dict has timm's own names.
        feature_specs: Channels and stride of each level.
        low: Name of the higher-resolution level, F_lo (stride 16).
        high: Name of the semantic level, F_hi: what timm's `forward_features` returns.
        removed_modules: Modules of timm's head that were taken out, beside the classifier.
        ledger: The `WeightLedger` of the initial weights; None after random initialisation.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        arch: str,
        input_spec: InputSpec,
        removed_modules: tuple[str, ...] = (),
    ):
        super().__init__()
        self.net = net
        self.arch = arch
        self.input_spec = input_spec
        self.removed_modules = removed_modules
        self.ledger = None
        self._levels = feature_levels(net)

    @property
    def feature_specs(self) -> dict[str, FeatureSpec]:
        """Channels and stride of every map by its name, shallow first."""
        return dict(self._levels.specs)

    @property
    def low(self) -> str:
        """Name of F_lo, the map at stride 16, where place matters; a key of `feature_specs`."""
        return self._levels.low

    @property
    def high(self) -> str:
        """Name of F_hi, the last map, which is pooled; a key of `feature_specs`."""
        return self._levels.high

    @property
    def pooled_channels(self) -> int:
        """C of the pooled feature."""
        return self._levels.specs[self.high].channels

    def forward(self, image_normalised: Tensor) -> BackboneFeatures:
        """Features of a batch of crops.

        Args:
            image_normalised: `(B, 3, H, W)`, RGB, `(value in 0..1 - mean) / std` by `input_spec`.

        Raises:
            ValueError: The shape is not one the network takes.
        """
        self._check_shape(image_normalised)
        levels = self._levels.read(self.net, image_normalised)
        return BackboneFeatures(levels, global_average(levels[self.high]))

    def _check_shape(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(
                f"{self.arch} takes images of shape (B, 3, H, W), channels first; "
                f"got {tuple(image.shape)}"
            )
        height, width = image.shape[-2:]
        spec = self.input_spec
        if spec.fixed_size and (height, width) != (spec.size_px, spec.size_px):
            raise ValueError(
                f"{self.arch} was built for {spec.size_px} x {spec.size_px} px; "
                f"got {height} x {width}. Resize the crops, or build it with another size_px."
            )
        if height % spec.multiple_of or width % spec.multiple_of or not height * width:
            raise ValueError(
                f"{self.arch} takes heights and widths that are multiples of "
                f"{spec.multiple_of} px; got {height} x {width}. "
                f"Near sizes: {_near_sizes(height, width, spec.multiple_of)}."
            )


def build_backbone(arch: str, *, size_px: int = 256, seed: int | None = 0) -> Backbone:
    """Build a backbone with random weights; `build_starting_backbone` also loads weights.

    Args:
        arch: A timm model ("hrnet_w18", "resnet50", with or without ".tag"), a name of `ARCHS`, or
            an architecture that an installed package announces.
        size_px: Side of the square crops it is meant for.
        seed: Of the random weights; None draws from torch's global generator.

    Raises:
        ValueError: Unknown name (the near ones are listed), a size it cannot take, or a network
            without feature maps.
    """
    net = _random_net(arch, size_px, seed)
    name = arch.partition(".")[0]
    spec = _input_spec(net, size_px)
    _check_size(name, spec)
    removed = () if name in ARCHS else remove_unused_head(net, size_px)
    return Backbone(net, arch=name, input_spec=spec, removed_modules=removed)


def unknown_arch_message(arch: str) -> str:
    """What to say of a name that neither we nor timm know."""
    known = [*ARCHS, *timm.list_models()]
    near = difflib.get_close_matches(arch.partition(".")[0], known, n=5, cutoff=0.5)
    hint = f"Near names: {', '.join(near)}." if near else "No name is near it."
    return (
        f"unknown architecture {arch!r}. {hint} Ours: {', '.join(sorted(ARCHS))}; "
        "timm's: timm.list_models(). register_backbone(name, builder) adds one."
    )


def _random_net(arch: str, size_px: int, seed: int | None) -> nn.Module:
    name = arch.partition(".")[0]
    if not is_architecture(name):
        raise ValueError(unknown_arch_message(arch))
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        if name in ARCHS:
            return _without_classifier(ARCHS[name](), name)
        return timm.create_model(arch, **timm_options(arch, size_px), num_classes=0)


def _without_classifier(net: nn.Module, name: str) -> nn.Module:
    """The net of a builder; refused where it is a timm model with a classifier, which no target
    reads and which a check of the gradients would find only in the first step."""
    classes = getattr(net, "num_classes", 0)
    if hasattr(net, "reset_classifier") and isinstance(classes, int) and classes > 0:
        raise ValueError(
            f"architecture {name!r} is built with a classifier of {classes} classes, which a "
            "backbone does not have. Build it with num_classes=0."
        )
    return net


def _input_spec(net: nn.Module, size_px: int) -> InputSpec:
    config = getattr(net, "pretrained_cfg", None) or {}
    return InputSpec(
        size_px=size_px,
        mean=tuple(config.get("mean", IMAGENET_DEFAULT_MEAN)),
        std=tuple(config.get("std", IMAGENET_DEFAULT_STD)),
        multiple_of=max(spec.stride for spec in feature_levels(net).specs.values()),
        fixed_size=bool(config.get("fixed_input_size", False)),
    )


def _check_size(arch: str, spec: InputSpec) -> None:
    size, step = spec.size_px, spec.multiple_of
    if size <= 0 or size % step:
        raise ValueError(
            f"{arch} takes sizes that are multiples of {step} px; got size_px={size}. "
            f"Near sizes: {_near_sizes(size, size, step)}."
        )


def _near_sizes(height: int, width: int, step: int) -> str:
    below, above = (
        (max(step, side // step * step) for side in (height, width)),
        (max(step, -(-side // step) * step) for side in (height, width)),
    )
    near = dict.fromkeys((" x ".join(map(str, below)), " x ".join(map(str, above))))
    return " and ".join(near)
