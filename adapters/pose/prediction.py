"""Predictions of a pose network for a dataset, as a file for scoring."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Subset, default_collate
from tqdm import tqdm

from adapters.pose.frames import to_camera_frame
from adapters.pose.mesh_storage import MeshStorage
from adapters.pose.model import HandPrediction, check_prediction, require_finite
from gesture_pretrain.data.samples.loaders import make_loader, own_batches
from gesture_pretrain.evaluation.poses.predictions import PosePredictions
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.precision import autocast
from gesture_pretrain.processes import gather_objects, rank_and_world_size
from gesture_pretrain.training.placement import same_buffers_everywhere


@torch.no_grad()
def predict_batch(model: nn.Module, batch: Any, *, precision: str = "auto") -> HandPrediction:
    """Predict the hands of a collated batch, in the frame of its crops, on the model's device.

    The model is in eval mode afterwards.

    Args:
        model: A `PoseModel`.
        batch: Collated samples.
        precision: Precision of the network, see `choose_precision`. Geometry stays
            in float32.
    """
    device = next(model.parameters()).device
    with autocast(precision, device):
        prediction = model.eval().val_step(batch)
    check_prediction(prediction, len(batch.row))
    return prediction


def check_first_prediction(model: nn.Module, dataset: Dataset) -> None:
    """Predict two training samples, so that a wrong prediction stops a run before it starts.

    Args:
        model: A `PoseModel`; its mode, weights and statistics stay as they are.
        dataset: The training set.

    Raises:
        TypeError, ValueError: The prediction is not what `HandPrediction` documents, or not finite.
    """
    training = model.training
    batch = default_collate([dataset[i] for i in range(min(2, len(dataset)))])
    prediction = predict_batch(model, batch)
    require_finite(prediction)
    to_camera_frame(prediction, batch)
    model.train(training)


def predict_split(
    model: nn.Module,
    dataset: Dataset,
    rows: np.ndarray | None = None,
    *,
    system: str,
    provenance: Mapping | None = None,
    batch_size: int = 64,
    workers: int = 0,
    precision: str = "auto",
    progress: bool = True,
    shared: bool = False,
    hand_models: Mapping[str, HandModel] | None = None,
) -> PosePredictions:
    """Predict a dataset without augmentation and undo its crops, including mirrors.

    Args:
        model: A `PoseModel`.
        dataset: Dataset of its target without augmentation, see `PoseTarget.build_dataset`.
        rows: Rows to predict, among `dataset.rows`; None for all.
        system: Name of the system, the row of a score table.
        provenance: JSON-serialisable record of the predictions' origin; `box_source` is that of the
            dataset unless it is given.
        batch_size: Images at a time.
        workers: Loading processes.
        precision: Precision of the network, see `predict_batch`.
        progress: Show a progress bar on a terminal.
        shared: All processes of the run call this together. Each predicts part of the batches, with
            the buffers of the first process. All return what a single process would, bit for bit.
        hand_models: "right" and "left" of the network, to store meshes as their parameters; None
            to store vertices, 9.3 kB for each hand.

    Raises:
        ValueError: The dataset lacks a row, or there are no rows.
    """
    positions = _positions(dataset.rows, rows)
    rank, world_size = rank_and_world_size() if shared else (0, 1)
    batches = own_batches(len(positions), batch_size, rank, world_size)
    pinned = next(model.parameters()).is_cuda
    loader = make_loader(Subset(dataset, positions), workers, 0, pinned, batch_sampler=batches)
    if shared:
        same_buffers_everywhere(model)
    hidden = True if rank or not progress else None
    storage = MeshStorage(hand_models)
    parts = {
        batch_rows.start: storage.arrays(
            to_camera_frame(predict_batch(model, batch, precision=precision), batch)
        )
        for batch_rows, batch in zip(
            batches, tqdm(loader, desc=f"predict {system}", disable=hidden), strict=True
        )
    }
    everywhere = gather_objects(parts) if shared else [parts]
    joined = _joined({start: part for each in everywhere for start, part in each.items()})
    return PosePredictions(
        system=system,
        index_fingerprint=dataset.index.fingerprint,
        provenance={"box_source": dataset.box_source, **(provenance or {})},
        **storage.predictions(joined),
    )


def _joined(parts: dict[int, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    in_order = [parts[start] for start in sorted(parts)]
    return {name: np.concatenate([part[name] for part in in_order]) for name in in_order[0]}


def _positions(available: np.ndarray, rows: np.ndarray | None) -> list[int]:
    if rows is None:
        rows = available
    place = {row: position for position, row in enumerate(np.asarray(available).tolist())}
    missing = [row for row in np.asarray(rows).tolist() if row not in place]
    if missing:
        raise ValueError(
            f"row {missing[0]} ({len(missing)} of {len(rows)} rows) is not in the dataset, which "
            f"has {len(place)} rows"
        )
    if len(rows) == 0:
        raise ValueError("no row to predict; the dataset or the selection is empty")
    return [place[row] for row in np.asarray(rows).tolist()]
