"""Running one cell: train, and leave behind what the next stage needs.

Pretraining leaves exported weights, fine-tuning the poses it predicts for the test images. Both
resume from their last checkpoint, and both end in the same bits as without an interruption.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from adapters.pose.prediction import predict_split
from adapters.pose.run import PoseRun
from adapters.pose.training import build_pose_runner
from adapters.transfer.plan.cells import PRETRAINING, Cell, finetuning_rows, pretraining_rows
from adapters.transfer.run.cell_folder import CellFolder
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.index.leakage import rows_fingerprint
from gesture_pretrain.device import choose_device
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.pretraining.run import build_runner
from gesture_pretrain.processes import rank_and_world_size
from gesture_pretrain.training.checkpoint import CHECKPOINTS, has_checkpoint
from gesture_pretrain.training.placement import evaluated_model
from gesture_pretrain.training.run_folder import current_commit, library_versions, write_run_folder
from gesture_pretrain.training.splits import spread
from gesture_pretrain.weights.export import export_backbone
from gesture_pretrain.weights.record import DataRecord

_PREDICTED_AT_ONCE = 128


class StageError(RuntimeError):
    """A cell was not trained on what the plan says."""


def run_cell(folder: CellFolder, weights: Path | None, *, device: str) -> None:
    """Runs a cell to its end; what it had done before is not done again.

    Args:
        folder: of the cell, prepared and locked by this process.
        weights: exported weights of the cell that it needs; None where it needs none.
        device: see `choose_device`.
    """
    begun = time.monotonic()
    resumed = has_checkpoint(folder.run / CHECKPOINTS)
    if folder.cell.stage == PRETRAINING:
        notes, files = _pretrain(folder, device, resumed)
    else:
        notes, files = _finetune(folder, weights, device, resumed)
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
    runner = build_runner(
        out=folder.run,
        seed=cell.seed,
        device=device,
        resume=resumed,
        progress=False,
        **sections,
    )
    index = HandIndex.open(cell.places["index"])
    rows = runner.data.train.dataset.rows
    _require_rows(rows, pretraining_rows(index, sections["data"]), cell)
    _write_run_folder(folder, device)
    runner.train()
    if rank_and_world_size()[0]:
        return {}, []
    stored = export_backbone(
        evaluated_model(runner).network,
        tag=cell.key[:12],
        taxonomy=runner.data.taxonomy,
        data=DataRecord.from_index_meta(
            runner.data.summary["source"], validated_on=runner.data.summary["validated_on"]
        ),
        metrics={f"val_{name}": value for name, value in runner.last_metrics.items()},
        config=dict(cell.config),
        commit=current_commit(),
        notes=f"Cell {cell.label} of a transfer experiment.",
        out=folder.weights,
        overwrite=True,
    )
    notes = {
        "weights": str(stored.path.relative_to(folder.path)),
        "metrics": dict(runner.last_metrics),
        "train_rows_sha256": rows_fingerprint(index, rows),
    }
    return notes, sorted(stored.path.glob("*.safetensors"))


def _finetune(
    folder: CellFolder, weights: Path | None, device: str, resumed: bool
) -> tuple[dict, list[Path]]:
    cell = folder.cell
    sections = _sections(cell)
    run = build_pose_runner(
        out=folder.run,
        target=cell.config["target"],
        backbone=_backbone_section(cell, weights),
        model=cell.config["model"],
        seed=cell.seed,
        device=device,
        resume=resumed,
        progress=False,
        **sections,
    )
    rows = run.data.train.dataset.rows
    offered = finetuning_rows(run.data.index, sections["data"])
    _require_rows(rows, offered, cell, some_left_out=True)
    test_set = _test_set(run, cell)  # before the training: boxes that are not there cost no run
    _write_run_folder(folder, device)
    model = run.train()
    if rank_and_world_size()[0]:
        return {}, []
    predictions = _predict(model, test_set, cell)
    predictions.save(folder.predictions)
    notes = {
        "metrics": dict(run.runner.last_metrics),
        "train_images": len(rows),
        "train_rows_sha256": rows_fingerprint(run.data.index, rows),
        "ledger": "run/ledger.json",
    }
    return notes, [folder.predictions]


def _test_set(run: PoseRun, cell: Cell) -> Dataset:
    index, test = HandIndex.open(cell.places["test_index"]), cell.config["test"]
    return run.dataset(_test_rows(index, test), index=index, box_source=test.get("box_source"))


def _predict(model, dataset: Dataset, cell: Cell) -> PosePredictions:
    return predict_split(
        model,
        dataset,
        system=cell.label,
        provenance={
            "cell": cell.key,
            "split": cell.config["test"]["split"],
        },
        batch_size=_PREDICTED_AT_ONCE,
        progress=False,
    )


def _test_rows(index: HandIndex, test: Mapping[str, Any]) -> np.ndarray:
    return spread(index.select(split=test["split"], hands=test["hands"]), test["images"])


def _sections(cell: Cell) -> dict[str, dict]:
    """Sections of the runner, with the places that the configuration leaves out."""
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
    """The audit for leaks looked at `expected`; what was trained on must be that."""
    same = np.isin(rows, expected).all() if some_left_out else np.array_equal(rows, expected)
    if not same:
        raise StageError(
            f"{cell.label} would be trained on {len(rows)} images that are not the {len(expected)} "
            "which were audited for leaks. This is a defect of the experiment's code; report it."
        )


def _write_run_folder(folder: CellFolder, device: str) -> None:
    if rank_and_world_size()[0] == 0:
        cell = folder.cell
        write_run_folder(
            folder.run,
            dict(cell.config),
            name=cell.label,
            device=_device_name(device),
        )


def _device_name(device: str) -> str:
    where = choose_device(device)
    if where.type != "cuda":
        return "cpu"
    return torch.cuda.get_device_name(where)
