"""Frozen features of a backbone over the rows of an index, kept on disk.

Predictions go to disk first and metrics are computed from disk, so mending a metric costs no pass
through a network. Letters: N samples, C channels of the pooled feature, K classes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from gesture_pretrain.data.samples.gesture_dataset import HandSample, prepare_worker
from gesture_pretrain.files.npz_file import write_npz
from gesture_pretrain.models.backbone import InputSpec
from gesture_pretrain.models.image_normaliser import ImageNormaliser

if TYPE_CHECKING:
    from gesture_pretrain.data.index.index import HandIndex


@dataclass(frozen=True)
class FeatureTable:
    """Pooled features of N samples with labels, joints and metadata.

    Attributes:
        features: (N, C) float32, the backbone's pooled feature.
        coarse, fine: (N,) int64 gesture ids, -1 = no label.
        hand: (N,) int64, 0 right, 1 left, -1 unknown or both.
        joints_rel_mm: (N, 21, 3) float32, camera frame, relative to the wrist. Where joint_valid
            is false the value means nothing.
        joint_valid: (N, 21) bool.
        rows: (N,) int64 rows of the index.
        groups: (N,) text "split/capture/frame": samples of one group show one moment from
            several cameras. An image without a capture or frame is its own group.
        subjects: (N,) int64, -1 = unknown.
        coarse_logits, fine_logits: (N, K) float32, or None for a backbone without heads.
        meta: Plain values: backbone name, data, taxonomy.
    """

    features: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray
    hand: np.ndarray
    joints_rel_mm: np.ndarray
    joint_valid: np.ndarray
    rows: np.ndarray
    groups: np.ndarray
    subjects: np.ndarray
    coarse_logits: np.ndarray | None = None
    fine_logits: np.ndarray | None = None
    meta: dict = field(default_factory=dict)

    def __post_init__(self):
        for name in self._array_names():
            if len(getattr(self, name)) != len(self.features):
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} entries for {len(self.features)} "
                    "features; every column of a FeatureTable has one entry per sample."
                )

    def __len__(self) -> int:
        return len(self.features)

    @property
    def has_joints(self) -> bool:
        """Return whether any joint of any sample is known."""
        return bool(self.joint_valid.any())

    def save(self, path: Path | str) -> Path:
        """Write the table atomically as an .npz without pickled data."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name) for name in self._array_names()}
        return write_npz(path, {"meta_json": json.dumps(self.meta), **arrays})

    @classmethod
    def load(cls, path: Path | str) -> "FeatureTable":
        """Read a table written by `save`."""
        with np.load(path, allow_pickle=False) as stored:
            values = {name: stored[name] for name in stored.files if name != "meta_json"}
            return cls(**values, meta=json.loads(str(stored["meta_json"])))

    def _array_names(self) -> list[str]:
        names = [f.name for f in fields(self) if f.name != "meta"]
        return [name for name in names if getattr(self, name) is not None]


def extract_features(
    models: Mapping[str, nn.Module],
    dataset: Dataset,
    index: "HandIndex",
    *,
    batch_size: int = 64,
    device: str = "cpu",
    workers: int = 0,
    progress: bool = True,
) -> dict[str, FeatureTable]:
    """Run several backbones over one dataset, decoding each image once.

    Args:
        models: Name -> Backbone or GestureNetwork. All must take images of the dataset's size.
        dataset: Yields HandSample without augmentation; `row` points into `index`.
        index: Index with the groups and subjects.

    Returns:
        name -> FeatureTable, in the order of the dataset.
    """
    if len(dataset) == 0:
        raise ValueError("There is no sample to extract features from; check split and filters.")
    loader = DataLoader(
        dataset, batch_size=batch_size, num_workers=workers, worker_init_fn=prepare_worker
    )
    batches = tqdm(loader, desc="features", unit="batch", disable=not progress, leave=False)
    samples, outputs = _run(models, batches, device)
    columns = _sample_columns(samples, index)
    return {
        name: FeatureTable(**columns, **_concatenate(outputs[name]), meta={"backbone": name})
        for name in models
    }


def _run(
    models: Mapping[str, nn.Module], batches: Iterable[HandSample], device: str
) -> tuple[list[dict], dict[str, list[dict]]]:
    """Collect the columns of each batch and the outputs of each model, as arrays."""
    models = {name: model.to(device).eval() for name, model in models.items()}
    normalisers = {
        name: ImageNormaliser(_input_spec(model)).to(device) for name, model in models.items()
    }
    samples, outputs = [], {name: [] for name in models}
    with torch.inference_mode():
        for batch in batches:
            columns = batch._asdict()
            image = columns.pop("image").to(device)
            del columns["keypoints_px"]
            samples.append({name: values.numpy() for name, values in columns.items()})
            for name, model in models.items():
                outputs[name].append(_pooled_and_logits(model, normalisers[name], image))
    return samples, outputs


def _pooled_and_logits(
    model: nn.Module, normalise: ImageNormaliser, image: torch.Tensor
) -> dict[str, np.ndarray]:
    """Run a Backbone, or a GestureNetwork, which also has logits, on one batch."""
    output = model(normalise(image))
    if not hasattr(model, "heads"):
        return {"features": output.pooled.float().cpu().numpy()}
    return {
        "features": output.features.pooled.float().cpu().numpy(),
        "coarse_logits": output.coarse_logits.float().cpu().numpy(),
        "fine_logits": output.fine_logits.float().cpu().numpy(),
    }


def _input_spec(model: nn.Module) -> InputSpec:
    return (model.backbone if hasattr(model, "heads") else model).input_spec


def _sample_columns(samples: list[dict], index: "HandIndex") -> dict[str, np.ndarray]:
    columns = {
        key: np.concatenate([s[key] for s in samples])
        for key in ("coarse", "fine", "hand", "joints_rel_mm", "joint_valid", "row")
    }
    columns["rows"] = rows = columns.pop("row")
    columns["groups"] = _groups(index, rows)
    columns["subjects"] = np.full(len(rows), -1)
    if "subject" in index.columns:
        columns["subjects"] = index.values("subject", rows).astype(np.int64)
    return columns


def _groups(index: "HandIndex", rows: np.ndarray) -> np.ndarray:
    """Name the moment of each image with its split, since splits reuse capture numbers."""
    numbers = (index.values(name, rows).tolist() for name in ("split", "capture", "frame"))
    return np.array(
        [
            f"row/{row}" if capture < 0 or frame < 0 else f"{split}/{capture}/{frame}"
            for row, split, capture, frame in zip(rows.tolist(), *numbers, strict=True)
        ]
    )


def _concatenate(parts: list[dict]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
