"""Export of a trained network to a folder that can be loaded by name."""

import platform
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gesture_pretrain.cluster_labels import CLUSTER_CONTROLS
from gesture_pretrain.files import (
    atomic_folder,
    write_bytes_atomically,
)
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_heads import GestureHeads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.models.timm_config import TIMM_CONFIG_FILE, timm_config
from gesture_pretrain.taxonomy import CONTROLS, Taxonomy
from gesture_pretrain.versions import versions_of
from gesture_pretrain.weights.folder import StoredWeights, load_weights
from gesture_pretrain.weights.model_card import model_card
from gesture_pretrain.weights.record import (
    CARD_FILE,
    HEADS_FILE,
    MODEL_FILE,
    DataRecord,
    FileRecord,
    HeadsRecord,
    InputRecord,
    LevelRecord,
    TaxonomyRecord,
    WeightRecord,
    backbone_name,
)
from gesture_pretrain.weights.registry import find_backbone, registry_home
from gesture_pretrain.weights.released import FOLDER
from gesture_pretrain.weights.tensor_file import (
    read_tensors,
    write_half_precision,
    write_tensors,
)

README_FILE = "README.md"
_LIBRARIES = ("gesture-pretrain", "torch", "timm", "safetensors", "numpy")


def export_backbone(
    network: GestureNetwork | Backbone,
    *,
    tag: str,
    taxonomy: Taxonomy | None = None,
    data: DataRecord | None = None,
    metrics: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    commit: str | None = None,
    notes: str = "",
    out: str | PathLike | None = None,
    overwrite: bool = False,
) -> StoredWeights:
    """Write backbone, heads and card atomically to `<out>/<arch>.<tag>/`.

    The folder receives its final name only after it has been read back successfully. Several
    processes may export at the same time.

    Args:
        network: Network with heads, or the backbone alone.
        tag: Tag that distinguishes these weights, for example by their training data.
        taxonomy: Taxonomy of the heads. Required with heads.
        data: Training data. None if the network was not trained.
        metrics: Name to value.
        config: Resolved config of the run, as plain data.
        commit: Commit of the training code.
        notes: Free text for the card.
        out: Parent folder. Default: the registry folder.
        overwrite: Replace weights of the same name.

    Returns:
        The folder and its card.

    Raises:
        FileExistsError: The name is taken and `overwrite` is false.
        ValueError: An invalid tag, a weight that is not finite, values that JSON cannot represent,
            or heads that do not match the taxonomy.
        TypeError: `network` or `data` has the wrong type.
        DiskFull, WriteFailed: The folder could not be written. An earlier one is unchanged.
    """
    backbone, heads = _parts(network)
    if not isinstance(data, DataRecord | None):
        raise TypeError(
            f"data is a {type(data).__name__}, expected a DataRecord or None. "
            "Create one with DataRecord.from_index_meta(index.meta)."
        )
    home = Path(out) if out is not None else registry_home()
    target = home / backbone_name(backbone.arch, tag)
    with atomic_folder(target, overwrite=overwrite) as folder:
        files = {MODEL_FILE: _write_module(backbone.net, folder / MODEL_FILE)}
        if heads is not None:
            files[HEADS_FILE] = _write_module(heads, folder / HEADS_FILE)
        record = WeightRecord(
            arch=backbone.arch,
            tag=tag,
            files=files,
            **_network_facts(backbone, heads),
            taxonomy=_taxonomy_record(taxonomy),
            label_variant=_label_variant(taxonomy),
            data=data,
            config=dict(config or {}),
            commit=commit,
            metrics=dict(metrics or {}),
            library_versions={"python": platform.python_version(), **versions_of(_LIBRARIES)},
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            notes=notes,
        )
        write_bytes_atomically(folder / CARD_FILE, record.to_json().encode())
        write_bytes_atomically(folder / README_FILE, model_card(record).encode())
        config_of_timm = timm_config(backbone)
        if config_of_timm is not None:
            write_bytes_atomically(folder / TIMM_CONFIG_FILE, config_of_timm.encode())
        load_weights(folder, with_heads=heads is not None)
    return StoredWeights(target, record)


