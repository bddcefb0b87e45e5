"""The backbone interface: named feature maps and a pooled feature, for timm models and our own.

Letters: B batch, C channels, H and W image height and width. `feature_specs` lists the channels and
stride of each map.
"""

import difflib
from typing import NamedTuple

import timm
import torch
from pydantic import PositiveInt
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from gesture_pretrain.models.architectures import ARCHS, is_architecture, timm_options
from gesture_pretrain.models.feature_levels import FeatureSpec, feature_levels, global_average
from gesture_pretrain.models.unused_head import remove_unused_head


class InputSpec(NamedTuple):
    """Input requirements of a backbone.

    Attributes:
        size_px: Side length of the square crops it is built for.
        mean: Mean per RGB channel, for values scaled to [0, 1].
        std: Standard deviation per RGB channel, for values scaled to [0, 1].
        multiple_of: Height and width must be multiples of this number of pixels.
        fixed_size: Accept `size_px` only, as position embeddings require.
    """

    size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    multiple_of: int
    fixed_size: bool = False


class BackboneFeatures(NamedTuple):
    """Output of a backbone for an image batch `(B, 3, H, W)`.

    Attributes:
        levels: Maps `(B, channels, H / stride, W / stride)` by name, see `feature_specs`.
        pooled: Spatial average of the `high` level, `(B, C)`.
    """

    levels: dict[str, Tensor]
    pooled: Tensor


class Backbone(nn.Module):
    """A network with named feature maps.

    Args:
        net: A timm model without classifier, or a network with `forward_levels` and
            `feature_specs`.
        arch: Name of the architecture.
        input_spec: Input size and normalisation.
        removed_modules: Modules of timm's head that were removed in addition to the classifier.

    Attributes:
        net: The network. Its state dict uses timm's parameter names.
        feature_specs: Channels and stride of each level.
        low: Name of the higher-resolution level, F_lo (stride 16).
        high: Name of the semantic level, F_hi: the output of timm's `forward_features`.
        ledger: `WeightLedger` of the initial weights. None after random initialisation.
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
        """Channels and stride of each map by name, shallowest first."""
        return dict(self._levels.specs)

    @property
    def low(self) -> str:
        """Name of F_lo, the map at stride 16 that keeps spatial detail."""
        return self._levels.low

    @property
    def high(self) -> str:
        """Name of F_hi, the last map, from which the pooled feature is computed."""
        return self._levels.high

    @property
    def last_modules(self) -> dict[str, str]:
        """Module of `net` that completes a level, by level; empty without such an order."""
        return dict(self._levels.last_modules)

    @property
    def pooled_channels(self) -> int:
        """Number of channels of the pooled feature."""
        return self._levels.specs[self.high].channels

    def forward(self, image_normalised: Tensor) -> BackboneFeatures:
        """Compute the features of a batch of crops.

        Args:
            image_normalised: `(B, 3, H, W)` RGB, scaled to [0, 1], then normalised with the mean
                and standard deviation of `input_spec`.

        Raises:
            ValueError: The network does not accept this shape.
        """
        self._check_shape(image_normalised)
        levels = self._levels.read(self.net, image_normalised)
        return BackboneFeatures(levels, global_average(levels[self.high]))

    def _check_shape(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(
                f"{self.arch} expects images of shape (B, 3, H, W), channels first; "
                f"got {tuple(image.shape)}"
            )
        height, width = image.shape[-2:]
        spec = self.input_spec
        if spec.fixed_size and (height, width) != (spec.size_px, spec.size_px):
            raise ValueError(
                f"{self.arch} was built for {spec.size_px} x {spec.size_px} px; "
                f"got {height} x {width}. Resize the crops, or rebuild it with another size_px."
            )
        if height % spec.multiple_of or width % spec.multiple_of or not height * width:
            raise ValueError(
                f"{self.arch} requires heights and widths that are multiples of "
                f"{spec.multiple_of} px; got {height} x {width}. "
                f"Nearest sizes: {_near_sizes(height, width, spec.multiple_of)}."
            )


def build_backbone(arch: str, *, size_px: PositiveInt = 256, seed: int | None = 0) -> Backbone:
    """Build a backbone with random weights. `build_starting_backbone` also loads weights.

    Args:
        arch: A timm model ("hrnet_w18", "resnet50", with or without ".tag"), a key of `ARCHS`, or
            an architecture registered by an installed package.
        size_px: Side length of the square crops.
        seed: Random seed of the weights. None draws from torch's global generator.

    Raises:
        ValueError: Unknown name, unsupported size, or a network without feature maps.
    """
    net = _random_net(arch, size_px, seed)
    name = arch.partition(".")[0]
    spec = _input_spec(net, size_px)
    _check_size(name, spec)
    removed = () if name in ARCHS else remove_unused_head(net, size_px)
    return Backbone(net, arch=name, input_spec=spec, removed_modules=removed)


def unknown_arch_message(arch: str) -> str:
    """Compose the error message for an unknown architecture, with similar names."""
    known = [*ARCHS, *timm.list_models()]
    near = difflib.get_close_matches(arch.partition(".")[0], known, n=5, cutoff=0.5)
    hint = f"Similar names: {', '.join(near)}." if near else "No name is similar."
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
    """Return the network of a builder; reject one with a classifier, which would never train."""
    classes = getattr(net, "num_classes", 0)
    if hasattr(net, "reset_classifier") and isinstance(classes, int) and classes > 0:
        raise ValueError(
            f"architecture {name!r} has a classifier of {classes} classes, but a backbone must "
            "not have one. Build it with num_classes=0."
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
            f"{arch} requires sizes that are multiples of {step} px; got size_px={size}. "
            f"Nearest sizes: {_near_sizes(size, size, step)}."
        )


def _near_sizes(height: int, width: int, step: int) -> str:
    below, above = (
        (max(step, side // step * step) for side in (height, width)),
        (max(step, -(-side // step) * step) for side in (height, width)),
    )
    near = dict.fromkeys((" x ".join(map(str, below)), " x ".join(map(str, above))))
    return " and ".join(near)
