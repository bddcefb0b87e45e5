"""What every pose network of this package gives, and how it is called.

Training, evaluation, export of predictions and the tools see a network through this alone, so that
two networks are compared by the same code.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from gesture_pretrain.models.backbone import Backbone

MODES = ("loss", "predict")


class HandPrediction(NamedTuple):
    """Hands of B crops, all in the camera frame and the pixels of their crop, float32.

    Attributes:
        joints_rel_mm: (B, 21, 3) joints minus the wrist, mano21 order.
        vertices_rel_mm: (B, 778, 3) MANO mesh minus the same wrist.
        keypoints_px: (B, 21, 2) joints in crop pixels.
        joint_depth_rel_mm: (B, 21) depth of the joints minus the wrist's, as it belongs to
            `keypoints_px` (a 2.5D head may disagree with `joints_rel_mm`).
        mano_pose: (B, 48) axis-angle, rad, minus MANO's mean pose.
        mano_shape: (B, 10).
        hand: (B,) int64, 0 right, 1 left: which hand model the parameters are of.
    """

    joints_rel_mm: Tensor
    vertices_rel_mm: Tensor
    keypoints_px: Tensor
    joint_depth_rel_mm: Tensor
    mano_pose: Tensor
    mano_shape: Tensor
    hand: Tensor


_SHAPES = {
    "joints_rel_mm": (21, 3),
    "vertices_rel_mm": (778, 3),
    "keypoints_px": (21, 2),
    "joint_depth_rel_mm": (21,),
    "mano_pose": (48,),
    "mano_shape": (10,),
    "hand": (),
}


@runtime_checkable
class PoseModel(Protocol):
    """A pose network: an mmengine `BaseModel` with these members.

    The `batch` it takes is what its target's data set gives, collated: a named tuple with at least
    `image` (B, 3, S, S) uint8 and `row` (B,) int64. A batch stays one object: give the constructor
    of `BaseModel` a `gesture_pretrain.pretraining.model.BatchToDevice`, which also makes the crops
    that the loader did not make.

    Attributes:
        backbone: the backbone that it was built around, the same object.
    """

    backbone: Backbone

    def forward(self, batch: Any, mode: str = "loss") -> dict[str, Tensor] | HandPrediction:
        """Run a batch.

        Args:
            batch: collated samples on the model's device.
            mode: "loss" or "predict".

        Returns:
            "loss": scalars; those whose name contains "loss" are weighted and summed, others are
            logged only. "predict": the hands.
        """

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch, from 0, the next batches belong to."""


def check_prediction(prediction: HandPrediction, batch_size: int) -> None:
    """Refuses a prediction of the wrong shape, naming the field; values are not looked at.

    Raises:
        TypeError: it is no `HandPrediction`.
        ValueError: a field is not of the shape that it must have.
    """
    if not isinstance(prediction, HandPrediction):
        raise TypeError(
            f"mode='predict' gave a {type(prediction).__name__}; it must be a HandPrediction"
        )
    for name, tail in _SHAPES.items():
        found = tuple(getattr(prediction, name).shape)
        if found != (batch_size, *tail):
            raise ValueError(f"{name} has shape {found}; needed is {(batch_size, *tail)}")
    if prediction.hand.dtype != torch.int64:
        raise ValueError(f"hand is {prediction.hand.dtype}; needed is int64, 0 right and 1 left")
