"""Loader against bare decode and warp, and against mmpose's transforms: images/s of one process.

Every candidate reads the same image files and makes crops of the same size:

    bare      cv2.imread, then cv2.warpAffine with precomputed matrices of `ours`
    ours      GestureDataset, in batches, as a DataLoader requests them: index, box, joints,
              classes, random crop and colour
    ours_single            the same, one image at a time
    ours_shards            `ours` from images decoded beforehand (data.shards)
    pose      PoseDataset, batch by batch: `ours` and camera, visibility and MANO fit of each crop
    pose_shards            `pose` from the same shards
    eanet     EanetDataset, batch by batch: the crops and targets of EANet
    eanet_shards           `eanet` from the same shards
    plain     what a hand-written torch Dataset does: decode, warp, colour, a tensor, on ready-made
              boxes (no annotation is looked up)
    mmpose    LoadImage, GetBBoxCenterScale, RandomBBoxTransform, TopdownAffine, on ready-made
              dicts (no annotation is looked up), no colour change
    mmpose_colour          the same and PhotometricDistortion

Candidates take turns batch by batch, so that a slower moment of the machine hits all of them; the
medians of the rounds are given. OpenCV and torch run on one thread, as in a loading process.
Without --data, images of 512 px are rendered first.
"""

import argparse
import importlib.metadata
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from adapters.eanet.target import build_eanet_dataset
from gesture_pretrain.commands.benchmarks.measurement import measurement, new_parser, write_json
from gesture_pretrain.commands.benchmarks.rendered import render_index
from gesture_pretrain.data.images import write_shards
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import Augmentation, augmentation_stream
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.data.samples.pose_dataset import PoseDataset
from gesture_pretrain.files import temporary_folder
from gesture_pretrain.geometry.boxes import square_box
from gesture_pretrain.geometry.crop import crop_affine
from gesture_pretrain.hand.model import load_hand_model
from gesture_pretrain.taxonomy import Taxonomy

BOX_RATIO = 1.25
RENDERED_PX = 512
_VERSIONS = ("numpy", "opencv-python", "torch", "mmpose", "mmcv-lite")
Candidate = Callable[[list[int]], object]  # positions of a batch -> its crops


