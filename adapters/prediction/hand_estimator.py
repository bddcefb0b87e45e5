"""Inference of any trained pose network on a user's own images.

from adapters.prediction import HandEstimator
hands = HandEstimator()(image_rgb)  # the released network and the hand detector
hand = HandEstimator("runs/my_run/model").predict([image_rgb], hands="right")[0]
"""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapters.detection import DetectedHand, HandDetector
from adapters.detection.hand_detector import require_image
from adapters.pose.checkpoint import StoredPoseModel, load_pose_model
from adapters.pose.frames import CameraPrediction, to_camera_frame
from adapters.pose.inference import PoseInference
from adapters.pose.model import HandPrediction
from adapters.prediction.gesture_reader import (
    Gesture,
    GestureReader,
    matching_taxonomy,
    stored_gesture_reader,
)
from adapters.prediction.hand_boxes import box_of_detected
from adapters.prediction.hand_crops import HandCrops, crop_hands, square_hand_box
from adapters.prediction.intrinsics import Intrinsics, intrinsics_of
from gesture_pretrain.geometry.axis_angle import mirror_pose
from gesture_pretrain.skeleton import HANDS
from gesture_pretrain.weights.released import POSE_NETWORK


class HandEstimate(NamedTuple):
    """One hand, in the pixels of its image and the axes of the image's camera, float32.

    Attributes:
        hand: "right" or "left".
        hand_probability: Probability of that handedness; None if it was given.
        box_xywh_px: `(4,)`, the square that was cropped.
        keypoints_px: `(21, 2)`, mano21 order.
        joint_depth_rel_mm: `(21,)`, depth of the joints minus the wrist's, with `keypoints_px`.
        joints_rel_mm: `(21, 3)`, joints of the MANO hand minus its wrist.
        vertices_rel_mm: `(778, 3)`, its mesh minus the same wrist.
        mano_pose: `(48,)` axis-angle, rad, minus MANO's mean pose, of the hand model of `hand`.
        mano_shape: `(10,)`.
        camera_from_view: `(3, 3)` rotation from the view in which the pose was predicted to the
            camera, see `HandEstimator.uses_cameras`; else the identity.
        image_from_mm: `(3,)`: scale s in px per mm and shift in px, so that `s * (x, y) + shift`
            of `joints_rel_mm @ camera_from_view` lies on `keypoints_px` as well as it can: where to
            draw the mesh when the camera is not known.
        coarse, fine: Gesture and its probability given the handedness; None without a head.
    """

    hand: str
    hand_probability: float | None
    box_xywh_px: np.ndarray
    keypoints_px: np.ndarray
    joint_depth_rel_mm: np.ndarray
    joints_rel_mm: np.ndarray
    vertices_rel_mm: np.ndarray
    mano_pose: np.ndarray
    mano_shape: np.ndarray
    camera_from_view: np.ndarray
    image_from_mm: np.ndarray
    coarse: Gesture | None
    fine: Gesture | None


