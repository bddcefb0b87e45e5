"""Execution of one cell: training, and the files that the next stage needs.

Pretraining exports weights; fine-tuning predicts the poses of the test images. Both resume from
their last checkpoint, with the same result bit for bit as without an interruption on a CPU.
"""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from adapters.pose.prediction import predict_split
from adapters.pose.run import PoseRun
from adapters.pose.stage import train
from adapters.transfer.plan.cell import PRETRAINING, SELECTION, Cell
from adapters.transfer.plan.rows import finetuning_rows, pretraining_rows
from adapters.transfer.run.cell_folder import CellFolder
from adapters.transfer.run.curve import CurveHook
from gesture_pretrain.data.index.fraction import count_rows
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.leakage import rows_fingerprint
from gesture_pretrain.data.splits.select import spread
from gesture_pretrain.device import choose_device
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.pretraining.stage import pretrain
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.checkpoint import CHECKPOINTS, has_checkpoint
from gesture_pretrain.training.run_folder import current_commit, library_versions
from gesture_pretrain.weights.ledger import WeightLedger

_PREDICTED_AT_ONCE = 128


class StageError(RuntimeError):
    """A cell was not trained or validated as the plan states."""


def run_cell(
    folder: CellFolder, weights: Path | None, *, device: str, lr: float | None = None
) -> None:
    """Run a cell to its end, from its last checkpoint.

    Args:
        folder: Folder of the cell, prepared and locked by this process.
        weights: Exported weights of the cell that it needs; None if it needs none.
        device: See `choose_device`.
        lr: Learning rate that the plan's rule chose; None to use that of the cell.
    """
    begun = time.monotonic()
    resumed = has_checkpoint(folder.run / CHECKPOINTS)
    if folder.cell.stage == PRETRAINING:
        notes, files = _pretrain(folder, device, resumed)
    else:
        notes, files = _finetune(folder, weights, device, resumed, lr)
    rank, world_size = rank_and_world_size()
    if rank:
        return
    folder.finish(
        {
            **notes,
            "iterations": folder.cell.iterations,
            "batch_size": folder.cell.batch_size,
            "seconds": time.monotonic() - begun,
            "resumed": resumed,
            "device": _device_name(device),
            "processes": world_size,
            "commit": current_commit(),
            "versions": library_versions(),
        },
        files,
    )
    folder.discard_run()


def _pretrain(folder: CellFolder, device: str, resumed: bool) -> tuple[dict, list[Path]]:
    cell = folder.cell
    sections = _sections(cell)
    index = HandIndex.open(cell.places["index"])
    audited = pretraining_rows(index, sections["data"])
    built: dict[str, Any] = {}

    def check_rows(runner) -> None:
        _require_rows(runner.data.train.dataset.rows, audited, cell)
        built.update(summary=runner.data.summary, network=runner.model.network)

    result = pretrain(
        sections,
        out=folder.run,
        name=cell.key[:12],
        seed=cell.seed,
        device=device,
        resume=resumed,
        progress=False,
        export_to=folder.weights,
        notes=f"Cell {cell.label} of a transfer study.",
        before_training=check_rows,
    )
    if result.weights is None:
        return {}, []
    notes = {
        "weights": str(result.weights.relative_to(folder.path)),
        "metrics": {
            **{f"val_{name}": value for name, value in result.metrics.items()},
            **{f"train_{name}": value for name, value in result.train_metrics.items()},
        },
        "labels": sections["data"].get("label_variant"),
        "withheld": built["summary"].get("withheld", []),
        "train_images": len(audited),
        "initial_weights": _counts_of(built["network"].backbone.ledger),
        "train_rows_sha256": rows_fingerprint(index, audited),
    }
    return notes, sorted(result.weights.glob("*.safetensors"))


def _counts_of(ledger: WeightLedger | None) -> dict[str, Any]:
    """Return the origin of initial weights, and how many of their tensors were loaded."""
    if ledger is None:
        return {"source": "random"}
    counts = Counter(entry.status for entry in ledger.entries)
    return {"source": ledger.source, "tensors": dict(counts)}


