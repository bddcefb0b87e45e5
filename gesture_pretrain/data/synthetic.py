"""The embedded data set: rendered gesture images in the layout of InterHand2.6M v1.0.

Every gesture folder of the taxonomy, on hands of random shape, skin and pose variation, under random
light, seen by several calibrated cameras, with the annotation files of the real data set, so that
the reader of the real data reads it. One capture holds one subject, and a subject belongs to one
split. Each picture depends on the seed, its split, frame and camera only, never on the number of
worker processes.
"""

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from gesture_pretrain.data.gesture_pose import (
    GestureFolder,
    gesture_angles_deg,
    gesture_folders,
    hand_pose_from_angles,
    mirror_pose,
    vary_angles_deg,
)
from gesture_pretrain.data.synthetic_scene import (
    Camera,
    Frame,
    Placement,
    PosedHand,
    Studio,
    View,
    ViewLimits,
    draw_placement,
    make_rig,
)
from gesture_pretrain.geometry import tight_box
from gesture_pretrain.skeleton import INTERHAND_FROM_MANO21, JOINT_NAMES_INTERHAND

SPLITS = ("train", "val", "test")
DEFAULT_SUBJECTS = {"train": 24, "val": 6, "test": 6}
LICENCE = "CC0-1.0 (pictures and annotations; the hand derives from MakeHuman's CC0 base mesh)"
GENERATOR_VERSION = 1  # raise it whenever the same seed would give other bytes
TIP_CONVENTION = "smplx"

_FRAMES_PER_CHUNK = 16  # fixed: the batch of the hand model decides its rounding
_FRAME_STEP = {"train": 18, "val": 6, "test": 6}
_BOX_RATIO = 1.2
_FILLER_MM = [1.0, 1.0, 1.0]
_STREAMS = {"split": 1, "subject": 2, "frame": 3, "view": 4}


class Subject(NamedTuple):
    """One person and their capture."""

    split: str
    capture: int
    number: int  # unique over the splits
    cameras: list[Camera]


class FramePlan(NamedTuple):
    """What is decided about a frame before anything is rendered."""

    number: int  # unique in the split
    frame_idx: int  # as written in the files, unique in the capture
    folder: GestureFolder
    image_ids: list[int]  # one per view


class Chunk(NamedTuple):
    """A subject's consecutive frames: the unit of work of a process."""

    subject: Subject
    frames: list[FramePlan]
    images_root: str


@dataclass(frozen=True)
class Settings:
    """Everything that decides the bytes of the data set."""

    images_per_split: dict[str, int]
    size_px: int
    cameras_per_frame: int
    view_limit_deg: float | None
    roll_limit_deg: float | None
    subjects: dict[str, int]
    seed: int
    gestures: list[str] | None
    generator_version: int = GENERATOR_VERSION

    @property
    def limits(self) -> ViewLimits:
        return ViewLimits(self.view_limit_deg, self.roll_limit_deg)


def write_synthetic(
    root: str | Path,
    *,
    images_per_split: dict[str, int],
    size_px: int = 256,
    cameras_per_frame: int = 4,
    view_limit_deg: float | None = None,
    roll_limit_deg: float | None = None,
    subjects: dict[str, int] | None = None,
    seed: int = 0,
    workers: int = 2,
    gestures: list[str] | None = None,
    progress: bool = True,
) -> Path:
    """Render a data set into a new folder; an interrupted call leaves nothing under its name.

    Args:
        root: folder to make. If it already holds the same data set, nothing is done.
        images_per_split: number of pictures of "train", "val" and "test"; a split may be left out.
        size_px: side of the square pictures.
        cameras_per_frame: pictures of each frame; a split's last frame may have fewer.
        view_limit_deg: largest angle between the view direction and the normal of the palm or of
            the back of the hand, 15 to 90; None sees the hand from everywhere but along the arm.
        roll_limit_deg: largest angle between the fingers and "up" in the picture; None means 45
            with a view limit and no limit without one.
        subjects: number of persons per split, 24, 6 and 6 by default. No person is in two splits.
        seed: the same seed and arguments give the same bytes.
        workers: processes; 0 or 1 renders in this one.
        gestures: gesture or folder names to render; all 90 folders by default.
        progress: show one progress bar.

    Returns:
        The folder.

    Raises:
        ValueError: for an argument out of range or an unknown gesture or split.
        FileExistsError: if ``root`` holds anything else.
    """
    root = Path(root)
    if view_limit_deg is not None and roll_limit_deg is None:
        roll_limit_deg = 45.0
    settings = Settings(
        images_per_split=dict(images_per_split),
        size_px=size_px,
        cameras_per_frame=cameras_per_frame,
        view_limit_deg=view_limit_deg,
        roll_limit_deg=roll_limit_deg,
        subjects={**DEFAULT_SUBJECTS, **(subjects or {})},
        seed=seed,
        gestures=None if gestures is None else list(gestures),
    )
    _check(settings)
    folders = gesture_folders(settings.gestures)
    if _is_there(root, settings):
        print(f"{root} already holds this data set")
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    staging = root.parent / f".{root.name}.{os.getpid()}.partial"
    try:
        _write(staging, settings, folders, workers, progress)
        _move(staging, root, settings)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return root