def main(argv: list[str]) -> None:
    """Run the benchmark, print a table, write JSON if asked."""
    arguments = _parser().parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with temporary_folder() as folder:
        index = _index(arguments, folder)
        rows = index.select(single_hand_only=True)[: arguments.images]
        shards = write_shards(
            index, rows, folder / "shards", size_px=arguments.size, progress=False
        )
        candidates = _candidates(index, rows, arguments.size, shards)
        speeds = _alternate(candidates, len(rows), arguments.rounds, arguments.batch)
    results = _summary(speeds)
    print(f"{len(rows)} images, {arguments.size} px crops, {arguments.rounds} rounds, 1 process")
    for name, row in results.items():
        spread = f"{min(row['rounds']):,.0f} .. {max(row['rounds']):,.0f}"
        print(f"{name:18} {row['images_per_s']:8,.0f} images/s  ({spread})  "
              f"{row['of_bare']:5.2f} of bare")  # fmt: skip
    document = measurement("loader", argv, packages=_VERSIONS, results=results)
    write_json(arguments.json, document)


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("loader", __doc__)
    parser.add_argument("--data", type=Path, help="index (default: rendered images)")
    parser.add_argument("--images", type=int, default=400, help="images per round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=32, help="images per call")
    parser.add_argument("--size", type=int, default=256, help="side of the crop, pixels")
    return parser


def _index(arguments: argparse.Namespace, folder: Path) -> HandIndex:
    data = arguments.data
    if data is None:
        data = render_index(folder / "data", images=arguments.images, size_px=RENDERED_PX)
    return HandIndex.open(data)


def _candidates(
    index: HandIndex, rows: np.ndarray, size_px: int, shards: Path
) -> dict[str, Candidate]:
    records = [index.record(int(row)) for row in rows]
    from_files, from_shards = (_datasets(index, rows, size_px, source) for source in (None, shards))
    candidates = {
        "bare": _one_by_one(_bare(records, size_px)),
        "plain": _one_by_one(_plain(records, size_px)),
        "ours_single": _one_by_one(from_files["ours"].__getitem__),
    }
    for name, dataset in from_files.items():
        candidates[name] = _in_batches(dataset)
        candidates[f"{name}_shards"] = _in_batches(from_shards[name])
    # mmpose's datasets import xtcocotools, which does not build on Python 3.13 and later
    missing = [m for m in ("mmpose", "xtcocotools") if importlib.util.find_spec(m) is None]
    if missing:
        print(f"{missing[0]} is not installed, so mmpose is left out")
        return candidates
    candidates["mmpose"] = _one_by_one(_mmpose(records, size_px, colour=False))
    candidates["mmpose_colour"] = _one_by_one(_mmpose(records, size_px, colour=True))
    return candidates


def _datasets(
    index: HandIndex, rows: np.ndarray, size_px: int, shards: Path | None
) -> dict[str, Dataset]:
    """Return the datasets of Stage 1, token fusion and EANet."""
    given = (index, rows, Taxonomy.load("interhand26m"), size_px)
    options = {"augmentation": Augmentation(), "shards": shards, "announce": None}
    hands = {side: load_hand_model(side, "open") for side in ("right", "left")}
    return {
        "ours": GestureDataset(*given, **options),
        "pose": PoseDataset(*given, hand_models=hands, mirror_left=True, **options),
        "eanet": build_eanet_dataset(*given, hand_models=hands, **options),
    }


def _in_batches(dataset: Dataset) -> Candidate:
    """Repeat the first images, because EANet can use fewer images than the others."""
    return lambda positions: dataset.__getitems__([i % len(dataset) for i in positions])


def _one_by_one(crop: Callable[[int], object]) -> Candidate:
    return lambda positions: [crop(position) for position in positions]


def _box_of(record) -> np.ndarray:
    whole = np.array([0.0, 0.0, *record.image_size_wh])
    return whole if record.bbox_xywh_px is None else record.bbox_xywh_px


def _bare(records: list, size_px: int) -> Callable[[int], object]:
    paths = [str(record.image_path) for record in records]
    affines = [_drawn_affine(record, size_px) for record in records]

    def crop(position: int) -> np.ndarray:
        image = cv2.imread(paths[position], cv2.IMREAD_COLOR)
        return cv2.warpAffine(image, affines[position], (size_px, size_px), flags=cv2.INTER_LINEAR)

    return crop


def _drawn_affine(record, size_px: int) -> np.ndarray:
    motion = Augmentation().draw(augmentation_stream(0, 0, record.row))
    box = square_box(_box_of(record), BOX_RATIO)
    box[:2] += box[2:] * motion.translation
    return crop_affine(box, size_px, scale=motion.scale, rotation_deg=motion.rotation_deg)


def _plain(records: list, size_px: int) -> Callable[[int], object]:
    paths = [str(record.image_path) for record in records]
    boxes = [square_box(_box_of(record), BOX_RATIO) for record in records]
    random = np.random.default_rng(0)

    def crop(position: int) -> torch.Tensor:
        image = cv2.cvtColor(cv2.imread(paths[position]), cv2.COLOR_BGR2RGB)
        scale, turn = random.uniform(0.75, 1.25), random.uniform(-30, 30)
        affine = crop_affine(boxes[position], size_px, scale=scale, rotation_deg=turn)
        image = cv2.warpAffine(image, affine, (size_px, size_px), flags=cv2.INTER_LINEAR)
        image = np.clip(image * random.uniform(0.8, 1.2, 3), 0, 255).astype(np.uint8)
        return torch.from_numpy(image).permute(2, 0, 1).contiguous()

    return crop


def _mmpose(records: list, size_px: int, *, colour: bool) -> Callable[[int], object]:
    from mmengine.dataset import Compose
    from mmpose.datasets import transforms

    steps = [
        transforms.LoadImage(),
        transforms.GetBBoxCenterScale(padding=BOX_RATIO),
        transforms.RandomBBoxTransform(
            shift_factor=0.05, scale_factor=(0.75, 1.25), rotate_factor=30.0, rotate_prob=1.0
        ),
        transforms.TopdownAffine(input_size=(size_px, size_px)),
    ]
    pipeline = Compose(steps + [transforms.PhotometricDistortion()] * colour)
    boxes = [_box_of(record) for record in records]
    corners = [np.float32([[*box[:2], *(box[:2] + box[2:])]]) for box in boxes]

    def crop(position: int) -> dict:
        return pipeline(
            {
                "img_path": str(records[position].image_path),
                "bbox": corners[position],
                "bbox_score": np.ones(1, np.float32),
                "keypoints": np.zeros((1, 21, 2), np.float32),
                "keypoints_visible": np.ones((1, 21), np.float32),
            }
        )

    return crop


def _alternate(
    candidates: dict[str, Candidate], images: int, rounds: int, batch: int
) -> dict[str, list[float]]:
    """Return images/s of each candidate in each round; a first round is a warm-up."""
    speeds: dict[str, list[float]] = {name: [] for name in candidates}
    batches = [list(range(i, min(i + batch, images))) for i in range(0, images, batch)]
    for number in range(rounds + 1):
        seconds = dict.fromkeys(candidates, 0.0)
        for positions in batches:
            for name, crops in candidates.items():
                start = time.perf_counter()
                crops(positions)
                seconds[name] += time.perf_counter() - start
        if number:
            for name, total in seconds.items():
                speeds[name].append(images / total)
    return speeds


def _summary(speeds: dict[str, list[float]]) -> dict[str, dict]:
    """Return medians; the ratio to `bare` is computed in each round."""
    return {
        name: {
            "images_per_s": median(values),
            "of_bare": median(a / b for a, b in zip(values, speeds["bare"], strict=True)),
            "rounds": values,
        }
        for name, values in speeds.items()
    }