class HandEstimator:
    """Predict hands in images.

    Args:
        source: Name of a released network, folder of a stored network, or the result of
            `load_pose_model`.
        gestures: Name or folder of a Stage 1 gesture network for handedness and gesture. If
            None, the guiding heads of a token-fusion network are used, if they were
            trained in Stage 1. They are less reliable: Stage 2 trains them on, on right hands and
            without gesture labels. Heads of other targets are not read.
        taxonomy: File of the gestures' taxonomy, unless it is a packaged one.
        hand_model: MANO file or folder, see `load_pose_model`.
        device: Device of the network.
        box_ratio: Side of the crop over the longer side of a box.
        batch_size: Hands per batch.
        focal_px: Focal length of images whose camera is not given; None to assume a field of view
            of 60 degrees along their longer side. Networks that predict poses in views of the crops
            require the camera, see `uses_cameras`.
        detector: Function from an image to its `DetectedHand`s; None for a `HandDetector`, which
            the extra `detect` installs.
        **engine: `engine`, `precision`, `compile` and `channels_last` of `PoseInference`. ONNX
            Runtime returns no gesture logits, so `engine="onnx"` requires `gestures` or `hands`.

    Attributes:
        sees_right_hands_only: Left hands are mirrored in and out, as token fusion was trained;
            other targets take the original crop and the handedness.
        uses_cameras: Poses are predicted in views of the crops, and rotated to the image's camera.

    Raises:
        ValueError: The weights have another taxonomy.
        WeightsError, UnknownBackbone: See `load_pose_model` and `load_backbone`.
    """

    def __init__(
        self,
        source: str | PathLike | StoredPoseModel = POSE_NETWORK,
        *,
        gestures: str | PathLike | None = None,
        taxonomy: str | PathLike | None = None,
        hand_model: str | PathLike | None = None,
        device: str | torch.device = "cpu",
        box_ratio: float = 1.25,
        batch_size: int = 16,
        focal_px: float | None = None,
        detector: Callable[[np.ndarray], list[DetectedHand]] | None = None,
        **engine,
    ):
        if not isinstance(source, StoredPoseModel):
            source = load_pose_model(source, hand_model=hand_model, device=device)
        self.card, self.hand_models = source.card, source.hand_models
        self.sees_right_hands_only = self.card.target == "token_fusion"
        self.inference = PoseInference(source, device=str(device), batch_size=batch_size, **engine)
        self.model, self.device = self.inference.model, torch.device(device)
        self.box_ratio, self.batch_size, self.focal_px = box_ratio, batch_size, focal_px
        self.uses_cameras = self.card.options.get("frame") == "view"
        self.reader = self._gesture_reader(gestures, taxonomy)
        self._detector = detector

    def __call__(self, image_rgb: np.ndarray) -> list[HandEstimate]:
        """Detect the hands in an image `(H, W, 3)`, uint8 RGB, and predict each.

        Raises:
            ModuleNotFoundError: The extra `detect` is not installed.
            TypeError, ValueError: The image has another type or shape, or is too small.
        """
        found = [box_of_detected(hand) for hand in self.detector(image_rgb)]
        boxes, sides = [box.box_xywh_px for box in found], [box.hand for box in found]
        return self.predict([image_rgb] * len(found), boxes, sides)

    @property
    def detector(self) -> Callable[[np.ndarray], list[DetectedHand]]:
        """The hand detector, which is loaded when it is first used."""
        if self._detector is None:
            self._detector = HandDetector()
        return self._detector

    @torch.no_grad()
    def predict(
        self,
        images: Sequence[np.ndarray],
        boxes: Sequence[Sequence[float] | None] | None = None,
        hands: str | Sequence[str | None] | None = None,
        cameras: Sequence[Intrinsics | None] | None = None,
    ) -> list[HandEstimate]:
        """Predict the hand in each image.

        Args:
            images: `(H, W, 3)` uint8, RGB, of any size.
            boxes: For each image x, y, width, height in pixels, or None for the whole image.
            hands: "right" or "left", for all or per image; None to predict it from gestures.
            cameras: Camera of each image; None for `focal_px` and a principal point in the middle.

        Returns:
            One estimate per image, in order.

        Raises:
            TypeError, ValueError: An image, box or handedness is invalid, or the
                handedness is unknown.
        """
        sides = _per_image("hands", hands, len(images))
        boxes = _per_image("boxes", boxes, len(images))
        cameras = _per_image("cameras", cameras, len(images))
        squares = []
        for number, (image, box, side) in enumerate(zip(images, boxes, sides, strict=True)):
            require_image(image, f"image {number}")
            self._check_side(side, number)
            squares.append(square_hand_box(image, box, box_ratio=self.box_ratio, number=number))
        cameras = [
            intrinsics_of(image.shape[1::-1], self.focal_px) if camera is None else camera
            for image, camera in zip(images, cameras, strict=True)
        ]
        estimates: list[HandEstimate] = []
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            estimates += self._predict(
                list(images[part]), squares[part], sides[part], cameras[part]
            )
        return estimates

    def tells_sides(self) -> bool:
        """Return whether gestures predict handedness, which makes `hands` optional."""
        return self.reader is not None and self.reader.tells_sides()

    def _predict(self, images, squares, sides: list[str | None], cameras) -> list[HandEstimate]:
        chosen, chances = self._choose_sides(images, squares, sides)
        is_left = [side == "left" for side in chosen]
        looks_right = self._crops(images, squares, is_left, cameras)
        crops, output = looks_right, None
        if not self.sees_right_hands_only:
            crops = self._crops(images, squares, [False] * len(images), cameras)
            crops = crops._replace(hand=torch.tensor(is_left).to(crops.hand))
        if self._reads_own_heads():
            output = self.inference.run(crops.image, crops.hand, mode="tensor")
            hands = self.model.prediction(output, self.card.size_px)
        else:
            hands = self.inference.run(crops.image, crops.hand)
            hands.require(HandPrediction._fields, "Prediction on images")
        gestures: list[dict[str, Gesture]] = [{} for _ in images]
        if self.reader is not None:
            gestures = self.reader.gestures(self._logits(looks_right, output), chosen)
        camera = to_camera_frame(hands, crops)
        return [
            _estimate(i, chosen[i], chances[i], squares[i], crops, camera, hands, gestures[i])
            for i in range(len(images))
        ]

    def _choose_sides(
        self, images, squares, sides: list[str | None]
    ) -> tuple[list[str], list[float | None]]:
        """Return the given handedness, else that of the crop that looks more like a right hand."""
        open_ = [i for i, side in enumerate(sides) if side is None]
        chosen, chances = list(sides), [None] * len(sides)
        if not open_:
            return chosen, chances
        crops = [images[i] for i in open_], [squares[i] for i in open_]
        as_is, mirrored = (
            self.reader.right_probability(self._logits(self._crops(*crops, [flip] * len(open_))))
            for flip in (False, True)
        )
        for i, right in zip(open_, as_is / np.maximum(as_is + mirrored, 1e-12), strict=True):
            chosen[i] = "right" if right >= 0.5 else "left"
            chances[i] = float(max(right, 1 - right))
        return chosen, chances

    def _crops(self, images, squares, mirrored: list[bool], cameras=None) -> HandCrops:
        cameras = cameras if self.uses_cameras else None
        crops = crop_hands(images, squares, mirrored, self.card.size_px, cameras=cameras)
        return HandCrops(*(field.to(self.device) for field in crops))

    def _logits(self, crops: HandCrops, output=None) -> dict[str, Tensor]:
        if self.reader.network is not None:
            return self.reader.logits(crops.image)
        if output is None:
            output = self.inference.run(crops.image, crops.hand, mode="tensor")
        logits = {"coarse": output.coarse_logits, "fine": output.fine_logits}
        return {level: values for level, values in logits.items() if values is not None}

    def _reads_own_heads(self) -> bool:
        return self.reader is not None and self.reader.network is None

    def _gesture_reader(self, gestures, taxonomy) -> GestureReader | None:
        if gestures is not None:
            return stored_gesture_reader(gestures, device=self.device, taxonomy=taxonomy)
        facts = self.card.head_classes
        if not self.sees_right_hands_only or facts is None or self.model is None:
            return None
        if not self.model.network.gesture_heads:
            return None
        return GestureReader(matching_taxonomy(facts.name, facts.sha256, taxonomy))

    def _check_side(self, side: str | None, number: int) -> None:
        if side is None and not self.tells_sides():
            raise ValueError(
                f"the handedness in image {number} is unknown. Give "
                "hands='right' or 'left', or gestures=… with a network that predicts it."
            )
        if side not in (*HANDS, None):
            raise ValueError(f"hand of image {number} is {side!r}; possible: 'right', 'left'")


