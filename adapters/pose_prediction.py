"""Predictions of a pose network for a data set, as a file that is scored from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Subset
from tqdm import tqdm

from adapters.pose_frames import CameraPrediction, to_camera_frame
from adapters.pose_model import HandPrediction, check_prediction
from gesture_pretrain.evaluation.predictions import PosePredictions
from gesture_pretrain.training.gesture_data import make_loader

BOX_SOURCE = "annotation"


@torch.no_grad()
def predict_batch(model: nn.Module, batch: Any) -> HandPrediction:
    """The hands of a collated batch, in the frame of its crops, on the model's device.

    The model is in eval mode afterwards.
    """
    prediction = model.eval().val_step(batch)
    check_prediction(prediction, len(batch.row))
    return prediction


def predict_split(
    model: nn.Module,
    dataset: Dataset,
    rows: np.ndarray | None = None,
    *,
    system: str,
    provenance: Mapping | None = None,
    batch_size: int = 64,
    workers: int = 0,
    progress: bool = True,
) -> PosePredictions:
    """Predicts a data set without augmentation and undoes its crops, mirrors included.

    Args:
        model: a `PoseModel`.
        dataset: of its target, with `index` and `rows`, built without augmentation.
        rows: those to predict, among `dataset.rows`; all of them where None.
        system: name of the system, the row of a score table.
        provenance: plain values that say what made the predictions; `box_source` is that of the
            data set, or "annotation" where neither says anything.
        batch_size: images at a time.
        workers: loading processes.
        progress: show a progress bar on a terminal.

    Raises:
        ValueError: a row that the data set does not have, or no row at all.
    """
    loader = make_loader(
        Subset(dataset, _positions(dataset.rows, rows)), workers, 0, False, batch_size=batch_size
    )
    parts = [
        to_camera_frame(predict_batch(model, batch), batch)
        for batch in tqdm(loader, desc=f"predict {system}", disable=None if progress else True)
    ]
    joined = CameraPrediction(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    return PosePredictions(
        system=system,
        index_fingerprint=dataset.index.fingerprint,
        provenance={
            "box_source": getattr(dataset, "box_source", BOX_SOURCE),
            **(provenance or {}),
        },
        **joined._asdict(),
    )


def _positions(available: np.ndarray, rows: np.ndarray | None) -> list[int]:
    if rows is None:
        rows = available
    place = {row: position for position, row in enumerate(np.asarray(available).tolist())}
    missing = [row for row in np.asarray(rows).tolist() if row not in place]
    if missing:
        raise ValueError(
            f"row {missing[0]} ({len(missing)} of {len(rows)} rows) is not in the data set, which "
            f"has {len(place)} rows"
        )
    if len(rows) == 0:
        raise ValueError("no row to predict; the data set or the selection is empty")
    return [place[row] for row in np.asarray(rows).tolist()]