def _check(settings: Settings) -> None:
    for name, counts in (
        ("images_per_split", settings.images_per_split),
        ("subjects", settings.subjects),
    ):
        unknown = sorted(set(counts) - set(SPLITS))
        if unknown:
            raise ValueError(f"{name} names the splits {unknown}; choose among {list(SPLITS)}")
        if min(counts.values(), default=0) < 1:
            raise ValueError(f"{name} is {counts}; every split named needs 1 or more")
    for name, low, high in (("size_px", 32, 2048), ("cameras_per_frame", 1, 24), ("seed", 0, 2**63)):
        if not low <= getattr(settings, name) <= high:
            raise ValueError(f"{name} is {getattr(settings, name)}, expected {low} to {high}")
    for name, low, high in (("view_limit_deg", 15, 90), ("roll_limit_deg", 1, 180)):
        limit = getattr(settings, name)
        if limit is not None and not low <= limit <= high:
            raise ValueError(f"{name} is {limit}, expected {low} to {high} degrees, or None")


def _is_there(root: Path, settings: Settings) -> bool:
    """Whether ``root`` holds this very data set; raises if it holds another or anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    card = root / "synthetic.json"
    found = json.loads(card.read_text(encoding="utf-8"))["parameters"] if card.is_file() else None
    wanted = _parameters(settings)
    if found == wanted:
        return True
    if found is None:
        raise FileExistsError(f"{root} exists and is not a rendered data set; choose another folder")
    different = sorted(key for key in wanted if found.get(key) != wanted[key])
    raise FileExistsError(
        f"{root} holds a data set rendered with other {different}; choose another folder or remove it"
    )


def _move(staging: Path, root: Path, settings: Settings) -> None:
    """Give the finished folder its name, unless another process was first with the same bytes."""
    try:
        if root.is_dir():
            root.rmdir()  # refuses a folder that is not empty
        staging.rename(root)
    except OSError:
        if not _is_there(root, settings):
            raise


def _parameters(settings: Settings) -> dict:
    return json.loads(json.dumps(vars(settings)))


# --- plan ------------------------------------------------------------------------------------


def _stream(seed: int, kind: str, split: str, number: int, slot: int = 0) -> np.random.Generator:
    """The random stream of one subject, frame or view: a counter-based generator with its own key."""
    word = _STREAMS[kind] << 56 | SPLITS.index(split) << 48 | number << 16 | slot
    return np.random.Generator(np.random.Philox(key=[seed, word]))


def _plan(settings: Settings, folders: list[GestureFolder], images_root: Path) -> list[Chunk]:
    chunks, number = [], 0
    for split in SPLITS:
        first_subject, number = number, number + settings.subjects[split]
        if split in settings.images_per_split:
            chunks += _plan_split(settings, split, first_subject, folders, images_root)
    return chunks


def _plan_split(settings, split, first_subject, folders, images_root) -> list[Chunk]:
    """Frames of a split, in shuffled rounds through the gestures, dealt out to its subjects."""
    rng = _stream(settings.seed, "split", split, 0)
    views = settings.cameras_per_frame
    num_frames = -(-settings.images_per_split[split] // views)
    rounds = -(-num_frames // len(folders))
    order = np.concatenate([rng.permutation(len(folders)) for _ in range(rounds)])[:num_frames]
    ids = np.cumsum(rng.choice([1, 1, 1, 2, 4], settings.images_per_split[split])).tolist()
    first_idx = 1000 + int(rng.integers(20000))
    chunks = []
    for capture, numbers in enumerate(np.array_split(np.arange(num_frames), settings.subjects[split])):
        subject = _subject(settings, split, capture, first_subject + capture)
        plans = [
            FramePlan(
                number=int(n),
                frame_idx=first_idx + _FRAME_STEP[split] * int(n),
                folder=folders[order[n]],
                image_ids=ids[views * n : views * (n + 1)],
            )
            for n in numbers
        ]
        for start in range(0, len(plans), _FRAMES_PER_CHUNK):
            part = plans[start : start + _FRAMES_PER_CHUNK]
            chunks.append(Chunk(subject, part, str(images_root / split)))
    return chunks


def _subject(settings: Settings, split: str, capture: int, number: int) -> Subject:
    rng = _stream(settings.seed, "subject", split, number, slot=1)
    num_cameras, elevation = 24, 90.0
    if settings.view_limit_deg is not None:  # enough cameras that several are within the limit
        share = 1 - np.cos(np.deg2rad(settings.view_limit_deg))
        num_cameras = max(24, int(np.ceil(4 * settings.cameras_per_frame / share)))
    if settings.roll_limit_deg is not None:
        elevation = 50.0
    cameras = make_rig(
        rng, size_px=settings.size_px, num_cameras=num_cameras, max_elevation_deg=elevation
    )
    return Subject(split, capture, number, cameras)


# --- render ----------------------------------------------------------------------------------


class _Renderer:
    """What one process keeps between chunks."""

    def __init__(self, settings: Settings):
        from gesture_pretrain.hand_model import load_hand_model  # imports torch

        self.settings = settings
        self.angles_deg = gesture_angles_deg()
        self.models = {
            hand: load_hand_model(hand, path="open", tip_convention=TIP_CONVENTION)
            for hand in ("right", "left")
        }
        right = self.models["right"]
        flat = -_as_array(right.hands_mean).reshape(1, 45)
        rest = self._meshes("right", np.concatenate([np.zeros((1, 3)), flat], 1), np.zeros((1, 10)))
        self.rest_joints_m = rest[1][0].astype(np.float64)
        self.studio = Studio(
            rest_vertices_m=rest[0][0].astype(np.float64),
            rest_joints_m=self.rest_joints_m,
            faces=_as_array(right.faces).astype(np.int64),
            weights=_as_array(right.weights),
            size_px=settings.size_px,
            seed=settings.seed,
        )

    def _meshes(self, hand: str, pose: np.ndarray, shape: np.ndarray):
        """Vertices (B, 778, 3) and joints (B, 21, 3) in metres, without translation."""
        import torch

        batch = [torch.tensor(a, dtype=torch.float32) for a in (pose, shape, np.zeros((len(pose), 3)))]
        with torch.inference_mode():
            mesh = self.models[hand](*batch)
        return mesh.vertices_m.numpy(), mesh.joints_m.numpy()

    def posed_hands(self, chunk: Chunk) -> list[tuple[PosedHand, np.ndarray, np.ndarray]]:
        """Per frame: the hand before placement, its 45 pose values (mean subtracted), its shape."""
        seed, split = self.settings.seed, chunk.subject.split
        person = _stream(seed, "subject", split, chunk.subject.number)
        betas = person.normal(0.0, 0.9, 10)
        angles, shapes = [], []
        for plan in chunk.frames:
            rng = _stream(seed, "frame", split, plan.number)
            angles.append(vary_angles_deg(self.angles_deg[plan.folder.pose_name], rng))
            shapes.append(betas + rng.normal(0.0, 0.1, 10))
        right = hand_pose_from_angles(np.array(angles), self.rest_joints_m)
        shape = np.array(shapes, dtype=np.float32)
        posed = [None] * len(chunk.frames)
        for hand in ("right", "left"):
            rows = [i for i, plan in enumerate(chunk.frames) if plan.folder.hand == hand]
            if not rows:
                continue
            full = right[rows] if hand == "right" else mirror_pose(right[rows])
            mean = _as_array(self.models[hand].hands_mean).reshape(1, 45)
            pose = (full - mean).astype(np.float32)
            root = np.zeros((len(rows), 3), np.float32)
            vertices, joints = self._meshes(hand, np.concatenate([root, pose], 1), shape[rows])
            for k, i in enumerate(rows):
                mesh = vertices[k].astype(np.float64), joints[k].astype(np.float64)
                posed[i] = PosedHand(hand, *mesh), pose[k], shape[i]
        return posed

    def render(self, chunk: Chunk) -> dict:
        """Write the pictures of a chunk and return its annotations."""
        texture = self.studio.skin.texture(
            _stream(self.settings.seed, "subject", chunk.subject.split, chunk.subject.number, slot=2)
        )
        notes = {"images": [], "annotations": [], "joint_3d": {}, "mano": {}}
        posed = self.posed_hands(chunk)
        for plan, (hand, pose, shape) in zip(chunk.frames, posed, strict=True):
            placement, frame, views = self._views(chunk.subject, plan, hand, texture)
            key = str(plan.frame_idx)
            notes["joint_3d"][key] = _joint_note(plan.folder, frame.joints_m)
            notes["mano"][key] = _mano_note(hand.hand, placement, pose, shape)
            for image_id, (quality, view) in zip(plan.image_ids, views, strict=True):
                image, annotation = _image_notes(chunk.subject, plan, image_id, view, self.settings)
                _save(Path(chunk.images_root) / image["file_name"], view.image_bgr, quality)
                notes["images"].append(image)
                notes["annotations"].append(annotation)
        return notes

    def _views(self, subject: Subject, plan: FramePlan, hand: PosedHand, texture):
        """Draw placements until enough cameras have a good picture of the hand."""
        seed, split = self.settings.seed, subject.split
        rng = _stream(seed, "frame", split, plan.number, slot=1)
        for _ in range(50):
            placement, order = draw_placement(
                rng, hand, subject.cameras, self.settings.limits, len(plan.image_ids)
            )
            frame = self.studio.frame(rng, hand, placement, texture)
            views = list(self._good_views(frame, subject, plan, order))
            if len(views) == len(plan.image_ids):
                return placement, frame, views
        raise RuntimeError(
            f"frame {plan.number} of {split} ({plan.folder.folder}): no placement in 50 gave "
            f"{len(plan.image_ids)} good views; use fewer cameras_per_frame or a wider limit"
        )

    def _good_views(
        self, frame: Frame, subject: Subject, plan: FramePlan, order: list[int]
    ) -> Iterator[tuple[int, View]]:
        wanted = len(plan.image_ids)
        for slot in order:
            rng = _stream(self.settings.seed, "view", subject.split, plan.number, slot=int(slot))
            quality = int(rng.integers(45, 96)) if rng.uniform() < 0.7 else 95
            view = frame.picture(rng, subject.cameras[slot])
            if view is not None:
                yield quality, view
                wanted -= 1
            if wanted == 0:
                return


def _as_array(value) -> np.ndarray:
    """A buffer of the hand model as numpy, whether it is kept as a tensor or an array."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _save(path: Path, image_bgr: np.ndarray, quality: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise OSError(f"could not encode {path} as JPEG")
    path.write_bytes(data.tobytes())


