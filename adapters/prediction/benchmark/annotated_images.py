"""Read images with annotated keypoints: FreiHAND and OneHand10K, RHD, InterHand2.6M."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from adapters.prediction.benchmark.annotated_hand import AnnotatedHand
from adapters.prediction.image_source import read_image
from adapters.prediction.intrinsics import Intrinsics
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.skeleton import HANDS, MANO21_FROM_INTERHAND

_TIP_FIRST = [0] + [4 * finger + k for finger in range(5) for k in (4, 3, 2, 1)]


def images_of_file(path: Path) -> Iterator[AnnotatedHand]:
    """Yield the hands of a COCO file whose images are in the same folder.

    Files of RHD, which have `joint_cam`, store the joints of a finger from the tip.
    """
    content = read_json(path, ValueError)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    for annotation in content["annotations"]:
        keypoints = np.asarray(annotation["keypoints"], np.float64).reshape(21, 3)
        if "joint_cam" in annotation:
            keypoints = keypoints[_TIP_FIRST]
        pixels = np.where(keypoints[:, 2:] > 0, keypoints[:, :2], np.nan)
        name = names[annotation["image_id"]]
        box = np.asarray(annotation["bbox"], np.float64)
        image = read_image(path.parent / name)
        yield AnnotatedHand(name, image, box, annotation.get("hand_type"), pixels)


def images_of_interhand(folder: Path) -> Iterator[AnnotatedHand]:
    """Yield the single hands of InterHand2.6M's annotation files that are beside their images."""
    parts = ("data", "joint_3d", "camera")
    data, joints, cameras = (
        read_json(next(folder.glob(f"*_{part}.json")), ValueError) for part in parts
    )
    sides = {annotation["image_id"]: annotation for annotation in data["annotations"]}
    for image in data["images"]:
        annotation, capture = sides[image["id"]], str(image["capture"])
        if annotation["hand_type"] not in HANDS:
            continue
        world = np.asarray(joints[capture][str(image["frame_idx"])]["world_coord"])
        first = 21 * HANDS.index(annotation["hand_type"])
        mano21 = world[first : first + 21][list(MANO21_FROM_INTERHAND)]
        facts = {key: values[image["camera"]] for key, values in cameras[capture].items()}
        in_camera = world_to_camera_mm(mano21, facts["camrot"], facts["campos"])
        yield AnnotatedHand(
            image["file_name"],
            read_image(folder / image["file_name"]),
            np.asarray(annotation["bbox"], np.float64),
            annotation["hand_type"],
            project_px(in_camera, facts["focal"], facts["princpt"]),
            in_camera,
            _intrinsics(facts["focal"], facts["princpt"]),
        )


def images_of_index(index: HandIndex, split: str, most: int) -> Iterator[AnnotatedHand]:
    """Yield at most `most` single hands of a split of a dataset, drawn at random."""
    rows = index.select(split=split, single_hand_only=True)
    drawn = np.random.default_rng(0).permutation(rows)[:most]
    for row in np.sort(drawn):
        yield hand_of_row(index, int(row))


def hand_of_row(index: HandIndex, row: int) -> AnnotatedHand:
    """Read the hand of a row that shows a single hand."""
    record = index.record(row)
    world = record.joints_world_mm[HANDS.index(record.hand)]
    in_camera = world_to_camera_mm(world, record.R_cam_world, record.camera_center_mm)
    return AnnotatedHand(
        record.image_path.name,
        read_image(record.image_path),
        np.float64(record.bbox_xywh_px),
        record.hand,
        project_px(in_camera, record.focal_px, record.princpt_px),
        in_camera,
        _intrinsics(record.focal_px, record.princpt_px),
    )


def _intrinsics(focal_px: Sequence[float], princpt_px: Sequence[float]) -> Intrinsics:
    return Intrinsics(float(np.mean(focal_px)), tuple(map(float, princpt_px)), assumed=False)
