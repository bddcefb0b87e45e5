"""Runs every command that writes on a disk that is full.

    unshare -rm python full_disk_driver.py FOLDER ROOMS [CASE…]

FOLDER gets the inputs, and a new file system for the outputs. Each command first runs with
room, then with little (ROOMS, fractions of what it had written, such as 0,0.5), then with room
again. The commands are forks of this process. Prints one JSON line per case and room.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from random_pose_model import store_random_pose_model
from tiny_release import TinyRelease
from toy_pose import register_toy, toy_plan, write_toy_index

from gesture_pretrain.commands.main import run_commands
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.models.backbone import build_backbone
from gesture_pretrain.weights.export import export_backbone

DISK_MB = 800
EXPORTS = {
    "timm": ("resnet18", "safetensors"),
    "torchvision": ("resnet18", "pth"),
    "mmpose": ("resnet18", "pth"),
    "onnx": ("test_resnet", "onnx"),
    "eanet": ("resnet50", "pth"),
}
CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = [
    "--device", "cpu", "backbone.arch=test_resnet", "backbone.size_px=32", "data.batch_size=8",
    "data.workers=0", "data.val_split=none", "training.threads=1", "training.checkpoint_every=1",
]  # fmt: skip
STEPS = ["schedule.epochs=1", "schedule.iterations=2"]

Words = list[object]


def forked(work: Callable[[], object]) -> int:
    """Fork a child that works and ends; return its process id.

    The caller has computed nothing, so a child starts from the state of a new process.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        sys.stdout.flush()
        os._exit(status)


class Inputs:
    """What the commands read, on another disk than the one they write to."""

    def __init__(self, root: Path):
        self.release = TinyRelease().write(root / "release")
        self.index = write_toy_index(root / "rendered")
        self.photographs = root / "photographs"
        self._write_photographs()
        self.video = root / "clip.mp4"
        self._write_video()
        self.model = store_random_pose_model(root / "model", taxonomy=None, guidance="none")
        self.plan = root / "toy_plan.py"
        self._write_plan()
        os.environ["GESTURE_PRETRAIN_HOME"] = str(root / "home")
        for arch in ("resnet18", "resnet50", "test_resnet"):
            export_backbone(build_backbone(arch, size_px=32), tag="x")
        self.predictions = root / "predictions.npz"
        self._write_predictions()

    def _write_photographs(self) -> None:
        image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
        for label in ("fist", "palm"):
            (self.photographs / label).mkdir(parents=True)
            cv2.imwrite(str(self.photographs / label / f"{label}.png"), image)

    def _write_video(self) -> None:
        writer = cv2.VideoWriter(str(self.video), cv2.VideoWriter_fourcc(*"mp4v"), 10, (160, 120))
        for seed in range(6):
            writer.write(np.random.default_rng(seed).integers(0, 255, (120, 160, 3), np.uint8))
        writer.release()

    def _write_plan(self) -> None:
        arms = {"random": {"init": "random"}, "gesture": {"pretrain": {}}}
        comparisons = [{"arm": "gesture", "reference": "random"}]
        plan = toy_plan(self.index, arms=arms, comparisons=comparisons, seeds=[0])
        self.plan.write_text("\n".join(f"{key} = {value!r}" for key, value in plan.items()))

    def _write_predictions(self) -> None:
        from gesture_pretrain.evaluation.poses.predictions import PosePredictions

        index = HandIndex.open(self.index)
        rows = index.select(split="test", hands=("right", "left"))
        hands = index.values("hand", rows).astype(np.int64)
        joints = np.stack(
            [index.record(int(r)).joints_world_mm[h] for r, h in zip(rows, hands, strict=True)]
        ).astype(np.float32)
        joints -= joints[:, :1]
        PosePredictions("a", index.fingerprint, rows, hands, joints).save(self.predictions)


def cases(inputs: Inputs) -> dict[str, Callable[[Path, str], Words]]:
    """Command lines by name; called with the disk, and "one" or "two" for a second output."""
    data = ["--data", inputs.index]

    def run(command: str, config: str, *more: object) -> Callable[[Path, str], Words]:
        path = CONFIGS / command.split()[0] / config
        words = [*command.split(), path, *data, *SMALL, *STEPS, *more]
        return lambda disk, name: [*words, "--out", disk / name, "--name", name, "--resume"]

    def export(target: str) -> Callable[[Path, str], Words]:
        arch, ending = EXPORTS[target]
        words = ["export", "--target", target, "--backbone", f"{arch}.x", "--out"]
        return lambda disk, name: [*words, disk / f"backbone.{ending}"]

    def out(*words: object) -> Callable[[Path, str], Words]:
        return lambda disk, name: [*words, "--out", disk / "out"]

    def fresh(option: str, *words: object) -> Callable[[Path, str], Words]:
        return lambda disk, name: [*words, option, disk / name]

    rendered = ["--train", 6, "--val", 0, "--test", 0, "--size", 48, "--workers", 1]
    landmarks = ["data", "landmarks", *data, "--split", "test"]
    mini = ["--gestures", 1, "--frames", 4, "--cameras", 3, "--size", 48]
    swapped = [
        "swap", "--target", "token_fusion", "--backbone", "test_resnet.x", "--baseline", "random",
        *data, "--size", "tiny", "--steps", 2, "model.guidance=none", "data.batch_size=8",
        "data.workers=0", "data.val_split=none", "training.threads=1",
    ]  # fmt: skip
    predict = ["predict", "--model", inputs.model, "--whole-image", "--device", "cpu"]
    predict += ["--hand", "right", "--overwrite"]
    return {
        "data interhand": out("data", "interhand", "--root", inputs.release),
        "data folders": out("data", "folders", "--root", inputs.photographs),
        "data synthetic": fresh("--root", "data", "synthetic", *rendered),
        "data miniature": fresh("--out", "data", "miniature", *mini),
        "data shards": fresh("--out", "data", "shards", *data, "--size", 32),
        "data show": lambda disk, name: ["data", "show", *data, "--out", disk / "a.png"],
        "data landmarks": lambda disk, name: [*landmarks, "--out", disk / "landmarks.npz"],
        "data verify": lambda disk, name: ["data", "verify", *data, "--report", disk / "a.json"],
        "pretrain": run("pretrain", "hrnet_tiny_synthetic_demo.py"),
        "sweep": fresh(
            "--out", "sweep", CONFIGS / "pretrain" / "hrnet_tiny_synthetic_demo.py", *data,
            *SMALL, *STEPS, "optimizer.lr=1e-4,1e-3",
        ),
        "pose train": run(
            "pose train", "token_fusion_tiny_synthetic.py", "model.guidance=none", "--predict",
            "test",
        ),
        "features": out(
            "features", "test_resnet.x", *data, "--k", 3, "--workers", 0, "--device", "cpu",
            "--taxonomy", "interhand26m",
        ),
        "pose evaluate": out("pose", "evaluate", inputs.predictions, *data, "--mano", "open"),
        "predict images": out(*predict, inputs.photographs / "fist", inputs.photographs / "palm"),
        "predict video": out(*predict, inputs.video),
        "swap": fresh("--out", *swapped),
        "transfer run": fresh("--out", "transfer", inputs.plan, "run", "--workers", 1),
        "transfer report": lambda disk, name: ["transfer", inputs.plan, "report", "--out", disk],
        "benchmark": fresh("--json", "benchmark", "index", "--scale", 0.001),
        **{f"export {target}": export(target) for target in EXPORTS},
    }  # fmt: skip


