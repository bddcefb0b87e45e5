"""The feature tables of an evaluation, extracted once and kept on disk."""

import hashlib
from pathlib import Path

import numpy as np
from torch import nn

import gesture_pretrain
from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.gesture_dataset import GestureDataset
from gesture_pretrain.evaluation.features.extract import FeatureTable, extract_features
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.ledger import fingerprint


def probed_dataset(
    index: HandIndex,
    rows: np.ndarray,
    taxonomy: Taxonomy,
    size_px: int,
    *,
    limit: int | None,
    seed: int,
) -> GestureDataset:
    """Build a dataset without augmentation of some rows, or of `limit` of them drawn at random."""
    if limit is not None and limit < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, size=limit, replace=False))
    return GestureDataset(index, rows, taxonomy, size_px, announce=None)


def feature_tables(
    models: dict[str, nn.Module],
    dataset: GestureDataset,
    index: HandIndex,
    out: Path,
    split: str,
    *,
    device: str,
    workers: int,
) -> dict[str, FeatureTable]:
    """Extract the features of every model, or load them from disk if they are up to date."""
    origins = {name: _origin(model, dataset, index, split) for name, model in models.items()}
    paths = {name: out / f"{file_name(name)}.{split}.features.npz" for name in models}
    missing = {
        name: model
        for name, model in models.items()
        if not _is_up_to_date(paths[name], origins[name])
    }
    if skipped := [name for name in models if name not in missing]:
        print(f"Features of split {split} found for {', '.join(skipped)}; skipping extraction.")
    if missing:
        made = extract_features(missing, dataset, index, device=device, workers=workers)
        for name, table in made.items():
            table.meta.update(origins[name])
            table.save(paths[name])
    return {name: FeatureTable.load(path) for name, path in paths.items()}


def _origin(model: nn.Module, dataset: GestureDataset, index: HandIndex, split: str) -> dict:
    """Describe what a feature table depends on: it is reused while the description is equal."""
    return {
        "weights_sha256": fingerprint(model.state_dict()),
        "index": index.fingerprint,
        "root": str(index.root),
        "split": split,
        "rows_sha256": hashlib.sha256(np.ascontiguousarray(dataset.rows)).hexdigest(),
        "taxonomy_sha256": dataset.taxonomy.sha256,
        "size_px": dataset.size_px,
        "box_ratio": dataset.box_ratio,
        "code": gesture_pretrain.__version__,
    }


def _is_up_to_date(path: Path, origin: dict) -> bool:
    if not path.is_file():
        return False
    meta = FeatureTable.load(path).meta
    return {key: meta.get(key) for key in origin} == origin


def file_name(name: str) -> str:
    """Return a registry name, or the last component of a path."""
    return Path(name).name
