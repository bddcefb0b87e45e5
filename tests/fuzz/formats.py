"""Every file format that is read: a sound file, its reader, and the errors it promises."""

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file

from adapters.pose.checkpoint import read_pose_card
from adapters.prediction.box_file import boxes_from_file
from adapters.prediction.image_source import UnreadableInput, read_image
from adapters.transfer.plan.file import read_plan
from gesture_pretrain.config.override import apply_override
from gesture_pretrain.data.images.decoding import UnreadableImage, image_size_wh
from gesture_pretrain.data.images.files import ImageFiles, read_image_rgb
from gesture_pretrain.data.images.shards import Shards, write_shards
from gesture_pretrain.data.index.errors import DataError
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.evaluation.external.predictions import read_external_predictions
from gesture_pretrain.evaluation.poses.predictions import PosePredictions, PredictionError
from gesture_pretrain.hand.mano_file import open_hand, read_mano_file
from gesture_pretrain.hand.mano_pickle import ManoFileError
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.pretraining.stage import resolve_config
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.training.checkpoint import load_newest_checkpoint, save_checkpoint
from gesture_pretrain.training.stopped import NoIntactCheckpoint
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.export import export_backbone, release_backbone
from gesture_pretrain.weights.folder import load_weights, open_weights
from gesture_pretrain.weights.initial_weights import load_initial_weights
from tests.helpers.tiny_release import TinyRelease
from tests.helpers.toy_pose import toy_plan

