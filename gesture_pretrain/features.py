"""Frozen features of a backbone over the rows of an index, kept on disk.

Predictions go to disk first and metrics are computed from disk, so mending a metric costs no pass
through a network. Letters: N samples, C channels of the pooled feature, K classes.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

if TYPE_CHECKING:
    from gesture_pretrain.data.index import HandIndex


@dataclass(frozen=True)
class FeatureTable:
    """Pooled features of N samples with everything the diagnostics compare them to.

    Attributes:
        features: (N, C) float32, the backbone's pooled feature.
        coarse, fine: (N,) int64 gesture ids, -1 = no label.
        hand: (N,) int64, 0 right, 1 left, -1 unknown or both.
        joints_rel_mm: (N, 21, 3) float32, camera frame, relative to the wrist. Where joint_valid
            is false the value means nothing.
        joint_valid: (N, 21) bool.
        rows: (N,) int64 rows of the index.
        groups: (N,) text "split/capture/frame": samples of one group show one moment from
            several cameras. An image that is no frame of a capture is a group of its own.
        subjects: (N,) int64, -1 = unknown.
        coarse_logits, fine_logits: (N, K) float32, or None for a backbone without heads.
        meta: plain values: backbone name, data, taxonomy.
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
        """Whether any joint of any sample is known."""
        return bool(self.joint_valid.any())

    def save(self, path: Path | str) -> Path:
        """Writes the table as an .npz that needs no pickle to be read; replaces it atomically."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(self, name) for name in self._array_names()}
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with open(partial, "wb") as stream:
            np.savez(stream, meta_json=np.array(json.dumps(self.meta)), **arrays)
        os.replace(partial, path)
        return path

    @classmethod
    def load(cls, path: Path | str) -> "FeatureTable":
        """Reads a table written by `save`."""
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
    meta: Mapping | None = None,
) -> dict[str, FeatureTable]:
    """Runs several backbones over one dataset; each image is decoded once for all of them.

    Args:
        models: name -> Backbone or GestureNetwork. All must want the dataset's image size.
        dataset: yields HandSample without augmentation; `row` points into `index`.
        index: where the groups and subjects are looked up.
        meta: plain values kept with each table, beside the model's name.

    Returns:
        name -> FeatureTable, in the order of the dataset.
    """
    if len(dataset) == 0:
        raise ValueError("There is no sample to extract features from; check split and filters.")
    loader = DataLoader(dataset, batch_size=batch_size, num_workers=workers, shuffle=False)
    models = {name: model.to(device).eval() for name, model in models.items()}
    outputs = {name: [] for name in models}
    samples = []
    with torch.inference_mode():
        for batch in tqdm(loader, desc="features", unit="batch", disable=not progress, leave=False):
            samples.append({key: value.numpy() for key, value in batch._asdict().items()
                            if key not in ("image", "keypoints_px")})
            image = batch.image.to(device)
            for name, model in models.items():
                outputs[name].append(_pooled_and_logits(model, image))
    columns = _sample_columns(samples, index)
    return {
        name: FeatureTable(**columns, **_concatenate(outputs[name]),
                           meta={"backbone": name, **(meta or {})})
        for name in models
    }


def normalise_image(image: torch.Tensor, mean, std) -> torch.Tensor:
    """uint8 RGB (B, 3, H, W) -> float32, (image / 255 - mean) / std per channel."""
    mean = torch.as_tensor(mean, dtype=torch.float32, device=image.device).view(1, 3, 1, 1)
    std = torch.as_tensor(std, dtype=torch.float32, device=image.device).view(1, 3, 1, 1)
    return (image.float() / 255.0 - mean) / std


def _pooled_and_logits(model: nn.Module, image: torch.Tensor) -> dict[str, np.ndarray]:
    """One batch through a Backbone, or through a GestureNetwork, which also has logits."""
    backbone = getattr(model, "backbone", model)
    spec = backbone.input_spec
    output = model(normalise_image(image, spec.mean, spec.std))
    if backbone is model:
        return {"features": output.pooled.float().cpu().numpy()}
    return {
        "features": output.features.pooled.float().cpu().numpy(),
        "coarse_logits": output.coarse_logits.float().cpu().numpy(),
        "fine_logits": output.fine_logits.float().cpu().numpy(),
    }


def _sample_columns(samples: list[dict], index: "HandIndex") -> dict[str, np.ndarray]:
    columns = {key: np.concatenate([s[key] for s in samples])
               for key in ("coarse", "fine", "hand", "joints_rel_mm", "joint_valid", "row")}
    columns["rows"] = columns.pop("row")
    records = [index.record(int(row)) for row in columns["rows"]]
    columns["groups"] = np.array([_group_of(record) for record in records])
    columns["subjects"] = np.array([record.subject for record in records], dtype=np.int64)
    return columns


def _group_of(record) -> str:
    """The moment a record shows. The split is part of it: capture numbers restart per split."""
    if record.capture < 0 or record.frame < 0:
        return f"row/{record.row}"
    return f"{record.split}/{record.capture}/{record.frame}"


def _concatenate(parts: list[dict]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
