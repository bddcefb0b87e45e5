"""The embedded dataset: rendered gesture images in the layout of InterHand2.6M v1.0.

It shows every gesture of the taxonomy on hands of random shape and skin, under random light, seen
by several calibrated cameras. The reader of the real data accepts its annotation files. A capture
holds one subject, and a subject belongs to one split. Each image depends only on the seed and on
its split, frame and camera, not on the number of worker processes.
"""

import hashlib
import json
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import repeat
from pathlib import Path

import cv2
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from gesture_pretrain.files import atomic_folder
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.synthetic.annotations import (
    camera_note,
    write_lists,
    write_scenes,
    write_split,
)
from gesture_pretrain.synthetic.background import find_photographs
from gesture_pretrain.synthetic.detections import DETECTED_SPLITS, write_detections
from gesture_pretrain.synthetic.gestures import gesture_folders
from gesture_pretrain.synthetic.plan import (
    CONTINUOUS,
    FRAMES_PER_TAKE,
    SPLITS,
    Chunk,
    SecondEdition,
    Settings,
    Subject,
    make_plan,
)
from gesture_pretrain.synthetic.renderer import ChunkRenderer, least_bytes

DEFAULT_SUBJECTS = {"train": 24, "val": 6, "test": 6}


def write_synthetic(
    root: str | Path,
    *,
    images_per_split: dict[str, int],
    size_px: int = 256,
    cameras_per_frame: int = 4,
    view_limit_deg: float | None = None,
    roll_limit_deg: float | None = None,
    view_side: str = "both",
    grey_cameras: int = 0,
    subjects: dict[str, int] | None = None,
    seed: int = 0,
    workers: int = 2,
    gestures: list[str] | None = None,
    edition: int = 1,
    continuous: dict[str, float] | None = None,
    frames_per_take: int = FRAMES_PER_TAKE,
    steady: bool = False,
    backgrounds: str | Path | None = None,
    package_backgrounds: Sequence[str] = (),
    progress: bool = True,
) -> Path:
    """Render a dataset into a new folder; an interrupted call leaves nothing under its name.

    Args:
        root: Folder to make. If it already holds the same dataset, nothing is done.
        images_per_split: Number of images of "train", "val" and "test"; a split may be left out.
        size_px: Side of the square images.
        cameras_per_frame: Images of each frame; a split's last frame may have fewer.
        view_limit_deg: Largest angle between the view direction and the normal of the palm or of
            the back of the hand, 15 to 90; None allows all views except along the arm.
        roll_limit_deg: Largest angle between the fingers and "up" in the image; None means 45
            with a view limit and no limit without one.
        view_side: "palm", "back" or "both": visible side within the limit. From one side, the
            outline alone separates right from left hands, which makes small runs easier.
        grey_cameras: Number of each person's 24 or more cameras that are monochrome: named 41xxxx,
            with three equal channels.
        subjects: Number of persons per split, 24, 6 and 6 by default. No person is in two splits.
        seed: The same seed and arguments give the same bytes.
        workers: Processes; 0 or 1 renders in this one.
        gestures: Gesture or folder names to render; all 90 folders by default.
        edition: 1, bare hands that show one gesture per frame, or 2, takes of several frames in
            varied surroundings (docs/embedded_dataset.md). The options below need edition 2.
        continuous: Fraction of each split's takes that show continuous poses without a gesture; 0.4
            by default.
        frames_per_take: Number of frames of a take.
        steady: Keep scene, light and cameras during a take, as a video does.
        backgrounds: Folder of photographs; no photograph is used in two splits.
        package_backgrounds: Installed packages whose photographs are used, keys of
            `background.PACKAGE_PHOTOGRAPHS`.
        progress: Show one progress bar.

    Returns:
        The folder.

    Raises:
        ValueError: An argument is out of range, or a gesture or split is unknown.
        FileExistsError: ``root`` holds anything else.
        DiskFull: The space does not suffice; found before rendering if that can be predicted.
    """
    root = Path(root)
    photographs = find_photographs(backgrounds, package_backgrounds)
    settings = Settings(
        images_per_split=dict(images_per_split),
        size_px=size_px,
        cameras_per_frame=cameras_per_frame,
        view_limit_deg=view_limit_deg,
        roll_limit_deg=_roll_limit_deg(view_limit_deg, roll_limit_deg),
        view_side=view_side,
        subjects={**DEFAULT_SUBJECTS, **(subjects or {})},
        seed=seed,
        gestures=None if gestures is None else list(gestures),
        grey_cameras=grey_cameras,
        second_edition=_second_edition(
            edition, continuous, frames_per_take, steady, _hashes(photographs)
        ),
    )
    if not _is_there(root, settings):
        _write_and_move(root, settings, photographs, workers, progress)
    return root


def _roll_limit_deg(view_limit_deg: float | None, roll_limit_deg: float | None) -> float | None:
    default = None if view_limit_deg is None else 45.0
    return default if roll_limit_deg is None else roll_limit_deg