def fit_image_from_mm(joints_rel_mm: np.ndarray, keypoints_px: np.ndarray) -> np.ndarray:
    """Fit scale and shift `(3,)` from x and y of `(N, 3)` to `(N, 2)` by least squares."""
    flat, seen = np.float64(joints_rel_mm[:, :2]), np.float64(keypoints_px)
    flat_mean, seen_mean = flat.mean(0), seen.mean(0)
    spread = np.sum((flat - flat_mean) ** 2)
    scale = np.sum((flat - flat_mean) * (seen - seen_mean)) / max(spread, 1e-12)
    return np.array([scale, *(seen_mean - scale * flat_mean)], np.float32)


def _estimate(
    i: int,
    side: str,
    chance: float | None,
    square: np.ndarray,
    crops: HandCrops,
    camera: CameraPrediction,
    hands: HandPrediction,
    gesture: dict[str, Gesture],
) -> HandEstimate:
    pose = camera.mano_pose[i]
    joints, keypoints = camera.joints_rel_mm[i], camera.keypoints_image_px[i]
    camera_from_crop = crops.camera_from_crop[i].cpu().numpy()
    camera_from_view = camera_from_crop @ np.diag([np.linalg.det(camera_from_crop), 1, 1])
    return HandEstimate(
        hand=side,
        hand_probability=chance,
        box_xywh_px=np.float32(square),
        keypoints_px=keypoints,
        joint_depth_rel_mm=camera.joint_depth_rel_mm[i],
        joints_rel_mm=joints,
        vertices_rel_mm=camera.vertices_rel_mm[i],
        mano_pose=np.float32(mirror_pose(pose) if side != HANDS[int(hands.hand[i])] else pose),
        mano_shape=hands.mano_shape[i].cpu().numpy(),
        camera_from_view=np.float32(camera_from_view),
        image_from_mm=fit_image_from_mm(joints @ camera_from_view, keypoints),
        coarse=gesture.get("coarse"),
        fine=gesture.get("fine"),
    )


def _per_image(name: str, values, count: int) -> list:
    """Return one value per image, repeating a single one or None."""
    if values is None or isinstance(values, str):
        return [values] * count
    if len(values) != count:
        raise ValueError(f"{len(values)} {name} for {count} images; one each is needed")
    return list(values)
