"""Feature maps of a network: their names and strides, and how to read them in one forward pass.

Letters: B batch, C channels, H and W the height and width of a map, N tokens.

Three kinds of network are supported, each by a small class with the members of `FeatureLevels`:

- `HRNetLevels`: timm's `HighResolutionNet`. Four raw branches at strides 4, 8, 16, 32, and `final`,
  the output of timm's `forward_features` (2048 channels at stride 32).
- `IntermediateLevels`: any timm model with `forward_intermediates`, convolutional or transformer.
- `OwnLevels`: a network that defines `forward_levels(image)` and `feature_specs` itself.
"""

from typing import NamedTuple, Protocol

import torch
from timm.models.hrnet import HighResolutionNet
from torch import Tensor, nn

FINAL = "final"
LOW_STRIDE = 16  # F_lo of the paper; the stride is our assumption


class FeatureSpec(NamedTuple):
    """One map of a backbone: `(B, channels, H_image / stride, W_image / stride)`."""

    channels: int
    stride: int


class FeatureLevels(Protocol):
    """Reader of the feature maps of one network."""

    specs: dict[str, FeatureSpec]
    low: str
    high: str
    last_modules: dict[str, str]  # by level, the module that computes it after all earlier ones

    def read(self, net: nn.Module, image: Tensor) -> dict[str, Tensor]:
        """Map `(B, 3, H, W)` to one map per name in `specs`."""
        ...


def feature_levels(net: nn.Module) -> FeatureLevels:
    """Choose the reader for a network.

    Raises:
        ValueError: The network provides no feature maps in a supported way.
    """
    if hasattr(net, "forward_levels"):
        return OwnLevels(net)
    if isinstance(net, HighResolutionNet):
        return HRNetLevels(net)
    if hasattr(net, "forward_intermediates") and hasattr(net, "feature_info"):
        return IntermediateLevels(net)
    raise ValueError(
        f"{type(net).__name__} has no feature maps: it has neither timm's forward_intermediates "
        "(with feature_info) nor forward_levels. Choose another timm model, or register a builder "
        "whose network defines forward_levels(image) and feature_specs."
    )


class OwnLevels:
    """Maps of a network that defines `forward_levels` and `feature_specs` itself."""

    def __init__(self, net: nn.Module):
        self.specs = dict(net.feature_specs)
        self.low, self.high = level_at_stride(self.specs, LOW_STRIDE), FINAL
        self.last_modules = {}

    def read(self, net: nn.Module, image: Tensor) -> dict[str, Tensor]:
        return net.forward_levels(image)


class HRNetLevels:
    """The four branches of timm's HRNet before its classification head, and the head's last map.

    timm's `features_only` returns the branches *after* the head's channel increase, and its
    `forward_features` only the last map. This class returns both kinds from one pass.
    """

    def __init__(self, net: HighResolutionNet):
        if net.head != "classification":
            raise ValueError(f"HRNet has head={net.head!r}; the final map needs 'classification'")
        self.specs = hrnet_branch_specs(net)
        self.specs[FINAL] = FeatureSpec(net.num_features, 32)
        self.low, self.high = level_at_stride(self.specs, LOW_STRIDE), FINAL
        self.last_modules = {}  # the branches are computed in parallel

    def read(self, net: HighResolutionNet, image: Tensor) -> dict[str, Tensor]:
        branches = hrnet_branches(net, image)
        levels = dict(zip(hrnet_branch_specs(net), branches, strict=True))
        merged = net.incre_modules[0](branches[0])
        for branch, widen, halve in zip(
            branches[1:], net.incre_modules[1:], net.downsamp_modules, strict=True
        ):
            merged = widen(branch) + halve(merged)
        levels[FINAL] = net.final_layer(merged)
        return levels


def hrnet_branch_specs(net: HighResolutionNet) -> dict[str, FeatureSpec]:
    """Return channels C, 2C, 4C, 8C at strides 4, 8, 16, 32, from the network's configuration."""
    expansion = net.stage4[0].branches[0][0].expansion
    channels = [count * expansion for count in net.stage4_cfg["num_channels"]]
    return {f"stride{4 << i}": FeatureSpec(count, 4 << i) for i, count in enumerate(channels)}


def hrnet_branches(net: HighResolutionNet, image: Tensor) -> list[Tensor]:
    """Run stem and stages of timm's HRNet: `(B, 3, H, W)` to maps at strides 4, 8, 16, 32."""
    half = net.act1(net.bn1(net.conv1(image)))
    quarter = net.act2(net.bn2(net.conv2(half)))
    return net.stages(quarter)


class IntermediateLevels:
    """Maps of any timm model with `forward_intermediates`.

    For a network with several strides, the last map at each stride (`stride4`, ...). For a network
    whose blocks all share a stride (a plain ViT), `middle`, the map after half of its blocks.
    `final` is the output of `forward_features` as a map, without class and register tokens.
    """

    def __init__(self, net: nn.Module):
        info = [(entry["num_chs"], entry["reduction"]) for entry in _feature_info(net)]
        strides = sorted({stride for _, stride in info})
        if len(strides) == 1:
            middle = (len(info) - 1) // 2
            taps = {"middle": middle}
        else:
            last_at = {stride: i for i, (_, stride) in enumerate(info)}
            taps = {f"stride{stride}": last_at[stride] for stride in strides}
        self.specs = {name: FeatureSpec(*info[i]) for name, i in taps.items()}
        self.low = "middle" if len(strides) == 1 else level_at_stride(self.specs, LOW_STRIDE)
        self.specs[FINAL] = FeatureSpec(net.num_features, strides[-1])
        self.high = FINAL
        self.last_modules = {name: _feature_info(net)[i]["module"] for name, i in taps.items()}
        self._indices = sorted(taps.values())
        self._names = sorted(taps, key=taps.get)

    def read(self, net: nn.Module, image: Tensor) -> dict[str, Tensor]:
        final, maps = net.forward_intermediates(image, indices=self._indices, output_fmt="NCHW")
        levels = dict(zip(self._names, maps, strict=True))
        levels[FINAL] = _as_map(final, net, levels[self._names[-1]])
        return levels


def level_at_stride(specs: dict[str, FeatureSpec], stride: int) -> str:
    """Find the name of the level at a stride.

    Raises:
        ValueError: No level has this stride.
    """
    for name, spec in specs.items():
        if spec.stride == stride and name != FINAL:
            return name
    offered = {name: spec.stride for name, spec in specs.items()}
    raise ValueError(f"no level at stride {stride}, which F_lo needs; the network has {offered}")


def _feature_info(net: nn.Module) -> list[dict]:
    info = net.feature_info
    return info.get_dicts() if hasattr(info, "get_dicts") else list(info)


def _as_map(final: Tensor, net: nn.Module, like: Tensor) -> Tensor:
    """Convert the output of `forward_features`, `(B, N, C)`, NHWC or NCHW, to `(B, C, H, W)`."""
    if final.ndim == 3:
        patches = final[:, getattr(net, "num_prefix_tokens", 0) :]
        return patches.transpose(1, 2).unflatten(2, like.shape[-2:])
    if getattr(net, "output_fmt", "NCHW") == "NHWC":
        return final.permute(0, 3, 1, 2)
    return final


def global_average(feature_map: Tensor) -> Tensor:
    """Average-pool `(B, C, H, W)` to `(B, C)`, the paper's global feature."""
    return torch.flatten(nn.functional.adaptive_avg_pool2d(feature_map, 1), 1)