Numbers = list[np.ndarray]  # what must be finite


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        file: The file that is damaged.
        read: Reads it; returns numbers that must be finite.
        promised: Errors that may be raised. Their message names the file.
        is_json: Whether it is damaged as JSON, too.
        after: Called after damaging, before reading; e.g. to correct a hash.
    """

    file: Path
    read: Callable[[], Numbers]
    promised: tuple[type[Exception], ...]
    is_json: bool = False
    after: Callable[[], None] = lambda: None


def formats(home: Path) -> dict[str, Format]:
    """All formats, with sound files below `home`."""
    return {
        **_annotations(home / "data"),
        **_index(home / "index"),
        **_shards(home / "shards"),
        **_weights(home / "weights"),
        **_checkpoints(home / "checkpoints"),
        **_configs(home / "configs"),
        **_predictions(home / "predictions"),
        **_hands(home / "hands"),
        **_texts(home / "texts"),
        **_images(home / "images"),
    }


def _annotations(root: Path) -> dict[str, Format]:
    release = TinyRelease()
    release.write(root)
    ids = [a["id"] for a in release.json["train"]["data"]["annotations"]]
    (root / "rootnet_output").mkdir()
    detections = root / "rootnet_output/rootnet_interhand2.6m_output_train.json"
    one = {"bbox": [1.0, 2.0, 99.0, 99.0], "abs_depth": [900.0, 900.0], "root_valid": [1.0, 1.0]}
    detections.write_text(json.dumps([{"annot_id": number, **one} for number in ids]))

    def read() -> Numbers:
        index = HandIndex.open(build_interhand_index(root, progress=False))
        records = [index.record(row) for row in range(len(index))]
        found = [r.bbox_xywh_px for r in records if r.bbox_xywh_px is not None]
        placed = [r for r in records if r.joints_world_mm is not None]
        found += [r.joints_world_mm[r.joint_triangulated] for r in placed]
        found += [r.focal_px for r in records if r.focal_px is not None]
        return found + [index.columns["mano"]]

    kinds = ("data", "camera", "joint_3d", "MANO_NeuralAnnot")
    folder = root / "annotations/train"
    files = {kind: folder / f"InterHand2.6M_train_{kind}.json" for kind in kinds}
    return {
        **{f"annotation {k}.json": Format(f, read, (DataError,), True) for k, f in files.items()},
        "rootnet.json": Format(detections, read, (DataError,), True),
    }


def _index(root: Path) -> dict[str, Format]:
    folder = build_interhand_index(TinyRelease().write(root), progress=False)

    def opened() -> Numbers:
        HandIndex.open(folder)
        return []

    def verified() -> Numbers:
        HandIndex.open(folder, verify=True)
        return []

    column = folder / "step_joints_world_mm.npy"
    return {
        "index meta.json": Format(folder / "meta.json", opened, (DataError,), True),
        "index .npy, opened": Format(column, opened, (DataError,)),
        "index .npy, verified": Format(column, verified, (DataError,)),
    }


def _shards(root: Path) -> dict[str, Format]:
    release = TinyRelease(splits=("train",))
    release.write(root / "data")
    index = HandIndex.open(
        build_interhand_index(release.write_images(root / "data"), progress=False)
    )
    folder = write_shards(index, [0, 1], root / "shards", size_px=32, progress=False)

    def read() -> Numbers:
        Shards(folder, index, ImageFiles())
        return []

    return {
        "shards .npy": Format(folder / "00000.npy", read, (DataError,)),
        "shards.json": Format(folder / "shards.json", read, (DataError,), True),
    }


def _weights(root: Path) -> dict[str, Format]:
    backbone = build_backbone("hrnet_w16_tiny", size_px=32)
    stored = export_backbone(backbone, tag="fuzz", out=root).path
    released = release_backbone(stored, notes="", out=root / "released").path
    bare, pickled = root / "bare.safetensors", root / "bare.pth"
    save_file(backbone.net.state_dict(), bare)
    torch.save(backbone.net.state_dict(), pickled)
    model, card = stored / "model.safetensors", stored / "card.json"

    def loaded() -> Numbers:
        return [t.numpy() for t in load_weights(stored).net.state_dict().values()]

    def initial(path: Path) -> Callable[[], Numbers]:
        def read() -> Numbers:
            target = build_backbone("hrnet_w16_tiny", size_px=32, seed=1)
            load_initial_weights(target, path)
            return [t.numpy() for t in target.net.state_dict().values()]

        return read

    def opened() -> Numbers:
        spec = open_weights(stored).record.input
        return [np.array([*spec.mean, *spec.std])]

    def hash_again() -> None:
        values, content = json.loads(card.read_text()), model.read_bytes()
        record = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        card.write_text(json.dumps({**values, "files": {"model.safetensors": record}}))

    def read_released() -> Numbers:
        return [t.numpy() for t in load_weights(released).net.state_dict().values()]

    family = (WeightsError,)
    return {
        "released card.json": Format(released / "card.json", read_released, family, True),
        "released .safetensors": Format(released / "model.safetensors", read_released, family),
        "card.json": Format(card, opened, family, True),
        "model.safetensors": Format(model, loaded, family),
        "model.safetensors, re-hashed": Format(model, loaded, family, after=hash_again),
        "bare .safetensors": Format(bare, initial(bare), family),
        "bare .pth": Format(pickled, initial(pickled), family),
    }


def _checkpoints(root: Path) -> dict[str, Format]:
    state = {"model": {"weight": torch.ones(4, 4)}, "optimizer": {"step": 1, "betas": (0.9, 0.99)}}
    pickled = save_checkpoint(root, 1, state)
    record = pickled.with_suffix(".json")

    def loaded() -> Numbers:
        load_newest_checkpoint(root)
        return []

    def hash_again() -> None:
        content = pickled.read_bytes()
        facts = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        record.write_text(json.dumps(facts))

    family = (NoIntactCheckpoint,)
    return {
        "checkpoint .pt": Format(pickled, loaded, family),
        "checkpoint .pt, re-hashed": Format(pickled, loaded, family, after=hash_again),
        "checkpoint .json": Format(record, loaded, family, True),
    }


def _configs(root: Path) -> dict[str, Format]:
    """Configs are code, so a damaged one may do anything that Python can; it seldom does."""
    root.mkdir()
    index = "/nowhere"
    config, plan = root / "config.py", root / "plan.py"
    sections = {"data": {"index": index, "batch_size": 8}, "backbone": {"arch": "test_resnet"}}
    sections |= {"heads": {"hidden": 8}, "schedule": {"epochs": 2}, "seed": 3}
    config.write_text("".join(f"{name} = {value!r}\n" for name, value in sections.items()))
    values = toy_plan(Path(index), targets={"a": {"target": "token_fusion"}})
    plan.write_text("".join(f"{name} = {value!r}\n" for name, value in values.items()))

    def read(path: Path, reader: Callable[[Path], object]) -> Callable[[], Numbers]:
        def named() -> Numbers:
            try:
                reader(path)
            except ValueError as error:  # the command line names the file
                raise ValueError(f"{path.name}: {error}") from error
            return []

        return named

    return {
        "config .py": Format(config, read(config, resolve_config), (ValueError,)),
        "plan .py": Format(plan, read(plan, read_plan), (ValueError,)),
    }


def _predictions(root: Path) -> dict[str, Format]:
    index = HandIndex.open(build_interhand_index(TinyRelease().write(root), progress=False))
    rows = np.flatnonzero(index.values("hand") < 2)[:4]
    hands = index.values("hand", rows).astype(np.int64)
    joints = np.stack([index.record(int(row)).joints_world_mm[0] for row in rows])
    joints = np.nan_to_num(joints, nan=5.0).astype(np.float32)
    arrays = {"row": rows, "hand": hands, "joints": joints}
    stated = {"joint_order": "mano21", "unit": "mm", "system": "other"}
    stored, packed = root / "stored.npz", root / "packed.npz"
    np.savez(stored, **arrays, **stated)
    np.savez_compressed(packed, **arrays, **stated)
    own = root / "own.npz"
    facts = {"box_source": "annotation"}
    PosePredictions("a", index.fingerprint, rows, hands, joints, provenance=facts).save(own)

    def other(path: Path) -> Callable[[], Numbers]:
        def read() -> Numbers:
            found = read_external_predictions(path, index, check_skeleton=False)
            return [found.joints_rel_mm]

        return read

    def ours() -> Numbers:
        return [PosePredictions.load(own).joints_rel_mm]

    family = (PredictionError, ValueError)
    return {
        "external .npz": Format(stored, other(stored), family),
        "external .npz, compressed": Format(packed, other(packed), family),
        "own predictions .npz": Format(own, ours, family),
    }


def _hands(root: Path) -> dict[str, Format]:
    root.mkdir()
    arrays = open_hand("right")
    pickled, stored, packed = (root / name for name in ("a.pkl", "b.npz", "c.npz"))
    pickled.write_bytes(pickle.dumps(arrays, protocol=2))
    np.savez(stored, **arrays)
    np.savez_compressed(packed, **arrays)

    def reader(path: Path) -> Callable[[], Numbers]:
        return lambda: list(read_mano_file(path).values())

    return {
        name: Format(path, reader(path), (ManoFileError,))
        for name, path in (
            ("MANO .pkl", pickled), ("MANO .npz", stored), ("MANO .npz, compressed", packed)
        )
    }  # fmt: skip


def _texts(root: Path) -> dict[str, Format]:
    root.mkdir()
    taxonomy, override = root / "taxonomy.csv", root / "override.txt"
    taxonomy.write_text("label,coarse,fine,hand\na,fist,fist1,right\nb,fist,fist2,left\nc,o,o,\n")
    override.write_text("data.batch_size=[1,dict(a=2.5),x]")
    table, named, coco = root / "boxes.csv", root / "boxes.json", root / "coco.json"
    table.write_text("image,x,y,width,height,hand,frame\na.jpg,1,2,30,40,left,0\nb.jpg,1,2,3,4,,\n")
    named.write_text(json.dumps({"a.jpg": [{"box": [1, 2, 3, 4], "hand": "left"}]}))
    images = [{"id": 1, "file_name": "a.jpg"}]
    annotations = [{"image_id": 1, "bbox": [1, 2, 3, 4], "hand_type": "right"}]
    coco.write_text(json.dumps({"images": images, "annotations": annotations}))
    pose = root / "pose"
    pose.mkdir()
    (pose / "card.json").write_text(json.dumps(POSE_CARD))

    def boxes(path: Path) -> Callable[[], Numbers]:
        def read() -> Numbers:
            found = boxes_from_file(path).by_image
            return [np.array(box.box_xywh_px) for of in found.values() for box in of]

        return read

    def set_option() -> Numbers:
        try:
            text = override.read_text("utf-8")
        except UnicodeDecodeError:
            return []
        try:
            apply_override({"data": {"batch_size": 1}}, text)
        except ValueError as error:
            raise ValueError(f"{override.name}: {error}") from error
        return []

    def pose_card() -> Numbers:
        return [np.array(read_pose_card(pose).input.std)]

    family = (ValueError,)
    files = {"boxes .csv": table, "boxes .json": named, "boxes, COCO": coco}
    return {
        "taxonomy .csv": Format(taxonomy, lambda: [] * len(Taxonomy.load(taxonomy).labels), family),
        "override": Format(override, set_option, family),
        "pose card.json": Format(pose / "card.json", pose_card, (WeightsError,), True),
        **{n: Format(f, boxes(f), family, f.suffix == ".json") for n, f in files.items()},
    }


POSE_CARD = {
    "target": "eanet", "options": {}, "size_px": 64, "arch": "test_resnet",
    "input": {
        "size_px": 64, "mean": [0.5] * 3, "std": [0.2] * 3, "multiple_of": 32, "fixed_size": False
    },
    "heads": {"in_channels": 8, "num_coarse": 2, "num_fine": 3, "hidden": 4, "dropout": 0.5},
    "backbone_name": "a.b", "head_classes": None,
    "hand": {
        "path": "open", "tip_convention": "interhand", "sha256": {"right": "a", "left": "b"}
    },
    "aliases": {}, "weights": {"sha256": "a" * 64, "size_bytes": 1000}, "data": {}, "config": {},
    "metrics": {}, "commit": None, "versions": {}, "created": "", "format": 2,
}  # fmt: skip


def _images(root: Path) -> dict[str, Format]:
    root.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    found = {}
    for ending in ("jpg", "png"):
        path = root / f"a.{ending}"
        cv2.imwrite(str(path), noise)
        found |= {
            f"{ending}, loader": Format(path, _decoder(path), (DataError,)),
            f"{ending}, predict": Format(path, _reader(path), (UnreadableInput,)),
            f"{ending}, folders": Format(path, _sizer(path), (DataError,)),
        }
    return found


def _decoder(path: Path) -> Callable[[], Numbers]:
    return lambda: [read_image_rgb(path, 0)[:0]]


def _reader(path: Path) -> Callable[[], Numbers]:
    return lambda: [read_image(path)[:0]]


def _sizer(path: Path) -> Callable[[], Numbers]:
    def read() -> Numbers:
        try:
            return [np.array(image_size_wh(path))]
        except UnreadableImage as error:  # the index adds the path
            raise DataError(f"{path}: {error}") from error

    return read