# --- annotations -----------------------------------------------------------------------------


def _floats(values) -> list:
    """Nested lists of doubles that are exactly float32 values, as in the real files."""
    return np.asarray(values, dtype=np.float32).tolist()


def _hand_rows(hand: str, rows: list, other: list) -> list:
    """42 rows, right hand first, from the 21 of one hand and a filler for the other."""
    return rows + [other] * 21 if hand == "right" else [other] * 21 + rows


def _joint_note(folder: GestureFolder, joints_m: np.ndarray) -> dict:
    joints_mm = _floats(1000 * joints_m[list(INTERHAND_FROM_MANO21)])
    return {
        "world_coord": _hand_rows(folder.hand, joints_mm, _FILLER_MM),
        "joint_valid": _hand_rows(folder.hand, [[True]] * 21, [False]),
        "hand_type": folder.hand,
        "hand_type_valid": True,
        "seq": folder.folder,
    }


def _mano_note(hand: str, placement: Placement, pose: np.ndarray, shape: np.ndarray) -> dict:
    fit = {
        "pose": _floats(np.concatenate([placement.rotation_vector, pose])),
        "shape": _floats(shape),
        "trans": _floats(placement.trans_m),
    }
    return {"right": None, "left": None, hand: fit}


def _image_notes(
    subject: Subject, plan: FramePlan, image_id: int, view: View, settings: Settings
) -> tuple[dict, dict]:
    camera, folder = view.camera.name, plan.folder
    name = f"Capture{subject.capture}/{folder.folder}/cam{camera}/image{plan.frame_idx}.jpg"
    image = {
        "id": image_id,
        "file_name": name,
        "width": settings.size_px,
        "height": settings.size_px,
        "capture": subject.capture,
        "subject": subject.number,
        "seq_name": folder.folder,
        "camera": camera,
        "frame_idx": plan.frame_idx,
    }
    valid = [[int(inside)] for inside in view.in_view[list(INTERHAND_FROM_MANO21)]]
    annotation = {
        "id": image_id,
        "image_id": image_id,
        "bbox": _floats(tight_box(view.keypoints_px, view.in_view, ratio=_BOX_RATIO)),
        "joint_valid": _hand_rows(folder.hand, valid, [0]),
        "hand_type": folder.hand,
        "hand_type_valid": 1,
    }
    return image, annotation


