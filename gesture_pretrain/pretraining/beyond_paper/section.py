"""The config section `beyond_paper`: which options a run uses, and with which settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gesture_pretrain.config.sections import build_from_section, check_section
from gesture_pretrain.data.samples.hand_crops import CropPlan
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.pretraining.beyond_paper.contrast import HierarchicalContrast
from gesture_pretrain.pretraining.beyond_paper.dense import MaskedDistillation
from gesture_pretrain.pretraining.beyond_paper.equivariance import CropEquivariance
from gesture_pretrain.pretraining.beyond_paper.losses import BeyondPaper
from gesture_pretrain.pretraining.beyond_paper.projector import ProjectedHeads

ONE_CROP = CropPlan(full=1, local=0)
_CLASSES = ("in_channels", "num_coarse", "num_fine")


@dataclass(frozen=True)
class BeyondPaperSection:
    """Settings of the options. An option is used if its mapping is given, even an empty one.

    Attributes:
        projector: Arguments of `ProjectedHeads`.
        crops: Fields of `CropPlan`.
        contrast: Arguments of `HierarchicalContrast`.
        equivariance: Arguments of `CropEquivariance`.
        dense: Arguments of `MaskedDistillation`.
    """

    projector: Mapping | None = None
    crops: Mapping | None = None
    contrast: Mapping | None = None
    equivariance: Mapping | None = None
    dense: Mapping | None = None

    @property
    def options(self) -> list[str]:
        """Names of the options in use."""
        return [name for name, settings in vars(self).items() if settings is not None]

    @property
    def plan(self) -> CropPlan | None:
        """Crops of each image; None without any option."""
        if self.crops is not None:
            return build_from_section("beyond_paper.crops", CropPlan, self.crops)
        return ONE_CROP if self.options else None

    @property
    def labels(self) -> list[str]:
        """Kinds of labels that the losses use, for the card of the weights."""
        moment = self.contrast is not None and self.contrast.get("moment", 1.0) > 0
        return ["coarse", "fine", *(["moment"] if moment else [])]


def check_beyond_paper(section: Mapping, training: Mapping) -> None:
    """Raise ValueError for an unknown key, an invalid value or an impossible combination.

    Args:
        section: The section `beyond_paper`.
        training: The section `training`.
    """
    check_section("beyond_paper", BeyondPaperSection, section)
    chosen = BeyondPaperSection(**section)
    for name, build in _PARTS.items():
        if (settings := section.get(name)) is not None:
            check_section(f"beyond_paper.{name}", build, settings, _CLASSES)
    full_crops = chosen.plan.full if chosen.options else 1
    if chosen.equivariance is not None and full_crops < 2:
        raise ValueError(
            "beyond_paper.equivariance compares two full crops of an image. Set "
            "beyond_paper.crops=dict(full=2, local=0), or add local crops."
        )
    if chosen.dense is not None and training.get("ema_decay") is None:
        raise ValueError(
            "beyond_paper.dense learns from the run's weight average. Set training.ema_decay."
        )
    if chosen.options and training.get("accumulate", 1) > 1:
        raise ValueError(
            "beyond_paper requires training.accumulate=1, because contrast compares all images of "
            "a batch. Choose a smaller data.batch_size."
        )


def build_beyond_paper(
    section: BeyondPaperSection, backbone: Backbone, *, num_coarse: int, num_fine: int
) -> BeyondPaper | None:
    """Build the options of a run; None without any.

    Raises:
        ValueError: An invalid value, or local crops that the backbone does not accept.
    """
    if not section.options:
        return None
    _check_local_crops(section.plan, backbone)
    given: dict[str, dict[str, Any]] = {
        "projector": {
            "in_channels": backbone.pooled_channels,
            "num_coarse": num_coarse,
            "num_fine": num_fine,
        },
        "contrast": {"in_channels": backbone.pooled_channels},
        "equivariance": {"in_channels": backbone.feature_specs[backbone.low].channels},
        "dense": {"in_channels": backbone.feature_specs[backbone.low].channels},
    }
    parts = {
        name: build_from_section(f"beyond_paper.{name}", _PARTS[name], settings, **given[name])
        for name, settings in vars(section).items()
        if name in given and settings is not None
    }
    return BeyondPaper(**parts)


def _check_local_crops(plan: CropPlan, backbone: Backbone) -> None:
    spec = backbone.input_spec
    if not plan.local:
        return
    if spec.fixed_size and plan.local_size_px != spec.size_px:
        raise ValueError(
            f"{backbone.arch} accepts {spec.size_px} px only. Set "
            f"beyond_paper.crops.local_size_px={spec.size_px} or beyond_paper.crops.local=0."
        )
    if plan.local_size_px % spec.multiple_of:
        raise ValueError(
            f"beyond_paper.crops.local_size_px is {plan.local_size_px}; {backbone.arch} requires "
            f"a multiple of {spec.multiple_of}."
        )


_PARTS = {
    "projector": ProjectedHeads,
    "crops": CropPlan,
    "contrast": HierarchicalContrast,
    "equivariance": CropEquivariance,
    "dense": MaskedDistillation,
}