PREPARED_BY = {"transfer report": ["run", "--workers", "1"]}


def call(words: Words) -> tuple[int, str]:
    """Exit status of a command and what it printed; 99 for a traceback."""
    printed = io.StringIO()
    with redirect_stderr(printed), redirect_stdout(printed):
        try:
            status = run_commands([str(word) for word in words])
        except SystemExit as error:
            status = error.code
        except BaseException:
            traceback.print_exc()
            status = 99
    return status, printed.getvalue()


def attempt(name: str, make: Callable, disk: Path, fraction: float) -> dict:
    """Run a command with room, with too little, and with room again."""
    os.environ["GESTURE_PRETRAIN_HOME"] = str(_copied_home(disk))
    tempfile.tempdir = str(disk / "tmp")
    if name in PREPARED_BY:
        call([word for word in make(disk, "one") if word != "report"] + PREPARED_BY[name])
    before = _used(disk)
    status, printed = call(make(disk, "one"))
    if status:
        return {"case": name, "broken": [f"the first run: {status} {printed}"]}
    old = _hashes(disk)
    room = int(fraction * (_used(disk) - before)) // 4096 * 4096
    _fill(disk, room)
    status, printed = call(make(disk, "two"))
    now = _hashes(disk)
    (disk / "filler").unlink()
    found = {
        "case": name,
        "room": room,
        "status": status,
        "message": [line for line in printed.splitlines() if "o space left" in line][:1],
        "changed": [path for path in old if now.get(path) != old[path]],
        "left": [path for path in now if ".part" in path],
        "broken": [path for path in now.keys() - old.keys() if not _whole(disk / path)],
    }
    again, printed = call(make(disk, "two"))
    return {**found, "again": again, "errors": printed[-800:] if again else ""}


def _copied_home(disk: Path) -> Path:
    (disk / "tmp").mkdir()
    return shutil.copytree(os.environ["GESTURE_PRETRAIN_HOME"], disk / "home")


def _used(disk: Path) -> int:
    place = os.statvfs(disk)
    return (place.f_blocks - place.f_bfree) * place.f_frsize


def _fill(disk: Path, room: int) -> None:
    place = os.statvfs(disk)
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, place.f_bavail * place.f_frsize - room))


def _hashes(disk: Path) -> dict[str, str]:
    files = [p for p in disk.rglob("*") if p.is_file() and p.name != "filler"]
    return {str(p.relative_to(disk)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _whole(path: Path) -> bool:
    """Whether a file with a final name can be read to its end."""
    content = path.read_bytes()
    readers = {
        ".json": lambda: json.loads(content),
        ".png": lambda: cv2.imdecode(np.frombuffer(content, np.uint8), 1).any(),
        ".npy": lambda: np.load(path),
        ".npz": lambda: dict(np.load(path)),
        ".html": lambda: content.index(b"</html>"),
        ".mp4": lambda: 1 / cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT),
    }
    try:
        readers.get(path.suffix, lambda: None)()
    except Exception:  # of any reader: the file is not whole
        return False
    return True


def main(folder: Path, fractions: list[float], names: list[str]) -> None:
    register_toy()
    inputs, disk = Inputs(folder / "inputs"), folder / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)]
    subprocess.run(["mount", *options], check=True)
    report = folder / "report.json"
    for name, make in cases(inputs).items():
        for fraction in fractions if not names or name in names else ():
            began = time.monotonic()
            child = forked(partial(_write_attempt, report, name, make, disk, fraction))
            os.waitpid(child, 0)
            found = json.loads(report.read_text()) | {"seconds": time.monotonic() - began}
            report.unlink()
            print(json.dumps(found), flush=True)
            for path in disk.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_attempt(report: Path, *arguments) -> None:
    report.write_text(json.dumps(attempt(*arguments)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [float(f) for f in sys.argv[2].split(",")], sys.argv[3:])
