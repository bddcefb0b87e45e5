"""Interface of every pose network of this package.

Training, evaluation, export of predictions and the tools see a network through this alone, so that
two networks are compared by the same code.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from gesture_pretrain.models.backbone import Backbone

MODES = ("loss", "predict")


class HandPrediction(NamedTuple):
    """Hands of B crops, all in the camera frame and the pixels of their crop, float32.

    A network leaves out what it does not predict. Its meshes, or its 2.5D output, are then absent
    from predictions files, and protocols that need them are not available for it.

    Attributes:
        joints_rel_mm: (B, 21, 3) joints minus the wrist, mano21 order.
        hand: (B,) int64, 0 right, 1 left: handedness of the crop, as `batch.hand` has it.
        vertices_rel_mm: (B, 778, 3) MANO mesh minus the same wrist, or None.
        keypoints_px: (B, 21, 2) joints in crop pixels, or None.
        joint_depth_rel_mm: (B, 21) depth of the joints minus the wrist's, which belongs to
            `keypoints_px` (a 2.5D head may disagree with `joints_rel_mm`), or None.
        mano_pose: (B, 48) axis-angle, rad, minus MANO's mean pose, or None.
        mano_shape: (B, 10), or None.
    """

    joints_rel_mm: Tensor
    hand: Tensor
    vertices_rel_mm: Tensor | None = None
    keypoints_px: Tensor | None = None
    joint_depth_rel_mm: Tensor | None = None
    mano_pose: Tensor | None = None
    mano_shape: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "HandPrediction":
        """Return a copy with a function applied to every field that is not None."""
        return HandPrediction(*(None if value is None else change(value) for value in self))

    def require(self, fields: Collection[str], purpose: str) -> None:
        """Raise unless the required fields are predicted.

        Raises:
            ValueError: Fields are missing.
        """
        if missing := [name for name in fields if getattr(self, name) is None]:
            raise ValueError(f"The network predicts no {', '.join(missing)}. {purpose} needs it.")


_SHAPES = {
    "joints_rel_mm": (21, 3),
    "hand": (),
    "vertices_rel_mm": (778, 3),
    "keypoints_px": (21, 2),
    "joint_depth_rel_mm": (21,),
    "mano_pose": (48,),
    "mano_shape": (10,),
}
REQUIRED = ("joints_rel_mm", "hand")


@runtime_checkable
class PoseModel(Protocol):
    """A pose network: an mmengine `BaseModel` with these members.

    The `batch` it takes is what its target's dataset gives, collated: a named tuple with at least
    `image` (B, 3, S, S) uint8 and `row` (B,) int64. A batch stays one object: give the constructor
    of `BaseModel` a `gesture_pretrain.pretraining.model.BatchToDevice`, which also makes the crops
    that the loader did not make.

    Two more methods are optional: `card_values()` gives numbers to store in the card of the trained
    network, and `no_weight_decay()` the names of parameters that are not decayed.

    Attributes:
        backbone: The backbone that it was built around, the same object.
    """

    backbone: Backbone

    def forward(self, batch: Any, mode: str = "loss") -> dict[str, Tensor] | HandPrediction:
        """Run a batch.

        Args:
            batch: Collated samples on the model's device.
            mode: "loss" or "predict".

        Returns:
            "loss": scalars; those whose name contains "loss" are weighted and summed, others are
            logged only. "predict": the hands.
        """

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch, from 0, the next batches belong to."""


def check_prediction(prediction: HandPrediction, batch_size: int) -> None:
    """Check types and shapes of a prediction, not its values.

    Raises:
        TypeError: It is not a `HandPrediction`.
        ValueError: A required field is missing, or a field has another shape or type.
    """
    if not isinstance(prediction, HandPrediction):
        raise TypeError(
            f"mode='predict' gave a {type(prediction).__name__}; it must be a HandPrediction"
        )
    for name, tail in _SHAPES.items():
        value = getattr(prediction, name)
        if value is None and name not in REQUIRED:
            continue
        found = None if value is None else tuple(value.shape)
        if found != (batch_size, *tail):
            raise ValueError(f"{name} has shape {found}; expected {(batch_size, *tail)}")
    if prediction.hand.dtype != torch.int64:
        raise ValueError(f"hand is {prediction.hand.dtype}; expected int64, 0 right and 1 left")


def require_finite(prediction: HandPrediction) -> None:
    """Raise for NaN and infinity; this synchronises with the device.

    Raises:
        ValueError: A field is not finite.
    """
    for name, value in prediction._asdict().items():
        if value is not None and not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{name} of the prediction holds NaN or infinity. Leave out what the network does "
                "not predict: None instead of a tensor."
            )
