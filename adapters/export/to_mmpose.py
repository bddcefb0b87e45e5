"""Backbones in mmpose, as a registered module for any of its configs.

    from adapters.export import data_preprocessor_config, register_gesture_backbone
    register_gesture_backbone(stand_in_ops=True)   # for mmcv-lite; not needed with mmcv

    model = dict(
        type="TopdownPoseEstimator",
        data_preprocessor=data_preprocessor_config("hrnet_w32.gesture_interhand26m"),
        backbone=dict(type="GestureBackbone", name="hrnet_w32.gesture_interhand26m",
                      out_levels=("stride4", "stride8", "stride16", "stride32")),
        ...)

Nothing of mmpose is imported before `register_gesture_backbone` is called. `mmpose_names` writes
checkpoints for mmpose's own backbone classes.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from timm.models.hrnet import HighResolutionNet
from torch import Tensor

from adapters.export.mmpose_imports import import_mmpose_models
from adapters.export.mmpose_names import export_mmpose
from adapters.targets import ExportTarget, SwapError
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.feature_levels import hrnet_branch_specs, hrnet_branches
from gesture_pretrain.weights.ledger import fingerprint
from gesture_pretrain.weights.registry import load_backbone

HRNET_HEAD = ("incre_modules", "downsamp_modules", "final_layer")


def register_gesture_backbone(*, stand_in_ops: bool = False) -> type:
    """Register `type="GestureBackbone"` for mmpose's configs; repeated calls have no effect.

    Args:
        stand_in_ops: Replace missing requirements of mmpose, see `mmpose_imports`.

    Returns:
        The class.

    Raises:
        ImportError: See `import_mmpose_models`.
        KeyError: mmpose knows another class of that name.
    """
    import_mmpose_models(stand_in_ops=stand_in_ops)
    from mmpose.registry import MODELS

    if MODELS.module_dict.get("GestureBackbone") is not GestureBackbone:
        MODELS.register_module(name="GestureBackbone", module=GestureBackbone)
    return GestureBackbone


class GestureBackbone(BaseModule):
    """Backbone with mmpose's interface: from images to a tuple of maps.

    Args:
        name: Name of registered weights, or a path, see `load_backbone`.
        out_levels: Names of the returned maps, in this order. "high" and "low" are the levels with
            these roles.
        frozen: Keep the weights and batch norm's statistics unchanged.
        init_cfg: Must be None, because the weights come with the name.

    Attributes:
        out_channels: Channels of each map.
        out_strides: Stride of each map.

    Raises:
        ValueError: An unknown level, or an `init_cfg`.
        UnknownBackbone: See `load_backbone`.
    """

    def __init__(
        self,
        name: str,
        *,
        out_levels: Sequence[str] = ("high",),
        frozen: bool = False,
        init_cfg: None = None,
    ):
        if init_cfg is not None:
            raise ValueError(
                "GestureBackbone takes no init_cfg, because mmengine would initialise its weights "
                "again. Leave it out."
            )
        super().__init__(init_cfg=None)
        self.backbone = load_backbone(name).train()
        self.out_levels = _chosen_levels(self.backbone, out_levels)
        self._branches_only = _drop_unread_head(self.backbone, self.out_levels)
        specs = [self.backbone.feature_specs[level] for level in self.out_levels]
        self.out_channels = tuple(spec.channels for spec in specs)
        self.out_strides = tuple(spec.stride for spec in specs)
        self.frozen = frozen
        if frozen:
            self.backbone.requires_grad_(False).eval()
        self._loaded = fingerprint(self.backbone.net.state_dict())

    def forward(self, image_normalised: Tensor) -> tuple[Tensor, ...]:
        """Map images `(B, 3, H, W)` to one map per entry of `out_levels`."""
        if self._branches_only:
            self.backbone._check_shape(image_normalised)
            maps = hrnet_branches(self.backbone.net, image_normalised)
            levels = dict(zip(hrnet_branch_specs(self.backbone.net), maps, strict=True))
        else:
            levels = self.backbone(image_normalised).levels
        return tuple(levels[name] for name in self.out_levels)

    def train(self, mode: bool = True) -> "GestureBackbone":
        """Set training mode, except for a frozen backbone."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def init_weights(self) -> None:
        """Check that the loaded weights were not initialised again.

        Raises:
            SwapError: An `init_cfg` of the model around it replaced the loaded weights.
        """
        if fingerprint(self.backbone.net.state_dict()) != self._loaded:
            raise SwapError(
                "The weights of GestureBackbone were changed before training, by an init_cfg of "
                "the model around it. Remove it, or restrict it to the head."
            )
        super().init_weights()


def data_preprocessor_config(backbone: Backbone | str) -> dict:
    """Return mmpose's `data_preprocessor` for a backbone: mean and std of values 0..255, RGB.

    Args:
        backbone: A backbone, or the name of registered weights.
    """
    if not isinstance(backbone, Backbone):
        backbone = load_backbone(backbone)
    spec = backbone.input_spec
    return {
        "type": "PoseDataPreprocessor",
        "mean": [255.0 * value for value in spec.mean],
        "std": [255.0 * value for value in spec.std],
        "bgr_to_rgb": True,
    }


def _chosen_levels(backbone: Backbone, levels: Sequence[str]) -> tuple[str, ...]:
    if isinstance(levels, str) or not levels:
        raise ValueError(f"out_levels is {levels!r}; it must be a non-empty sequence of names.")
    roles = {"high": backbone.high, "low": backbone.low}
    names = tuple(roles.get(level, level) for level in levels)
    unknown = [name for name in names if name not in backbone.feature_specs]
    if unknown:
        listed = {n: tuple(spec) for n, spec in backbone.feature_specs.items()}
        raise ValueError(
            f"{backbone.arch} has no level {unknown[0]!r}. Levels (channels, stride): {listed}; "
            f"'high' is {backbone.high!r}, 'low' is {backbone.low!r}."
        )
    return names


def _drop_unread_head(backbone: Backbone, names: tuple[str, ...]) -> bool:
    """Remove HRNet's classification head if only the branches are read.

    Its parameters would get no gradients, which stops a distributed run.
    """
    if not isinstance(backbone.net, HighResolutionNet) or backbone.high in names:
        return False
    for name in HRNET_HEAD:
        if getattr(backbone.net, name, None) is not None:
            setattr(backbone.net, name, torch.nn.Identity())
    return True


TARGET = ExportTarget(
    name="mmpose",
    summary="a checkpoint in mmpose's own HRNet or ResNet names; or GestureBackbone in its configs",
    export=export_mmpose,
)
