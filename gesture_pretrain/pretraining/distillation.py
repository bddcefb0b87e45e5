"""Distillation of a larger gesture network into the one that is trained.

The frozen teacher sees the same augmented crops. Three losses, each with its own weight:

- logits: `T^2 * KL(teacher || student)` of both heads at temperature `T` (Hinton et al., 2015,
  arXiv 1503.02531).
- pooled: mean squared error between the student's pooled feature, after a linear projection, and
  the teacher's (FitNets, Romero et al., ICLR 2015). The teacher's feature is normalised to zero
  mean and unit variance per image, so that the weight does not depend on its scale (as in data2vec,
  Baevski et al., ICML 2022).
- level: the same for every cell of the map F_lo, from which Stage 2 samples its tokens.

All images count, also those without a label. Letters: B batch, C channels, K classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn
from torch.nn import functional as F

from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork, GestureOutput
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.record import WeightRecord
from gesture_pretrain.weights.registry import find_backbone, load_backbone


class Teacher:
    """A frozen network in eval mode, with the card of its weights.

    It is no module, so that it is neither trained, averaged nor written to checkpoints.

    Args:
        network: Backbone with gesture heads, or the backbone alone if its logits are not used.
        record: Card of the weights.
        device: Device to run on.
    """

    def __init__(
        self, network: GestureNetwork | Backbone, record: WeightRecord, device: torch.device
    ):
        self.network = network.to(device).eval().requires_grad_(False)
        self.backbone: Backbone = getattr(network, "backbone", network)
        self.normalise = ImageNormaliser(self.backbone.input_spec).to(device)
        self.record = record

    def __deepcopy__(self, memo: dict) -> "Teacher":
        return self

    @torch.no_grad()
    def __call__(self, image: Tensor) -> GestureOutput:
        """Run `(B, 3, S, S)` uint8 RGB crops. The logits are None without heads."""
        output = self.network(self.normalise(image))
        return output if isinstance(output, GestureOutput) else GestureOutput(output, None, None)

    @property
    def sha256(self) -> Tensor:
        """SHA-256 of all weight files together, as (N,) uint8."""
        hashes = "".join(file.sha256 for _, file in sorted(self.record.files.items()))
        return torch.tensor(list(bytes.fromhex(hashes)), dtype=torch.uint8)

    def describe(self) -> dict[str, Any]:
        """Describe weights and labels of the teacher for the card of the student."""
        record = self.record
        return {
            "name": record.name,
            "sha256": {name: file.sha256 for name, file in record.files.items()},
            "label_variant": record.label_variant,
            "taxonomy": record.taxonomy.name if record.taxonomy else None,
            "data": record.data.name if record.data else None,
        }


def build_distillation(
    student: Backbone,
    taxonomy: Taxonomy,
    device: torch.device,
    *,
    teacher: str,
    logits: NonNegativeFloat = 1.0,
    pooled: NonNegativeFloat = 1.0,
    level: NonNegativeFloat = 0.0,
    temperature: PositiveFloat = 4.0,
) -> "Distillation":
    """Load the teacher and build the losses.

    Args:
        student: Backbone that is trained.
        taxonomy: Classes of the student.
        device: Device of the teacher.
        teacher: Name in the registry or exported folder, see `load_backbone`.
        logits: Weight of the logits, which requires a teacher with heads of the same classes.
        pooled: Weight of the pooled feature.
        level: Weight of the map F_lo.
        temperature: Temperature of the logits.

    Raises:
        UnknownBackbone: There are no weights of that name.
        ValueError: The teacher has no heads, heads of other classes, or a map F_lo of another
            stride.
    """
    record = find_backbone(teacher).record
    if logits and (record.taxonomy is None or record.taxonomy.sha256 != taxonomy.sha256):
        found = "no heads" if record.taxonomy is None else f"classes of {record.taxonomy.name}"
        raise ValueError(
            f"The teacher {record.name} has {found}, but its logits are to be distilled into "
            f"classes of {taxonomy.name}. Choose another teacher, or set distillation.logits=0."
        )
    network = load_backbone(teacher, with_heads=logits > 0)
    frozen = Teacher(network, record, device)
    return Distillation(
        student, frozen, logits=logits, pooled=pooled, level=level, temperature=temperature
    )


class Distillation(nn.Module):
    """The distillation losses and the projections that they train.

    The projections are part of the training state, but not of the exported network.

    Args:
        student: Backbone that is trained.
        teacher: Frozen teacher.
        logits, pooled, level, temperature: See `build_distillation`.

    Raises:
        ValueError: All weights are 0, or the level is distilled and the maps F_lo have different
            strides.
    """

    def __init__(
        self,
        student: Backbone,
        teacher: Teacher,
        *,
        logits: float = 1.0,
        pooled: float = 1.0,
        level: float = 0.0,
        temperature: float = 4.0,
    ):
        super().__init__()
        if not (logits or pooled or level):
            raise ValueError(
                "distillation.logits, .pooled and .level are all 0. Set at least one above 0."
            )
        self.teacher, self.temperature = teacher, temperature
        self.weights = {"logits": logits, "pooled": pooled, "level": level}
        self.levels = (student.low, teacher.backbone.low)
        self.to_pooled = self.to_level = None
        if pooled:
            channels = (student.pooled_channels, teacher.backbone.pooled_channels)
            self.to_pooled = nn.Linear(*channels)
        if level:
            self.to_level = _level_projection(student, teacher.backbone)
        self.register_buffer("teacher_sha256", teacher.sha256)

    def forward(self, image: Tensor, student: GestureOutput) -> dict[str, Tensor]:
        """Compute the weighted losses.

        Args:
            image: `(B, 3, S, S)` uint8 RGB.
            student: Output of the student for these images.

        Returns:
            `loss_distilled_coarse_logits`, `_fine_logits`, `_pooled` and `_level`, those with a
            weight above 0.
        """
        teacher, losses = self.teacher(image), {}
        if self.weights["logits"]:
            for name in ("coarse_logits", "fine_logits"):
                pair = getattr(student, name), getattr(teacher, name)
                losses[name] = soft_target_loss(*pair, self.temperature)
        if self.to_pooled is not None:
            projected = self.to_pooled(student.features.pooled)
            losses["pooled"] = feature_loss(projected, teacher.features.pooled)
        if self.to_level is not None:
            maps = (output.features.levels for output in (student, teacher))
            own, theirs = (each[name] for each, name in zip(maps, self.levels, strict=True))
            # channels last, as for the pooled feature
            losses["level"] = feature_loss(self.to_level(own).movedim(1, -1), theirs.movedim(1, -1))
        return {
            f"loss_distilled_{name}": self.weights[name.rpartition("_")[2]] * loss
            for name, loss in losses.items()
        }

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest) -> None:
        stored = state.get(f"{prefix}teacher_sha256")
        if stored is not None and not torch.equal(stored.cpu(), self.teacher.sha256):
            raise ValueError(
                f"the checkpoint was written with other weights of the teacher than those of "
                f"{self.teacher.record.name}. Resume with the same teacher."
            )
        super()._load_from_state_dict(state, prefix, *rest)


def _level_projection(student: Backbone, teacher: Backbone) -> nn.Conv2d:
    own, theirs = student.feature_specs[student.low], teacher.feature_specs[teacher.low]
    if own.stride != theirs.stride:
        raise ValueError(
            f"F_lo of {student.arch} has stride {own.stride}, that of the teacher {teacher.arch} "
            f"{theirs.stride}. Set distillation.level=0."
        )
    return nn.Conv2d(own.channels, theirs.channels, 1)


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Compute `T^2 * KL(softmax(teacher / T) || softmax(student / T))`, averaged over the batch.

    Args:
        student: Logits `(B, K)`.
        teacher: Logits `(B, K)`.
        temperature: T.
    """
    own = F.log_softmax(student.float() / temperature, dim=1)
    target = F.log_softmax(teacher.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(own, target, reduction="batchmean", log_target=True)


def feature_loss(predicted: Tensor, teacher: Tensor) -> Tensor:
    """Compute the mean squared error to features that are normalised over their last axis.

    Args:
        predicted: `(..., C)` projected features of the student.
        teacher: `(..., C)` features of the teacher.
    """
    target = F.layer_norm(teacher.float(), teacher.shape[-1:])
    return F.mse_loss(predicted.float(), target)
