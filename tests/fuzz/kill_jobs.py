"""Jobs that are killed: what they do, and what must be whole at any moment."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from adapters.pose.stage import train
from adapters.prediction.run import predict
from adapters.targets import register_target
from adapters.transfer.plan.file import plan_from
from adapters.transfer.run.execution import run_plan
from gesture_pretrain.data.images.files import ImageFiles
from gesture_pretrain.data.images.shards import Shards, write_shards
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.interhand.build import build_interhand_index
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.pretraining.stage import pretrain
from gesture_pretrain.synthetic.build import write_synthetic
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.folder import load_weights
from tests.helpers import pose_run, toy_pose
from tests.helpers.random_pose_model import store_random_pose_model
from tests.helpers.tiny_release import TinyRelease
from tests.helpers.tiny_run import tiny_sections

RUN = {"threads": 1, "log_every": 1, "ema_decay": 0.9, "checkpoint_every": 2, "validate_every": 4}
SCHEDULE = {"iterations": 8, "warmup_iterations": 2}


@dataclass(frozen=True)
class Job:
    """A job that can be repeated until it is done.

    Attributes:
        work: Does the job in a folder, or continues it.
        before: Prepares a new folder, for example with older results.
        check: Raises if the folder holds something that looks complete and is not.
        ranks: Processes that do the job together.
        loads: Whether it has data loading processes.
    """

    work: Callable[[Path], object]
    before: Callable[[Path], object] = lambda folder: None
    check: Callable[[Path], object] = lambda folder: None
    ranks: int = 1
    loads: bool = False


def write_inputs(root: Path) -> None:
    """Write what the jobs read."""
    pose_run.write_pose_index(root / "hands")
    TinyRelease().write(root / "release")
    store_random_pose_model(root / "model", taxonomy=None, guidance="none")
    (root / "photographs").mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        image = rng.integers(0, 255, (40, 60, 3), np.uint8)
        cv2.imwrite(str(root / f"photographs/{number}.png"), image)
    video = cv2.VideoWriter(
        str(root / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (160, 120)
    )
    for _ in range(4):
        video.write(rng.integers(0, 255, (120, 160, 3), np.uint8))
    video.release()


def jobs(inputs: Path) -> dict[str, Job]:
    """Return the jobs by name."""
    register_target(pose_run.TOY)
    predicts = {"before": _older_prediction, "check": _prediction_is_whole}
    return {
        "index": Job(partial(_index, inputs), partial(_index, inputs, name="old"), _index_is_whole),
        "shards": Job(partial(_shards, inputs), check=partial(_shards_are_whole, inputs)),
        "export": Job(_export, partial(_export, seed=7), _export_is_whole),
        "synthetic": Job(_render),
        "predict, images": Job(partial(_predict, inputs, "photographs"), **predicts),
        "predict, video": Job(partial(_predict, inputs, "clip.mp4"), **predicts),
        "pretraining": Job(partial(_pretrain, inputs), check=_registry_is_whole, loads=True),
        "pose, 2 processes": Job(partial(_train_pose, inputs), ranks=2, loads=True),
        "experiment": Job(partial(_experiment, inputs)),
    }


def _index(inputs: Path, folder: Path, name: str = "new") -> None:
    build_interhand_index(inputs / "release", folder / "index", data_name=name, progress=False)


def _index_is_whole(folder: Path) -> None:
    HandIndex.open(folder / "index", verify=True)


def _shards(inputs: Path, folder: Path) -> None:
    index = HandIndex.open(inputs / "hands")
    write_shards(index, range(len(index)), folder / "shards", size_px=32, progress=False)


def _shards_are_whole(inputs: Path, folder: Path) -> None:
    card = folder / "shards" / "shards.json"
    if card.exists() and read_json(card, ValueError)["files"] is not None:
        Shards(folder / "shards", HandIndex.open(inputs / "hands"), ImageFiles())


def _export(folder: Path, seed: int = 1) -> None:
    backbone = build_backbone("test_resnet", size_px=32, seed=seed)
    export_backbone(backbone, tag="a", out=folder, overwrite=True)


def _export_is_whole(folder: Path) -> None:
    load_weights(folder / "test_resnet.a")


def _render(folder: Path) -> None:
    counts = {"train": 12}
    write_synthetic(folder / "set", images_per_split=counts, size_px=32, workers=0, progress=False)


def _predict(inputs: Path, name: str, folder: Path) -> None:
    predict(
        [inputs / name], model=inputs / "model", whole_image=True, hand="right", mesh="obj",
        out=folder / "out", overwrite=True, device="cpu",
    )  # fmt: skip


def _older_prediction(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "predictions.json").write_text("{}")


def _prediction_is_whole(folder: Path) -> None:
    read_json(folder / "out" / "predictions.json", ValueError)


def _pretrain(inputs: Path, folder: Path) -> None:
    os.environ["GESTURE_PRETRAIN_HOME"] = str(folder / "home")
    sections = tiny_sections(inputs / "hands", data={"workers": 2}, schedule=SCHEDULE, training=RUN)
    del sections["device"], sections["progress"]
    pretrain(sections, out=folder / "run", name="a", device="cpu", resume=True, progress=False)


def _registry_is_whole(folder: Path) -> None:
    if (folder / "home" / "test_resnet.a").exists():
        load_weights(folder / "home" / "test_resnet.a", with_heads=True)


def _train_pose(inputs: Path, folder: Path) -> None:
    training = {**RUN, "timeout_s": 60}
    sections = pose_run.pose_sections(
        inputs / "hands", target="toy_pose", data={"workers": 2}, schedule=SCHEDULE,
        training=training,
    )  # fmt: skip
    del sections["device"], sections["progress"]
    train(sections, out=folder / "run", device="cpu", resume=True, progress=False)


def _experiment(inputs: Path, folder: Path) -> None:
    arms = {"random": {"init": "random"}, "gesture": {"pretrain": {}}}
    plan = toy_pose.toy_plan(
        inputs / "hands",
        arms=arms,
        seeds=[0],
        comparisons=[{"arm": "gesture", "reference": "random"}],
    )
    if not run_plan(plan_from(plan), folder / "study", workers=1, say=str).is_complete:
        raise RuntimeError("a cell failed")