def _camera_note(cameras: list[Camera]) -> dict:
    return {
        "campos": {c.name: _floats(c.center_mm) for c in cameras},
        "camrot": {c.name: _floats(c.R_cam_world) for c in cameras},
        "focal": {c.name: _floats(c.focal_px) for c in cameras},
        "princpt": {c.name: _floats(c.princpt_px) for c in cameras},
    }


# --- write -----------------------------------------------------------------------------------


def _write(staging: Path, settings: Settings, folders, workers: int, progress: bool) -> None:
    chunks = _plan(settings, folders, staging / "images")
    files = {
        split: {"data": {"images": [], "annotations": []}, "camera": {}, "joint_3d": {}, "mano": {}}
        for split in SPLITS
        if split in settings.images_per_split
    }
    total = sum(settings.images_per_split.values())
    with tqdm(total=total, desc="rendering", unit="image", disable=not progress) as bar:
        for chunk, notes in zip(chunks, _rendered(chunks, settings, workers), strict=True):
            _collect(files[chunk.subject.split], chunk.subject, notes)
            bar.update(len(notes["images"]))
    for split, parts in files.items():
        _write_split(staging / "annotations" / split, split, parts)
    _write_lists(staging, settings, chunks)


def _collect(parts: dict, subject: Subject, notes: dict) -> None:
    capture = str(subject.capture)
    parts["data"]["images"] += notes["images"]
    parts["data"]["annotations"] += notes["annotations"]
    parts["camera"].setdefault(capture, _camera_note(subject.cameras))
    parts["joint_3d"].setdefault(capture, {}).update(notes["joint_3d"])
    parts["mano"].setdefault(capture, {}).update(notes["mano"])


