"""Training a pose network as one call: build, lock the run folder, train, store, predict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from torch import nn
from torch.utils.data import Dataset

from adapters.pose.checkpoint import find_pose_model, read_pose_card, save_pose_run
from adapters.pose.prediction import predict_split
from adapters.pose.run import PoseRun
from adapters.pose.sections import check_pose_config
from adapters.pose.training import build_pose_runner
from gesture_pretrain.config.file import read_config
from gesture_pretrain.config.override import Overrides, set_key
from gesture_pretrain.device import choose_device
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.run_folder import current_commit, write_run_folder
from gesture_pretrain.training.run_lock import run_lock


@dataclass(frozen=True)
class TrainedPose:
    """Result of training a pose network.

    Attributes:
        run: Run folder.
        network: The trained network, with averaged weights if the run averages them.
        steps: Optimiser steps taken.
        metrics: Scores of the last validation by name; empty without validation.
        model: Folder of the stored network; None if it was not stored.
        predictions: Predictions file of each predicted split.
    """

    run: Path
    network: nn.Module
    steps: int
    metrics: Mapping[str, float]
    model: Path | None = None
    predictions: Mapping[str, Path] = field(default_factory=dict)


def train(
    config: str | Path | Mapping[str, Any],
    *,
    data: str | Path | None = None,
    backbone: str | Path | None = None,
    init: str | Path | None = None,
    mano: str | Path | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    seed: int | None = None,
    device: str = "auto",
    overrides: Overrides = (),
    predict: Sequence[str] = (),
    box_source: str | None = None,
    resume: bool = False,
    progress: bool = True,
    store: bool = True,
    hooks: Sequence[Hook] = (),
    before_training: Callable[[PoseRun], None] | None = None,
) -> TrainedPose:
    """Train a pose network on top of a backbone and store it.

    Args:
        config: Name of a shipped config ("eanet_resnet50_interhand"), path of a config file, or a
            mapping of sections (`target` and fields of `PoseSections`).
        data: Index, or dataset that contains one. Default: `data.index` of the config.
        backbone: Name or path of registered weights. Default: the config's backbone.
        init: Stored pose network to continue: name of a released one, or a folder. Default: the
            config's, else none.
        mano: MANO file or folder, or "open" for the bundled hand model. Default:
            `hand_model.path` of the config, else $MANO_DIR.
        out: Run folder. Default: `runs/<tag>`.
        name: Name of the run. Default: the config's tag, else its file name.
        seed: Random seed. Default: the config's seed, else 0.
        device: "auto", "cpu", "cuda" or "cuda:<index>".
        overrides: Changes to the config, see `apply_overrides`; applied first.
        predict: Splits to predict after training.
        box_source: Boxes that `predict` crops to, such as "rootnet". Default: those of training.
        resume: Continue from the last checkpoint in `out`.
        progress: Print progress, the ledger and the results.
        store: Store the network in `<out>/model`.
        hooks: Further mmengine hooks.
        before_training: Called with the built run before anything is written or trained.

    Raises:
        ValueError, OSError: Wrong input, such as an unknown key or a folder in use.
        UnknownTarget, UnknownBackbone, WeightsUnavailableError: Something is not available.
        TrainingStopped: The run ended early and can be resumed.
    """
    given = {"data.index": data, "hand_model.path": mano, "seed": seed, "tag": name}
    resolved = resolve_config(config, overrides, given, backbone=backbone, init=init)
    out = Path(out or Path("runs") / resolved["tag"])
    sections = {key: value for key, value in resolved.items() if key != "tag"}
    run = build_pose_runner(
        out=out, resume=resume, device=device, hooks=hooks, progress=progress, **sections
    )
    # before the training, so that a missing split or kind of box costs no run
    predicted = {split: _held_out(run, split, box_source) for split in predict}
    if before_training is not None:
        before_training(run)
    say = print if progress else lambda *_: None
    is_main = rank_and_world_size()[0] == 0
    model = None
    with run_lock(out, resume=resume):
        if is_main:
            _begin_run_folder(run, out, resolved, device, resume, say)
        network = run.train()
        if is_main and store:
            model = save_pose_run(run, out / "model", config=resolved)
            say(f"Stored {resolved['target']} in {model}")
        files = {
            split: _predict(run, split, dataset, out, resolved, progress)
            for split, dataset in predicted.items()
        }
    for split, path in files.items():
        say(f"Predicted split {split}: {path}")
    metrics = dict(run.runner.last_metrics)
    return TrainedPose(out, network, run.runner.iter, metrics, model, files)


def resolve_config(
    config: str | Path | Mapping[str, Any],
    overrides: Overrides = (),
    given: Mapping[str, Any] | None = None,
    *,
    backbone: str | Path | None = None,
    init: str | Path | None = None,
) -> dict[str, Any]:
    """Read a pose config and apply overrides, then given values, then defaults.

    Args:
        config: As in `train`.
        overrides: As in `train`.
        given: Dotted keys to values; None leaves the config's own.
        backbone, init: As in `train`. They replace architecture, initial weights and heads of the
            config.

    Raises:
        ValueError: An unknown section or key, or an impossible value.
    """
    resolved = read_config(config, overrides, kind="pose")
    if backbone is not None and init is not None:
        raise ValueError(
            f"backbone={str(backbone)!r} and init={str(init)!r}: give one of them. A stored pose "
            "network brings its backbone."
        )
    values = {**(given or {}), "backbone.name": backbone, "init": init}
    if backbone is not None:
        set_key(resolved, "init", None)
    if backbone is not None or init is not None:
        arch = None if init is None else read_pose_card(find_pose_model(init)).arch
        for key, value in (("arch", arch), ("name", None), ("heads", None), ("init", "random")):
            set_key(resolved, f"backbone.{key}", value)
    for key, value in values.items():
        if value is not None:
            set_key(resolved, key, str(value) if isinstance(value, Path) else value)
    check_pose_config(resolved)
    stem = "pose" if isinstance(config, Mapping) else Path(config).stem
    resolved.setdefault("tag", stem)
    resolved.setdefault("seed", 0)
    return resolved


def _begin_run_folder(
    run: PoseRun, out: Path, config: dict, device: str, resume: bool, say: Callable
) -> None:
    changed = write_run_folder(out, config, name=config["tag"], device=str(choose_device(device)))
    if changed:
        say("Resuming with changed settings: " + "; ".join(changed))
    if not resume:
        run.ledger.save(out)
    say(run.ledger.table())
    say(f"Run folder {out}")


def _held_out(run: PoseRun, split: str, box_source: str | None) -> Dataset:
    """Build the dataset of a split's usable single hands, without augmentation."""
    rows = run.data.index.select(split=split, hands=("right", "left"))
    if len(rows) == 0:
        raise ValueError(
            f"Split {split!r} of {run.data.index.root} has no image of a single hand to predict. "
            "Choose another split."
        )
    return run.dataset(rows, box_source=box_source)


def _predict(
    run: PoseRun, split: str, dataset: Dataset, out: Path, config: dict, progress: bool
) -> Path:
    """Predict a split, all processes together, and write the file."""
    predictions = predict_split(
        run.model,
        dataset,
        system=config["tag"],
        provenance={
            "target": run.target.name,
            "backbone": run.ledger.backbone_name,
            "projections": dict(run.ledger.projections),
            "split": split,
            "seed": run.seed,
            "iterations": run.runner.iter,
            "commit": current_commit(),
        },
        workers=config["data"].get("workers", 0),
        shared=True,
        progress=progress,
        hand_models=run.hand_models,
    )
    path = out / f"predictions_{split}.npz"
    if rank_and_world_size()[0] == 0:
        predictions.save(path)
    return path