def _second_edition(
    edition: int,
    continuous: dict[str, float] | None,
    frames_per_take: int,
    steady: bool,
    photographs: dict[str, dict[str, str]],
) -> SecondEdition | None:
    """Return the options of edition 2, or None for edition 1."""
    fractions = {**dict.fromkeys(SPLITS, CONTINUOUS), **(continuous or {})}
    options = SecondEdition(fractions, frames_per_take, steady, photographs)
    if edition not in (1, 2):
        raise ValueError(f"edition is {edition}; choose 1 or 2")
    if edition == 1:
        if options != SecondEdition():
            raise ValueError(
                "continuous, frames_per_take, steady and backgrounds need edition=2; "
                "edition 1 does not support them"
            )
        return None
    return options


def _hashes(photographs: dict[str, dict[str, Path]]) -> dict[str, dict[str, str]]:
    """Return the hash of each photograph's file by split and name."""
    return {
        split: {n: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for n, path in files.items()}
        for split, files in photographs.items()
    }


def _is_there(root: Path, settings: Settings) -> bool:
    """Return whether ``root`` holds this very dataset; raise if it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    card = root / "synthetic.json"
    found = _parameters(card) if card.is_file() else None
    wanted = settings.as_json()
    if found == wanted:
        print(f"{root} already holds this dataset")
        return True
    if found is None:
        raise FileExistsError(f"{root} exists and is not a rendered dataset; choose another folder")
    different = sorted(
        key for key in wanted.keys() | found.keys() if found.get(key) != wanted.get(key)
    )
    raise FileExistsError(
        f"{root} holds a dataset rendered with other {different}; "
        "remove it or choose another folder"
    )


def _parameters(card: Path) -> dict:
    content = read_json(card, ValueError)
    if not isinstance(content, dict) or not isinstance(content.get("parameters"), dict):
        raise ValueError(f"{card} does not describe a rendered dataset ('parameters' is missing).")
    return content["parameters"]


def _write_and_move(root: Path, settings: Settings, photographs, workers, progress) -> None:
    folders = gesture_folders(settings.gestures)
    if root.is_dir():
        root.rmdir()  # it is empty
    try:
        with atomic_folder(root, bytes_needed=_least_bytes(settings)) as staging:
            _write(staging, settings, folders, photographs, workers, progress)
    except FileExistsError:  # another process was faster
        if not _is_there(root, settings):
            raise


def _least_bytes(settings: Settings) -> int:
    return least_bytes(sum(settings.images_per_split.values()), (settings.size_px,) * 2)


def _write(
    staging: Path, settings: Settings, folders, photographs, workers: int, progress: bool
) -> None:
    chunks = make_plan(settings, folders, staging / "images")
    files = {
        split: {
            "data": {"images": [], "annotations": []},
            "detections": [],
            "camera": {},
            "joint_3d": {},
            "mano": {},
            "scenes": {},
            "lights": {},
        }
        for split in SPLITS
        if split in settings.images_per_split
    }
    total = sum(settings.images_per_split.values())
    with tqdm(total=total, desc="rendering", unit="image", disable=not progress) as bar:
        rendered = _rendered(chunks, settings, photographs, workers)
        for chunk, notes in zip(chunks, rendered, strict=True):
            _collect(files[chunk.subject.split], chunk.subject, notes)
            bar.update(len(notes["images"]))
    for split, parts in files.items():
        write_split(staging / "annotations" / split, split, parts)
        if split in DETECTED_SPLITS or settings.second_edition is not None:
            write_detections(staging, split, parts["detections"])
        if settings.second_edition is not None:
            write_scenes(staging / "scenes", split, parts)
    write_lists(staging, settings, chunks)


def _collect(parts: dict, subject: Subject, notes: dict) -> None:
    capture = str(subject.capture)
    parts["data"]["images"] += notes["images"]
    parts["data"]["annotations"] += notes["annotations"]
    parts["detections"] += notes["detections"]
    parts["camera"].setdefault(capture, camera_note(subject.cameras))
    parts["scenes"].update(notes["scenes"])
    parts["lights"].setdefault(capture, {}).update(notes["lights"])
    parts["joint_3d"].setdefault(capture, {}).update(notes["joint_3d"])
    parts["mano"].setdefault(capture, {}).update(notes["mano"])


def _rendered(
    chunks: list[Chunk], settings: Settings, photographs: dict, workers: int
) -> Iterator[dict]:
    """Yield the annotations of every chunk, in order, and write its images."""
    if workers <= 1:
        with _one_thread():
            renderer = ChunkRenderer(settings, photographs)
            for chunk in chunks:
                yield renderer.render(chunk)
        return
    context = multiprocessing.get_context("spawn")
    files = {s: {n: str(path) for n, path in of.items()} for s, of in photographs.items()}
    described = json.dumps([settings.as_json(), files])
    with ProcessPoolExecutor(workers, context, _one_thread_for_good) as pool:
        try:
            yield from pool.map(_render_in_worker, repeat(described), chunks)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _render_in_worker(described: str, chunk: Chunk) -> dict:
    return _worker_renderer(described).render(chunk)


@lru_cache(maxsize=1)
def _worker_renderer(described: str) -> ChunkRenderer:
    settings, files = json.loads(described)
    photographs = {s: {n: Path(path) for n, path in of.items()} for s, of in files.items()}
    return ChunkRenderer(Settings(**settings), photographs)


def _one_thread_for_good() -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    threadpool_limits(1)


@contextmanager
def _one_thread():
    """Limit OpenCV, torch and BLAS to one thread, as in a worker; restore afterwards."""
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