def _finetune(
    folder: CellFolder, weights: Path | None, device: str, resumed: bool, lr: float | None
) -> tuple[dict, list[Path]]:
    cell = folder.cell
    sections = _sections(cell)
    if lr is not None:
        sections["optimizer"] = {**sections.get("optimizer", {}), "lr": lr}
    built: dict[str, Any] = {}
    curve = CurveHook(
        cell.config.get("curve", ()), lambda steps: _predict_point(folder, built, steps)
    )

    def check_rows(run: PoseRun) -> None:
        rows = run.data.train.dataset.rows
        audited = finetuning_rows(run.data.index, sections["data"])
        _require_rows(rows, audited, cell, some_left_out=True)
        built.update(rows=rows, run=run)
        if cell.stage != SELECTION:
            # before the training, so that missing boxes are found at once
            built.update(test=_test_set(run, cell))

    trained = train(
        {
            **sections,
            "target": cell.config["target"],
            "backbone": _backbone_section(cell, weights),
            "model": cell.config["model"],
        },
        out=folder.run,
        name=cell.label,
        seed=cell.seed,
        device=device,
        resume=resumed,
        progress=False,
        store=False,
        hooks=[curve],
        before_training=check_rows,
    )
    if rank_and_world_size()[0]:
        return {}, []
    index, rows = built["run"].data.index, built["rows"]
    notes = {
        "metrics": dict(trained.metrics),
        "lr": sections.get("optimizer", {}).get("lr"),
        "values": getattr(trained.network, "card_values", dict)(),
        "train_images": len(rows),
        "train_moments": count_rows(index, rows).moments,
        "train_rows_sha256": rows_fingerprint(index, rows),
        "ledger": "run/ledger.json",
    }
    if cell.stage == SELECTION:
        _require_validated(trained.metrics, cell)
        return notes, []
    _predict(built, trained.network, cell).save(folder.predictions)
    return notes, [folder.predictions, *(folder.curve_point(steps) for steps in curve.steps)]


def _predict_point(folder: CellFolder, built: Mapping[str, Any], steps: int) -> None:
    """Predict the test images with the averaged weights after some steps."""
    if rank_and_world_size()[0] == 0:
        predictions = _predict(built, built["run"].model, folder.cell)
        predictions.save(folder.curve_point(steps))


def _require_validated(metrics: Mapping[str, float], cell: Cell) -> None:
    if "mpjpe_mm" not in metrics:
        raise StageError(
            f"{cell.label} found no validation image with joints. Choose another "
            "learning_rate.split."
        )


def _test_set(run: PoseRun, cell: Cell) -> Dataset:
    index, test = HandIndex.open(cell.places["test_index"]), cell.config["test"]
    return run.dataset(_test_rows(index, test), index=index, box_source=test.get("box_source"))


def _predict(built: Mapping[str, Any], model: nn.Module, cell: Cell) -> PosePredictions:
    run = built["run"]
    return predict_split(
        model,
        built["test"],
        system=cell.label,
        provenance={"cell": cell.key, "split": cell.config["test"]["split"]},
        batch_size=_PREDICTED_AT_ONCE,
        workers=cell.config["sections"]["data"].get("workers", 0),
        progress=False,
        hand_models=run.hand_models,
    )


def _test_rows(index: HandIndex, test: Mapping[str, Any]) -> np.ndarray:
    return spread(index.select(split=test["split"], hands=test["hands"]), test["images"])


def _sections(cell: Cell) -> dict[str, dict]:
    """Return the sections of the run, with the paths that the configuration leaves out."""
    sections = {name: dict(section) for name, section in cell.config["sections"].items()}
    sections["data"]["index"] = cell.places["index"]
    if cell.places.get("hand_model") is not None:
        sections.setdefault("hand_model", {})["path"] = cell.places["hand_model"]
    return sections


def _backbone_section(cell: Cell, weights: Path | None) -> dict[str, Any]:
    chosen = cell.config["weights"]
    section = {"size_px": cell.config["size_px"]}
    if weights is not None:
        return {**section, "name": str(weights)}
    if "stored" in chosen:
        return {**section, "name": chosen["stored"]}
    return {**section, **{key: chosen[key] for key in ("arch", "init", "heads")}}


def _require_rows(rows, expected, cell: Cell, *, some_left_out: bool = False) -> None:
    """Raise unless the training rows are those that the leakage audit examined."""
    same = np.isin(rows, expected).all() if some_left_out else np.array_equal(rows, expected)
    if not same:
        raise StageError(
            f"{cell.label} would be trained on {len(rows)} images other than the {len(expected)} "
            "that were audited for leaks. This is a defect of the code; please report it."
        )


def _device_name(device: str) -> str:
    where = choose_device(device)
    if where.type != "cuda":
        return "cpu"
    return torch.cuda.get_device_name(where)
