"""1x1 projection between a backbone and a target with other channels.

It changes the experiment, as it puts untrained weights between backbone and target.
It is therefore never added by default, and ledger and reports name it.
"""

import torch
from torch import Tensor, nn

from adapters.targets import BackboneNeeds, SwapError, level_name, level_spec
from gesture_pretrain.models.backbone import Backbone


class ChannelProjection(nn.Module):
    """1x1 convolution with bias from a backbone's channels to a target's.

    Args:
        in_channels: Channels of the backbone's map.
        out_channels: Channels of the map that the target reads.
        seed: Random seed of its weights.
    """

    def __init__(self, in_channels: int, out_channels: int, *, seed: int = 0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(in_channels, out_channels, 1)
            nn.init.kaiming_normal_(self.conv.weight, mode="fan_in", nonlinearity="linear")
            nn.init.zeros_(self.conv.bias)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Map `(B, in_channels, H, W)` to `(B, out_channels, H, W)`."""
        return self.conv(feature_map)

    def describe(self) -> str:
        """Describe the projection in one line."""
        return f"1x1 projection, {self.conv.in_channels} to {self.conv.out_channels} channels"


def fit_backbone(
    backbone: Backbone,
    needs: BackboneNeeds,
    *,
    target: str,
    allow_projection: bool = False,
    seed: int = 0,
) -> nn.Module:
    """Check a backbone against the needs of a target.

    Args:
        backbone: The backbone.
        needs: Required channels, stride and crop size.
        target: Name of the target, for messages.
        allow_projection: Convert other channels with a `ChannelProjection`.
        seed: Random seed of the projection's weights.

    Returns:
        The module to apply to `levels[0]`: the identity, or the projection.

    Raises:
        SwapError: Stride or crop size do not fit, or the channels do not and no projection is
            allowed.
    """
    _check_size(backbone, needs, target)
    spec = level_spec(backbone, needs.levels[0])
    name = level_name(backbone, needs.levels[0])
    if needs.stride is not None and spec.stride != needs.stride:
        raise SwapError(
            f"{target} reads a map at stride {needs.stride}, but level {name!r} of {backbone.arch} "
            f"has stride {spec.stride}. Its levels (channels, stride): {_levels(backbone)}. "
            "Choose another backbone."
        )
    if needs.channels is None or spec.channels == needs.channels:
        return nn.Identity()
    if not allow_projection:
        raise SwapError(
            f"{target} reads {needs.channels} channels, but level {name!r} of {backbone.arch} has "
            f"{spec.channels}. A 1x1 projection would convert them, but changes the "
            "experiment: allow it with allow_projection=True (--allow-projection), or choose a "
            f"backbone with {needs.channels} channels."
        )
    return ChannelProjection(spec.channels, needs.channels, seed=seed)


def find_projections(model: nn.Module) -> dict[str, str]:
    """Describe each `ChannelProjection` in a model, by module name."""
    return {
        name: module.describe()
        for name, module in model.named_modules()
        if isinstance(module, ChannelProjection)
    }


def _check_size(backbone: Backbone, needs: BackboneNeeds, target: str) -> None:
    size = backbone.input_spec.size_px
    if needs.input_px is not None and backbone.input_spec.fixed_size and size != needs.input_px:
        raise SwapError(
            f"{target} reads crops of {needs.input_px} px only, and {backbone.arch} was built for "
            f"{size} px only. Build or train it for {needs.input_px} px."
        )
    if (needs.input_px or 0) % backbone.input_spec.multiple_of:
        raise SwapError(
            f"{target} reads crops of {needs.input_px} px, and {backbone.arch} takes multiples of "
            f"{backbone.input_spec.multiple_of} px. Choose another backbone."
        )


def _levels(backbone: Backbone) -> dict[str, tuple[int, int]]:
    return {name: tuple(spec) for name, spec in backbone.feature_specs.items()}
