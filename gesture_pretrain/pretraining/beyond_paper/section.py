"""The config section `beyond_paper`: which options a run uses, and with which settings."""

from typing import Any

from gesture_pretrain.config.sections import arguments_of
from gesture_pretrain.data.samples.hand_crops import CropPlan
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.pretraining.beyond_paper.contrast import HierarchicalContrast
from gesture_pretrain.pretraining.beyond_paper.dense import MaskedDistillation
from gesture_pretrain.pretraining.beyond_paper.equivariance import CropEquivariance
from gesture_pretrain.pretraining.beyond_paper.losses import BeyondPaper
from gesture_pretrain.pretraining.beyond_paper.projector import ProjectedHeads
from gesture_pretrain.schema import section
from gesture_pretrain.training.options import TrainingOptions

ONE_CROP = CropPlan(full=1, local=0)


@section
class BeyondPaperSection:
    """Settings of the options. An option is used if its mapping is given, even an empty one.

    Attributes:
        projector: Arguments of `ProjectedHeads`.
        crops: Several crops of each image.
        contrast: Arguments of `HierarchicalContrast`.
        equivariance: Arguments of `CropEquivariance`.
        dense: Arguments of `MaskedDistillation`.
    """

    projector: arguments_of(ProjectedHeads, "in_channels", "num_coarse", "num_fine") | None = None
    crops: CropPlan | None = None
    contrast: arguments_of(HierarchicalContrast, "in_channels") | None = None
    equivariance: arguments_of(CropEquivariance, "in_channels") | None = None
    dense: arguments_of(MaskedDistillation, "in_channels") | None = None

    def __post_init__(self):
        if self.equivariance is not None and (self.crops is None or self.crops.full < 2):
            raise ValueError(
                "equivariance compares two full crops of an image. Set "
                "beyond_paper.crops=dict(full=2, local=0), or add local crops."
            )

    @property
    def options(self) -> list[str]:
        """Names of the options in use."""
        names = ("projector", "crops", "contrast", "equivariance", "dense")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def plan(self) -> CropPlan | None:
        """Crops of each image; None without any option."""
        return (self.crops or ONE_CROP) if self.options else None

    @property
    def labels(self) -> list[str]:
        """Kinds of labels that the losses use, for the card of the weights."""
        moment = self.contrast is not None and self.contrast.get("moment", 1.0) > 0
        return ["coarse", "fine", *(["moment"] if moment else [])]

    def check_training(self, training: TrainingOptions) -> None:
        """Raise ValueError if the section `training` does not support the options."""
        if self.dense is not None and training.ema_decay is None:
            raise ValueError(
                "beyond_paper.dense learns from the run's weight average. Set training.ema_decay."
            )
        if self.options and training.accumulate > 1:
            raise ValueError(
                "beyond_paper requires training.accumulate=1, because contrast compares all images "
                "of a batch. Choose a smaller data.batch_size."
            )


def build_beyond_paper(
    chosen: BeyondPaperSection, backbone: Backbone, *, num_coarse: int, num_fine: int
) -> BeyondPaper | None:
    """Build the options of a run; None without any.

    Raises:
        ValueError: An invalid value, or local crops that the backbone does not accept.
    """
    if not chosen.options:
        return None
    _check_local_crops(chosen.plan, backbone)
    pooled = {"in_channels": backbone.pooled_channels}
    low = {"in_channels": backbone.feature_specs[backbone.low].channels}
    parts: dict[str, tuple[type, dict[str, Any]]] = {
        "projector": (ProjectedHeads, {**pooled, "num_coarse": num_coarse, "num_fine": num_fine}),
        "contrast": (HierarchicalContrast, pooled),
        "equivariance": (CropEquivariance, low),
        "dense": (MaskedDistillation, low),
    }
    return BeyondPaper(
        **{
            name: build(**given, **getattr(chosen, name))
            for name, (build, given) in parts.items()
            if name in chosen.options
        }
    )


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