def _write_split(folder: Path, split: str, parts: dict) -> None:
    folder.mkdir(parents=True)
    names = {"data": "data", "camera": "camera", "joint_3d": "joint_3d", "mano": "MANO_NeuralAnnot"}
    for part, name in names.items():
        path = folder / f"InterHand2.6M_{split}_{name}.json"
        path.write_text(json.dumps(parts[part]), encoding="utf-8")


def _write_lists(staging: Path, settings: Settings, chunks: list[Chunk]) -> None:
    rows = ["# joint_name joint_id joint_parent_id"]
    for side, offset in (("r", 0), ("l", 21)):
        for index, joint in enumerate(JOINT_NAMES_INTERHAND):
            base = joint == "wrist"
            parent = -1 if base else offset + (20 if joint.endswith("1") else index + 1)
            rows.append(f"{side}_{joint} {offset + index} {parent}")
    (staging / "annotations" / "skeleton.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    people = {chunk.subject.number: chunk.subject for chunk in chunks}
    rows = ["# subject_id subject_directory gender"]
    rows += [f"{n} {s.split}/Capture{s.capture} unspecified" for n, s in sorted(people.items())]
    (staging / "annotations" / "subject.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    card = {
        "synthetic": True,
        "description": "Rendered hands in the layout of InterHand2.6M v1.0; not photographs.",
        "licence": LICENCE,
        "seed": settings.seed,
        "images": settings.images_per_split,
        "tip_convention": TIP_CONVENTION,
        "parameters": _parameters(settings),
    }
    text = json.dumps(card, indent=2, sort_keys=True) + "\n"
    (staging / "synthetic.json").write_text(text, encoding="utf-8")


def _rendered(chunks: list[Chunk], settings: Settings, workers: int) -> Iterator[dict]:
    """Annotations of every chunk, in order; the pictures are written on the way."""
    if workers <= 1:
        with _one_thread():
            renderer = _Renderer(settings)
            for chunk in chunks:
                yield renderer.render(chunk)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (settings,)) as pool:
        try:
            yield from pool.map(_render_in_worker, chunks)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@lru_cache(maxsize=1)
def _worker_renderer(settings_json: str) -> _Renderer:
    return _Renderer(Settings(**json.loads(settings_json)))


_worker_settings: list[str] = []


def _start_worker(settings: Settings) -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threadpool_limits(1)
    _worker_settings[:] = [json.dumps(vars(settings))]


def _render_in_worker(chunk: Chunk) -> dict:
    return _worker_renderer(_worker_settings[0]).render(chunk)


@contextmanager
def _one_thread():
    """One thread for OpenCV, torch and BLAS, as in a worker; restored afterwards."""
    import torch

    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
