"""Backbones in mmpose: as a registered module for any of its configs.

    from adapters.export.to_mmpose import register_gesture_backbone
    register_gesture_backbone(stand_in_ops=True)   # mmcv-lite; without it, mmcv is needed

    model = dict(
        type="TopdownPoseEstimator",
        data_preprocessor=data_preprocessor_config("hrnet_w32.gesture_interhand26m"),
        backbone=dict(type="GestureBackbone", name="hrnet_w32.gesture_interhand26m",
                      out_levels=("stride4", "stride8", "stride16", "stride32")),
        ...)

Nothing of mmpose is imported before `register_gesture_backbone` is called. The weights in mmpose's
own names are `mmpose_checkpoint`'s part.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from timm.models.hrnet import HighResolutionNet
from torch import Tensor

from adapters.export.coco_tools import has_coco_tools, put_pycocotools
from adapters.export.mmcv_ops import has_compiled_ops, put_stand_in
from adapters.export.mmpose_names import export_mmpose
from adapters.targets import ExportTarget, SwapError
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.feature_levels import hrnet_branch_specs, hrnet_branches
from gesture_pretrain.weights.ledger import fingerprint
from gesture_pretrain.weights.registry import load_backbone
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

HRNET_HEAD = ("incre_modules", "downsamp_modules", "final_layer")


def register_gesture_backbone(*, stand_in_ops: bool = False) -> type:
    """Register `type="GestureBackbone"` for mmpose's configs; repeated calls have no effect.

    Args:
        stand_in_ops: Put stand-ins in place of what is not installed, each with a warning: for
            mmcv's compiled operations (missing in mmcv-lite), classes that raise when used; for
            xtcocotools (it does not build on Python 3.13), pycocotools.

    Returns:
        The class.

    Raises:
        ImportError: mmpose is not installed; or mmcv's compiled operations or xtcocotools are
            missing, and stand-ins are not allowed.
        KeyError: mmpose knows another class of that name.
    """
    import_mmpose_models(stand_in_ops=stand_in_ops)
    from mmpose.registry import MODELS

    if MODELS.module_dict.get("GestureBackbone") is not GestureBackbone:
        MODELS.register_module(name="GestureBackbone", module=GestureBackbone)
    return GestureBackbone


def import_mmpose_models(*, stand_in_ops: bool) -> None:
    """Import `mmpose.models`, which fills mmpose's registries.

    Raises:
        ImportError: As in `register_gesture_backbone`.
    """
    if not has_compiled_ops():
        if not stand_in_ops:
            raise ImportError(
                "mmpose.models needs mmcv's compiled operations, which this installation lacks. "
                "Install mmcv instead of mmcv-lite, or pass stand_in_ops=True: everything that "
                "does not compute with them works then, the rest raises when used."
            )
        put_stand_in()
    if not has_coco_tools():
        if not stand_in_ops:
            raise ImportError(
                "mmpose needs xtcocotools, which is not installed. Install it (Python 3.12 or "
                "earlier), or pass stand_in_ops=True to use pycocotools instead."
            )
        put_pycocotools()
    import mmpose.models  # noqa: F401


class GestureBackbone(BaseModule):
    """Backbone with mmpose's interface: from images to a tuple of maps.

    Args:
        name: Name of registered weights, or a path, see `load_backbone`. Alternative: `arch`.
        arch: Architecture for random or other initial weights; see `build_backbone`.
        init: Initial weights with `arch`: "random", "timm", or a file.
        size_px: Side of the crops, for architectures that are built for one size.
        seed: Random seed of random weights.
        out_levels: Names of the maps to give, in this order; "high" and "low" stand for the levels
            in these roles.
        frozen: The weights stay as they are, batch norm's statistics too.
        init_cfg: Must be None: the weights come with the name.

    Attributes:
        out_channels: Channels of each map.
        out_strides: Stride of each map.

    Raises:
        ValueError: An unknown level, both or neither of `name` and
            `arch`, or an `init_cfg`.
        UnknownBackbone: See `load_backbone` and `build_backbone`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        arch: str | None = None,
        init: str = "random",
        size_px: int = 256,
        seed: int = 0,
        out_levels: Sequence[str] = ("high",),
        frozen: bool = False,
        init_cfg: None = None,
    ):
        if init_cfg is not None:
            raise ValueError(
                "GestureBackbone takes no init_cfg: its weights come from name, or arch and init. "
                "mmengine would initialise them again."
            )
        super().__init__(init_cfg=None)
        self.backbone = _load(name, arch, init=init, size_px=size_px, seed=seed).train()
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
            SwapError: An `init_cfg` further out drew new weights over the loaded ones.
        """
        if fingerprint(self.backbone.net.state_dict()) != self._loaded:
            raise SwapError(
                "the weights of GestureBackbone were changed before training, by an init_cfg of "
                "the model around it. Take it out, or restrict it to the head."
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


def _load(name: str | None, arch: str | None, *, init: str, size_px: int, seed: int) -> Backbone:
    if (name is None) == (arch is None):
        raise ValueError(
            f"GestureBackbone takes either name= (registered weights) or arch=; got name={name!r} "
            f"and arch={arch!r}"
        )
    if name is not None:
        return load_backbone(name)
    return build_starting_backbone(arch, init=init, size_px=size_px, seed=seed)


def _chosen_levels(backbone: Backbone, wanted: Sequence[str]) -> tuple[str, ...]:
    if isinstance(wanted, str) or not wanted:
        raise ValueError(f"out_levels is a sequence of names, got {wanted!r}")
    roles = {"high": backbone.high, "low": backbone.low}
    names = tuple(roles.get(level, level) for level in wanted)
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

    It would be computed needlessly, and its parameters, without gradients, stop a distributed
    run.
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
