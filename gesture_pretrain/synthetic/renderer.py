"""Render planned frames to image files and annotations, one chunk of frames at a time."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from gesture_pretrain.geometry.axis_angle import mirror_pose, rodrigues
from gesture_pretrain.hand.bundled_hands import BundledHands
from gesture_pretrain.synthetic.annotations import (
    TIP_CONVENTION,
    image_notes,
    joint_note,
    mano_note,
)
from gesture_pretrain.synthetic.background import BackgroundPool, SplitPool
from gesture_pretrain.synthetic.detections import detection_note
from gesture_pretrain.synthetic.gestures import (
    gesture_angles_deg,
    hand_pose_from_angles,
    vary_angles_deg,
)
from gesture_pretrain.synthetic.plan import Chunk, FramePlan, Settings, Subject, stream
from gesture_pretrain.synthetic.poses import draw_take_deg
from gesture_pretrain.synthetic.rig import PosedHand, draw_placement, draw_rotation
from gesture_pretrain.synthetic.scene import Frame, Studio, View
from gesture_pretrain.synthetic.skin import SkinTexture
from gesture_pretrain.synthetic.staging import RULES, Stage, stage_bare_hand, stage_surroundings


class ChunkRenderer:
    """Renderer of a process, with caches that are kept between chunks."""

    def __init__(self, settings: Settings, photographs: dict[str, dict[str, Path]]):
        self._photographs, self._pools = photographs, {}
        self._skin_of: tuple[int, SkinTexture | None] = (-1, None)
        self.settings = settings
        self._take_of: tuple = (None, None)
        self.angles_deg = gesture_angles_deg()
        self.hands = BundledHands(TIP_CONVENTION)
        right = self.hands.models["right"]
        self.studio = Studio(
            rest_vertices_m=self.hands.rest_vertices_m,
            rest_joints_m=self.hands.rest_joints_m,
            faces=_as_array(right.faces).astype(np.int64),
            weights=_as_array(right.weights),
            size_px=settings.size_px,
            seed=settings.seed,
            rules=RULES[1 if settings.second_edition is None else 2],
        )

    def posed_hands(self, chunk: Chunk) -> list[tuple[PosedHand, np.ndarray, np.ndarray]]:
        """Return each frame's unplaced hand, 45 pose values (mean subtracted) and shape."""
        seed, split = self.settings.seed, chunk.subject.split
        person = stream(seed, "subject", split, chunk.subject.number)
        betas = person.normal(0.0, 0.9, 10)
        angles, shapes = [], []
        for plan in chunk.frames:
            if self.settings.second_edition is None:
                rng = stream(seed, "frame", split, plan.number)
                angles.append(vary_angles_deg(self.angles_deg[plan.folder.pose_name], rng))
            else:
                rng = stream(seed, "take", split, plan.take)
                angles.append(self._take_deg(split, plan)[plan.moment])
            shapes.append(betas + rng.normal(0.0, 0.1, 10))
        right = hand_pose_from_angles(np.array(angles), self.hands.rest_joints_m)
        shape = np.array(shapes, dtype=np.float32)
        posed = [None] * len(chunk.frames)
        for hand in ("right", "left"):
            rows = [i for i, plan in enumerate(chunk.frames) if plan.folder.hand == hand]
            if not rows:
                continue
            full = right[rows] if hand == "right" else mirror_pose(right[rows])
            pose = (full - self.hands.mean_pose(hand)).astype(np.float32)
            root = np.zeros((len(rows), 3), np.float32)
            vertices, joints = self.hands.posed(hand, np.concatenate([root, pose], 1), shape[rows])
            for k, i in enumerate(rows):
                mesh = vertices[k].astype(np.float64), joints[k].astype(np.float64)
                posed[i] = PosedHand(hand, *mesh), pose[k], shape[i]
        return posed

    def _take_deg(self, split: str, plan: FramePlan) -> np.ndarray:
        """Return (F, 21) finger angles of the frame's take; the last one is kept."""
        key = split, plan.take
        if self._take_of[0] != key:
            rng = stream(self.settings.seed, "take", split, plan.take, slot=1)
            name, length = plan.folder.pose_name, plan.take_length
            angles = draw_take_deg(rng, name, length, self.angles_deg, self.hands.rest_joints_m)
            self._take_of = key, angles
        return self._take_of[1]

    def render(self, chunk: Chunk) -> dict:
        """Write the images of a chunk and return its annotations."""
        texture = self._texture(chunk.subject)
        notes = {
            "images": [],
            "annotations": [],
            "detections": [],
            "joint_3d": {},
            "mano": {},
            "scenes": {},
            "lights": {},
        }
        posed = self.posed_hands(chunk)
        for index, (plan, (hand, pose, shape)) in enumerate(zip(chunk.frames, posed, strict=True)):
            other = posed[(index + plan.take_length) % len(posed)][0]  # of another take, if any
            hands = hand, other
            placement, frame, views = self._views(chunk.subject, plan, hands, texture)
            key = str(plan.frame_idx)
            notes["lights"][key] = frame.lighting.digest()
            notes["joint_3d"][key] = joint_note(plan.folder, frame.joints_m)
            notes["mano"][key] = mano_note(hand.hand, placement, pose, shape)
            for image_id, (quality, view) in zip(plan.image_ids, views, strict=True):
                image, annotation = image_notes(chunk.subject, plan, image_id, view, self.settings)
                pixels = _as_seen_by(view)
                save_jpeg(Path(chunk.images_root) / image["file_name"], pixels, quality)
                notes["images"].append(image)
                scene = {"background": view.background, "visible": round(view.visible, 3)}
                notes["scenes"][str(image_id)] = scene
                notes["annotations"].append(annotation)
                notes["detections"].append(self._detection(chunk.subject, annotation, view, frame))
        return notes

    def _detection(self, subject: Subject, annotation: dict, view: View, frame: Frame) -> dict:
        camera, number = view.camera, annotation["id"]
        offset_mm = 1000 * frame.joints_m[0] - camera.center_mm
        return detection_note(
            stream(self.settings.seed, "detection", subject.split, number),
            annotation_id=number,
            hand=annotation["hand_type"],
            bbox_xywh_px=annotation["bbox"],
            wrist_depth_mm=float(camera.R_cam_world[2] @ offset_mm),
            error_factor=1.0 if self.settings.second_edition is None else 2.0,
        )

    def _texture(self, subject: Subject) -> SkinTexture:
        """Return the person's skin, caching the last person's."""
        if self._skin_of[0] != subject.number:
            rng = stream(self.settings.seed, "subject", subject.split, subject.number, slot=2)
            self._skin_of = (
                subject.number,
                self.studio.skin.texture(rng, varied=self.settings.second_edition is not None),
            )
        return self._skin_of[1]

    def _pool(self, split: str) -> BackgroundPool | SplitPool:
        """Return the backgrounds of a split; edition 1 has one pool for all."""
        size_px, seed = self.settings.size_px, self.settings.seed
        if self.settings.second_edition is None:
            split = "all"
        if split not in self._pools:
            # of twice the size: 25 MB at 256 px, 200 MB at 1024
            self._pools[split] = (
                BackgroundPool(seed=seed, size_px=size_px, count=32 if size_px <= 256 else 16)
                if split == "all"
                else SplitPool(
                    seed=seed, split=split, size_px=size_px, photographs=self._photographs[split]
                )
            )
        return self._pools[split]

    def _views(
        self, subject: Subject, plan: FramePlan, hands: tuple[PosedHand, PosedHand], texture
    ):
        """Draw placements until enough cameras have a good image of the hand."""
        settings, split, wanted = self.settings, subject.split, len(plan.image_ids)
        number = self._scene_number(plan)
        rng = placing = stream(settings.seed, "frame", split, number, slot=1)
        rotation, ranks = None, None
        if settings.second_edition is not None:
            placing = stream(settings.seed, "frame", split, number, slot=2)
            rotation = self._drifting_rotation(subject, plan, hands[0])
            ranks = placing.permutation(len(subject.cameras))
        for _ in range(50):
            placement, order = draw_placement(
                placing, hands[0], subject.cameras, settings.limits, wanted, rotation
            )
            if ranks is not None:
                order = sorted(order, key=lambda slot: ranks[slot])
            stage = Stage(self.studio, hands[0], placement, texture)
            if settings.second_edition is None:
                frame = stage_bare_hand(rng, stage, self._pool(split))
            else:
                frame = stage_surroundings(rng, stage, self._pool(split), hands[1])
            views = list(self._good_views(frame, subject, plan, order))
            if len(views) == wanted:
                return placement, frame, views
            rotation = None
        raise ValueError(
            f"frame {plan.number} of {split} ({plan.folder.folder}): no placement in 50 gave "
            f"{len(plan.image_ids)} good views; use fewer cameras_per_frame or a wider limit"
        )

    def _scene_number(self, plan: FramePlan) -> int:
        """Return the key of the scene's stream: of the take if steady, else of the frame."""
        second = self.settings.second_edition
        return plan.take if second is not None and second.steady else plan.number

    def _drifting_rotation(self, subject: Subject, plan: FramePlan, hand: PosedHand) -> np.ndarray:
        """Return R_world_hand (3, 3) of a frame, which changes by some 40 degrees over a take."""
        rng = stream(self.settings.seed, "take", subject.split, plan.take, slot=2)
        start = draw_rotation(rng, hand.hand, subject.cameras, self.settings.limits)
        drift = rng.normal(0.0, np.deg2rad(25.0), 3)
        return start @ rodrigues((plan.moment + 0.5) / plan.take_length * drift)

    def _good_views(
        self, frame: Frame, subject: Subject, plan: FramePlan, order: list[int]
    ) -> Iterator[tuple[int, View]]:
        wanted = len(plan.image_ids)
        for slot in order:
            number = self._scene_number(plan)
            rng = stream(self.settings.seed, "view", subject.split, number, slot=int(slot))
            quality = int(rng.integers(45, 96)) if rng.uniform() < 0.7 else 95
            view = frame.render(rng, subject.cameras[slot])
            if view is not None:
                yield quality, view
                wanted -= 1
            if wanted == 0:
                return


def _as_array(value) -> np.ndarray:
    """Convert a buffer of the hand model, tensor or array, to numpy."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _as_seen_by(view: View) -> np.ndarray:
    """Return the image, with three equal channels if the camera is monochrome."""
    if not view.camera.name.startswith("41"):
        return view.image_bgr
    return cv2.cvtColor(cv2.cvtColor(view.image_bgr, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def save_jpeg(path: Path, image_bgr: np.ndarray, quality: int) -> None:
    """Write an image (H, W, 3), uint8, creating its folder.

    Raises:
        OSError: It cannot be encoded or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise OSError(f"could not encode {path} as JPEG")
    path.write_bytes(data.tobytes())


def least_bytes(images: float, size_wh: tuple[int, int]) -> int:
    """Estimate how much space rendered images and their annotations take at least.

    At 32 to 1024 px, it is 80 to 90 % of the size of the first edition, 65 to 94 % of that of the
    second.

    Args:
        images: Number of images.
        size_wh: Their width and height, px.
    """
    return round(images * (2500 + 0.12 * size_wh[0] * size_wh[1]))