def release_backbone(
    source: str | PathLike,
    *,
    notes: str,
    with_heads: bool = True,
    out: str | PathLike = FOLDER,
    overwrite: bool = False,
) -> StoredWeights:
    """Write exported weights in half precision, to ship them with the package.

    The card keeps only the last parts of paths.

    Args:
        source: See `load_backbone`.
        notes: For the card: origin and licence of the initial weights, and the command.
        with_heads: Also write the gesture heads and their classes.
        out: Parent folder. Default: the package's folder of released weights.
        overwrite: Replace weights of the same name.

    Raises:
        FileExistsError, DiskFull, WriteFailed: See `export_backbone`.
        ValueError: A value exceeds the range of half precision.
        UnknownBackbone, WeightsError: See `load_backbone`.
    """
    stored = find_backbone(source)
    left_out = () if with_heads else (HEADS_FILE,)
    target = Path(out) / stored.name
    with atomic_folder(target, overwrite=overwrite) as folder:
        files = {
            name: write_half_precision(read_tensors(stored.path / name, expected), folder / name)
            for name, expected in stored.record.files.items()
            if name not in left_out
        }
        record = replace(
            stored.record,
            files=files,
            notes=notes,
            heads=stored.record.heads if with_heads else None,
            taxonomy=stored.record.taxonomy if with_heads else None,
            config=without_folders(stored.record.config),
        )
        write_bytes_atomically(folder / CARD_FILE, record.to_json().encode())
        write_bytes_atomically(folder / README_FILE, model_card(record).encode())
        load_weights(folder, with_heads=record.heads is not None)
    return StoredWeights(target, record)


def without_folders(values: Mapping[str, Any]) -> dict[str, Any]:
    """Shorten the paths of a public card: `index` to its name, absolute ones to folder and name."""
    return {key: _shortened(key, value) for key, value in values.items()}


def _shortened(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_folders(value)
    if not isinstance(value, str):
        return value
    if key == "index":
        return Path(value).name
    return "/".join(Path(value).parts[-2:]) if Path(value).is_absolute() else value


def _parts(network: nn.Module) -> tuple[Backbone, GestureHeads | None]:
    if isinstance(network, GestureNetwork):
        return network.backbone, network.heads
    if isinstance(network, Backbone):
        return network, None
    raise TypeError(
        f"expected a GestureNetwork or a Backbone, got {type(network).__name__}. Pass the network "
        "inside a wrapper (DistributedDataParallel, torch.compile, a pretrainer)."
    )


def _write_module(module: nn.Module, path: Path) -> FileRecord:
    tensors = module.state_dict()
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ValueError(
                f"{name} contains values that are not finite: training diverged. Export an earlier "
                "checkpoint."
            )
    return write_tensors(tensors, path)


def _network_facts(backbone: Backbone, heads: GestureHeads | None) -> dict:
    """Collect the fields of the card that describe the network."""
    return {
        "input": input_record(backbone),
        "feature_specs": {
            name: LevelRecord(level.channels, level.stride)
            for name, level in backbone.feature_specs.items()
        },
        "low": backbone.low,
        "high": backbone.high,
        "heads": None if heads is None else heads_record(heads),
    }


def input_record(backbone: Backbone) -> InputRecord:
    """Describe the input of a backbone for a card."""
    spec = backbone.input_spec._asdict()
    spec |= {key: tuple(float(value) for value in spec[key]) for key in ("mean", "std")}
    return InputRecord(**spec)


def heads_record(heads: GestureHeads) -> HeadsRecord:
    """Describe gesture heads for a card."""
    coarse, fine = heads.coarse, heads.fine
    shared = ("in_channels", "hidden", "dropout")
    if any(getattr(coarse, key) != getattr(fine, key) for key in shared):
        raise ValueError(
            "the coarse and the fine head differ in width or dropout; a card supports only one"
        )
    return HeadsRecord(
        **{key: getattr(coarse, key) for key in shared},
        num_coarse=coarse.num_classes,
        num_fine=fine.num_classes,
    )


def _taxonomy_record(taxonomy: Taxonomy | None) -> TaxonomyRecord | None:
    if taxonomy is None:
        return None
    return TaxonomyRecord(
        taxonomy.name, taxonomy.sha256, tuple(taxonomy.coarse_names), tuple(taxonomy.fine_names)
    )


def _label_variant(taxonomy: Taxonomy | None) -> str:
    """Return the control in the name of a taxonomy, "gesture" for the true labels."""
    if taxonomy is None:
        return "none"
    last = taxonomy.name.rpartition("-")[2]
    return last if last.startswith((*CONTROLS, *CLUSTER_CONTROLS)) else "gesture"
