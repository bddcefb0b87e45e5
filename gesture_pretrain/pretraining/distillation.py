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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork, GestureOutput
from gesture_pretrain.models.image_normaliser import ImageNormaliser
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.record import WeightRecord
from gesture_pretrain.weights.registry import find_backbone, load_backbone


@dataclass(frozen=True)
class DistillationWeights:
    """Weights of the distillation losses.

    Attributes:
        logits: Weight of the logits of both heads.
        pooled: Weight of the pooled feature.
        level: Weight of the map F_lo.
        temperature: Temperature of the logits.
    """

    logits: float = 1.0
    pooled: float = 1.0
    level: float = 0.0
    temperature: float = 4.0

    def __post_init__(self):
        weights = (self.logits, self.pooled, self.level)
        if min(weights) < 0 or max(weights) == 0:
            raise ValueError(
                f"the weights of logits, pooled and level are {weights}; none may be negative, and "
                "at least one must be above 0."
            )
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0.")


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


def load_teacher(
    source: str | Path,
    *,
    taxonomy: Taxonomy,
    weights: DistillationWeights,
    device: torch.device,
) -> Teacher:
    """Load a teacher from the registry or a folder.

    Args:
        source: See `load_backbone`.
        taxonomy: Classes of the student.
        weights: Weights of the losses; logits require a teacher with heads of these classes.
        device: Device to run on.

    Raises:
        UnknownBackbone: There are no weights of that name.
        ValueError: The teacher has no heads, or heads of other classes.
    """
    record = find_backbone(source).record
    uses_logits = weights.logits > 0
    if uses_logits:
        found = "no heads" if record.taxonomy is None else f"classes of {record.taxonomy.name}"
        if record.taxonomy is None or record.taxonomy.sha256 != taxonomy.sha256:
            raise ValueError(
                f"the teacher {record.name} has {found}, but its logits are to be distilled into "
                f"classes of {taxonomy.name}. Choose another teacher, or set the weight of the "
                "logits to 0."
            )
    return Teacher(load_backbone(source, with_heads=uses_logits), record, device)


class Distillation(nn.Module):
    """The distillation losses and the projections that they train.

    The projections are part of the training state, but not of the exported network.

    Args:
        student: Backbone that is trained.
        teacher: Frozen teacher.
        weights: Weights of the losses.

    Raises:
        ValueError: The level is distilled and the maps F_lo have different strides.
    """

    def __init__(self, student: Backbone, teacher: Teacher, weights: DistillationWeights):
        super().__init__()
        self.teacher, self.weights = teacher, weights
        theirs = teacher.backbone
        self.levels = (student.low, theirs.low)
        self.pooled = self.level = None
        if weights.pooled:
            self.pooled = nn.Linear(student.pooled_channels, theirs.pooled_channels)
        if weights.level:
            from_spec = student.feature_specs[student.low]
            to_spec = theirs.feature_specs[theirs.low]
            if from_spec.stride != to_spec.stride:
                raise ValueError(
                    f"F_lo of {student.arch} has stride {from_spec.stride}, that of the teacher "
                    f"{theirs.arch} {to_spec.stride}. Set the weight of the level to 0."
                )
            self.level = nn.Conv2d(from_spec.channels, to_spec.channels, 1)
        self.register_buffer("teacher_sha256", teacher.sha256)

    def forward(self, image: Tensor, student: GestureOutput) -> dict[str, Tensor]:
        """Compute the weighted losses.

        Args:
            image: `(B, 3, S, S)` uint8 RGB.
            student: Output of the student for these images.

        Returns:
            `loss_distilled_coarse`, `_fine`, `_pooled` and `_level`, those with a weight above 0.
        """
        teacher, weights = self.teacher(image), self.weights
        losses = {}
        if weights.logits:
            for name in ("coarse", "fine"):
                pair = (getattr(output, f"{name}_logits") for output in (student, teacher))
                losses[name] = weights.logits * soft_target_loss(*pair, weights.temperature)
        if self.pooled is not None:
            predicted = self.pooled(student.features.pooled)
            losses["pooled"] = weights.pooled * feature_loss(predicted, teacher.features.pooled)
        if self.level is not None:
            own, theirs = self.levels
            predicted = self.level(student.features.levels[own]).movedim(1, -1)
            target = teacher.features.levels[theirs].movedim(1, -1)
            losses["level"] = weights.level * feature_loss(predicted, target)
        return {f"loss_distilled_{name}": loss for name, loss in losses.items()}

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest) -> None:
        stored = state.get(f"{prefix}teacher_sha256")
        if stored is not None and not torch.equal(stored.cpu(), self.teacher.sha256):
            raise ValueError(
                f"the checkpoint was written with other weights of the teacher than those of "
                f"{self.teacher.record.name}. Resume with the same teacher."
            )
        super()._load_from_state_dict(state, prefix, *rest)


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
