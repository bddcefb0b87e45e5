"""One target around several backbones: trained alike, predicted, ready to be scored.

All arms of a comparison see the same samples in the same order for the same number of steps, which
is recorded and checked, and differ in the backbone alone.
"""

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from adapters.pose.run import PoseRun
from adapters.pose.stage import train
from adapters.targets import SwapError
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.training.checkpoint import CHECKPOINTS, has_checkpoint
from gesture_pretrain.weights.record import WeightRecord
from gesture_pretrain.weights.registry import find_backbone
from gesture_pretrain.weights.starting_backbone import build_starting_backbone

RANDOM, IMAGENET = "random", "imagenet"
ARM_FILE = "arm.json"


@dataclass(frozen=True)
class Arm:
    """One backbone of a comparison.

    Attributes:
        label: What tables call it.
        backbone: Section `backbone` of `build_pose_runner`.
    """

    label: str
    backbone: Mapping[str, Any]


@dataclass(frozen=True)
class TrainedArm:
    """What training one arm with one seed left.

    Attributes:
        label: Of the arm.
        seed: Of the run.
        folder: Of the run.
        steps: Taken by the optimiser.
        sample_order: SHA-256 over the index rows of all batches, in order.
        predictions: Path of the predictions file.
        projections: Declared projections behind the backbone.
        reads_heads: The target reads gesture heads that came along with the backbone.
    """

    label: str
    seed: int
    folder: Path
    steps: int
    sample_order: str
    predictions: Path
    projections: Mapping[str, str]
    reads_heads: bool = False


class SampleOrder(Hook):
    """Hashes which samples came in which order.

    Attributes:
        steps: Batches seen.
    """

    def __init__(self):
        self._digest = hashlib.sha256()
        self.steps = 0

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        rows = data_batch.row.detach().cpu().contiguous()
        self._digest.update(f"{batch_idx}|{tuple(rows.shape)}|".encode() + rows.numpy().tobytes())
        self.steps += 1

    @property
    def sha256(self) -> str:
        """Of all batches so far."""
        return self._digest.hexdigest()


def comparison_arms(
    backbone: str, baselines: Sequence[str], *, size_px: int | None = None
) -> list[Arm]:
    """The swapped backbone and its baselines.

    Args:
        backbone: Name or path of registered weights.
        baselines: "random" (same architecture, random weights), "imagenet" (same architecture, the
            weights timm publishes), or names of other registered weights.
        size_px: Side of the crops, where the target reads one size only; else that of the
            swapped backbone.

    Returns:
        The swapped arm first. All see crops of one size.

    Raises:
        ValueError: A baseline twice, or the backbone itself.
        UnknownBackbone: No weights of a name.
        WeightsUnavailableError: timm's weights are not to be had.
    """
    record = find_backbone(backbone).record
    size_px = size_px or record.input.size_px
    arms = [Arm(record.name, {"name": backbone, "size_px": size_px})]
    for baseline in baselines:
        arms.append(_baseline(baseline, record, size_px))
    labels = [arm.label for arm in arms]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(
            f"{twice[0]!r} would be compared with itself. Give each --baseline once, and not the "
            "--backbone."
        )
    return arms


def train_arms(
    arms: Sequence[Arm],
    *,
    sections: Mapping[str, Any],
    seeds: Sequence[int],
    split: str,
    out: Path,
    device: str = "auto",
    announce=print,
) -> tuple[list[TrainedArm], PoseRun]:
    """Train every arm with every seed, and predict a split with each.

    Args:
        arms: What is compared.
        sections: Of `build_pose_runner`, without `backbone`, `seed` and `out`.
        seeds: Of the runs; each is used by every arm.
        split: Of the index, predicted by each.
        out: Gets a folder `seed<number>/<label>` for each run.
        device: As in `build_pose_runner`.
        announce: Takes lines of text.

    Returns:
        The arms in order of seeds, and the last run, for its index and hand models.

    Raises:
        SwapError: A backbone did not arrive whole or does not train, or the arms did not see the
            same samples.
        FileExistsError: The folder of a run is in use, or holds the checkpoints of an earlier one.
        As `build_pose_runner`.
    """
    folders = {(arm.label, seed): run_folder(out, arm, seed) for seed in seeds for arm in arms}
    for folder in folders.values():
        _refuse_used_folder(folder)
    trained, run = [], None
    for seed in seeds:
        of_seed = []
        for arm in arms:
            folder = folders[arm.label, seed]
            announce(f"\n{arm.label}, seed {seed}: {folder}")
            result, run = _train(arm, sections, seed, split, folder, device)
            of_seed.append(result)
        require_same_samples(of_seed)
        trained += of_seed
    return trained, run


def _refuse_used_folder(folder: Path) -> None:
    if has_checkpoint(folder / CHECKPOINTS):
        raise FileExistsError(
            f"{folder} holds the checkpoints of a run. A comparison trains anew: choose another "
            "--out, or remove that folder."
        )


def run_folder(out: Path, arm: Arm, seed: int) -> Path:
    """Where a run of a comparison goes."""
    return Path(out) / f"seed{seed}" / re.sub(r"[^\w.-]+", "_", arm.label).strip("_")


def require_same_samples(arms: Sequence[TrainedArm]) -> None:
    """Refuse a comparison whose arms saw other samples, or not as many.

    Raises:
        SwapError: Names the arm that differs from the first.
    """
    first = arms[0]
    for other in arms[1:]:
        if (other.steps, other.sample_order) != (first.steps, first.sample_order):
            raise SwapError(
                f"{first.label!r} took {first.steps} steps on samples {first.sample_order[:12]}, "
                f"{other.label!r} {other.steps} on {other.sample_order[:12]}. Runs that are not "
                "trained alike are not compared; does the target choose samples by the backbone?"
            )


def _baseline(text: str, record: WeightRecord, size_px: int) -> Arm:
    arch, same = record.arch, {"arch": record.arch, "size_px": size_px}
    heads = {}
    if record.heads is not None:  # where the target reads them, those of the arms are of one shape
        heads = {"heads": {"hidden": record.heads.hidden, "dropout": record.heads.dropout}}
    if text == RANDOM:
        return Arm(f"{arch} (random)", {**same, **heads, "init": "random"})
    if text == IMAGENET:
        build_starting_backbone(**same, init="timm")  # refused now, not after hours of training
        return Arm(f"{arch} (imagenet)", {**same, **heads, "init": "timm"})
    other = find_backbone(text).record
    return Arm(other.name, {"name": text, "size_px": size_px})


def _train(
    arm: Arm, sections: Mapping[str, Any], seed: int, split: str, folder: Path, device: str
) -> tuple[TrainedArm, PoseRun]:
    order, built = SampleOrder(), []
    trained = train(
        {**copy.deepcopy(dict(sections)), "backbone": dict(arm.backbone)},
        out=folder,
        name=arm.label,
        seed=seed,
        device=device,
        hooks=[order],
        predict=[split],
        before_training=built.append,
    )
    (run,) = built
    result = TrainedArm(
        label=arm.label,
        seed=seed,
        folder=folder,
        steps=order.steps,
        sample_order=order.sha256,
        predictions=trained.predictions[split],
        projections=dict(run.ledger.projections),
        reads_heads=run.ledger.carries_heads,
    )
    text = json.dumps({k: str(v) if isinstance(v, Path) else v for k, v in asdict(result).items()})
    write_bytes_atomically(folder / ARM_FILE, text.encode())
    return result, run
