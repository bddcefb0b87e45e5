"""Storage of trained pose networks: weights, and a card to rebuild the network.

`model.safetensors` holds every tensor of the network but the hand models, which are data and may be
licensed; `card.json` says what to build, with which hand, and the hash of the weights. Loading is
strict in every respect.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from adapters.pose.hand_models import HandModelSource, hand_fingerprints
from adapters.pose.run import PoseRun
from adapters.targets import find_pose_target
from gesture_pretrain.files import atomic_folder, write_bytes_atomically
from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.models.backbone import Backbone, InputSpec, build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.plain_data import plain_data
from gesture_pretrain.schema import STRICT, validated
from gesture_pretrain.skeleton import TIP_VERTICES
from gesture_pretrain.training.run_folder import current_commit, library_versions
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.export import heads_record, input_record, without_folders
from gesture_pretrain.weights.ledger import compare_tensors
from gesture_pretrain.weights.record import (
    CARD_FILE,
    FileRecord,
    HeadsRecord,
    InputRecord,
    Size,
    TaxonomyRecord,
)
from gesture_pretrain.weights.registry import registry_home
from gesture_pretrain.weights.released import FOLDER, released_folder, released_pose_networks
from gesture_pretrain.weights.tensor_file import (
    read_tensors,
    require_usable,
    write_half_precision,
    write_tensors,
)

WEIGHTS_FILE = "model.safetensors"
# What building a network raises for values that a damaged card holds
_IMPOSSIBLE = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, MemoryError)
_WRITTEN_BY = "`gesture-pretrain pose train` writes one to the folder 'model' of its run."
_WITH_PATHS = ("data", "config", "backbone_name")
FORMAT = 2  # 1: the volume of token fusion reached from -150 to 150 mm


@dataclass(frozen=True)
class HandRecord:
    """The hand model of a stored network.

    Attributes:
        path: "open", or None for a user's MANO file.
        tip_convention: See `HandModelSource`.
        sha256: Fingerprint of each hand.
    """

    path: Literal["open"] | None
    tip_convention: Literal[tuple(TIP_VERTICES)]
    sha256: dict[Literal["right", "left"], str]

    __pydantic_config__ = STRICT


@dataclass(frozen=True)
class PoseCard:
    """Card of a stored network: how to rebuild it, and the provenance of its weights.

    Attributes:
        target: Name of the target.
        options: Options of `target.build_model`.
        size_px: Side of the crops.
        arch: Architecture of the backbone.
        input: Required input of the backbone.
        heads: Arguments of `build_gesture_heads` if the backbone had heads, else None.
        backbone_name: Initial weights of the backbone.
        head_classes: Classes that the gesture heads were trained on; None without heads or if they
            are random.
        hand: Hand model of its poses and meshes.
        aliases: Maps names of shared tensors to the name they are stored under.
        weights: Hash and size of the weights file.
        data: Training data.
        config: The run's resolved configuration.
        metrics: Metrics by name.
        commit: Commit of the code that trained it; None if unknown.
        versions: Versions of libraries.
        created: UTC time, ISO 8601.
        format: Version of the card's layout.
    """

    target: str
    options: Mapping[str, Any]
    size_px: Size
    arch: str
    input: InputRecord
    heads: HeadsRecord | None
    backbone_name: str
    head_classes: TaxonomyRecord | None
    hand: HandRecord
    aliases: Mapping[str, str]
    weights: FileRecord
    data: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    format: int = FORMAT

    __pydantic_config__ = STRICT

    def __post_init__(self):
        heads = self.heads
        if heads and 2 * heads.in_channels * heads.hidden > self.weights.size_bytes:
            raise ValueError("the gesture heads are larger than the weights file")


@dataclass(frozen=True)
class StoredPoseModel:
    """A loaded network and its card.

    Attributes:
        model: A `PoseModel` in eval mode.
        network: Its backbone, with the gesture heads that it was built with.
        card: Its card.
        hand_models: "right" and "left", on the CPU, apart from those in the model.
        path: The folder.
    """

    model: nn.Module
    network: Backbone | GestureNetwork
    card: PoseCard
    hand_models: Mapping[str, HandModel]
    path: Path


def save_pose_run(run: PoseRun, folder: str | PathLike, *, config: Mapping | None = None) -> Path:
    """Store a run's trained network, with averaged weights if there are any.

    Returns:
        The folder.

    Raises:
        WriteFailed: Writing failed. An earlier folder is unchanged.
    """
    metrics = {f"val_{name}": value for name, value in run.runner.last_metrics.items()}
    metrics |= getattr(run.model, "card_values", dict)()
    summary = {key: value for key, value in run.data.summary.items() if key != "source"}
    return save_pose_model(
        run.model,
        folder,
        target=run.target.name,
        options=run.options,
        size_px=run.size_px,
        heads=heads_record(run.network.heads) if isinstance(run.network, GestureNetwork) else None,
        backbone_name=run.ledger.backbone_name,
        head_classes=run.head_classes,
        hand_source=run.hand_source,
        hand_models=run.hand_models,
        data={**summary, "name": run.data.summary["source"]["data_name"]},
        config=dict(config or {}),
        metrics={"iterations": run.runner.iter, "seed": run.seed, **metrics},
    )


def save_pose_model(
    model: nn.Module,
    folder: str | PathLike,
    *,
    hand_source: HandModelSource,
    hand_models: Mapping[str, HandModel],
    **facts,
) -> Path:
    """Write weights and card into a folder, which is replaced as a whole.

    Args:
        model: A `PoseModel`.
        folder: Output folder; existing contents are replaced.
        hand_source, hand_models: Hand model of its poses and meshes.
        **facts: Further fields of `PoseCard`, but those of the backbone's input, the aliases, the
            weights, commit, versions and time, which are filled in.
    """
    tensors, aliases = _unshared(model.state_dict())
    backbone: Backbone = model.backbone
    hand = HandRecord(
        "open" if hand_source.path == "open" else None,  # never a user's path
        hand_source.tip_convention,
        hand_fingerprints(hand_models),
    )
    with atomic_folder(folder, overwrite=True) as part:
        card = PoseCard(
            arch=backbone.arch,
            input=input_record(backbone),
            hand=hand,
            aliases=aliases,
            weights=write_tensors(tensors, part / WEIGHTS_FILE),
            commit=current_commit(),
            versions=library_versions(),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **facts,
        )
        _write_card(card, part)
    return Path(folder)


def release_pose_model(
    source: str | PathLike,
    name: str,
    *,
    notes: str,
    out: str | PathLike = FOLDER,
    overwrite: bool = False,
) -> Path:
    """Write a stored network in half precision, to ship it with the package.

    The card keeps only the last parts of paths.

    Args:
        source: Folder written by `save_pose_model`.
        name: Name of the released network, without a dot.
        notes: For the README beside it: origin and licence of its data and of the initial weights,
            and the command.
        out: Parent folder. Default: the package's folder of released weights.
        overwrite: Replace a network of the same name.

    Returns:
        The folder.

    Raises:
        FileExistsError: The name is taken and `overwrite` is false.
        ValueError: A name with a dot, which is a backbone's, or values outside of half precision.
        WeightsError: See `load_pose_model`.
    """
    if not name.isidentifier():
        raise ValueError(f"{name!r} cannot name a pose network; use letters, digits and '_'")
    card = read_pose_card(source)
    tensors = read_tensors(Path(source) / WEIGHTS_FILE, card.weights)
    target = Path(out) / name
    with atomic_folder(target, overwrite=overwrite) as folder:
        written = write_half_precision(tensors, folder / WEIGHTS_FILE)
        public = without_folders({key: getattr(card, key) for key in _WITH_PATHS})
        _write_card(replace(card, weights=written, **public), folder)
        write_bytes_atomically(folder / "README.md", f"# {name}\n\n{notes}\n".encode())
        load_pose_model(folder)
    return target


def _write_card(card: PoseCard, folder: Path) -> None:
    values = plain_data(asdict(card), "card", paths_as_text=True)
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    write_bytes_atomically(folder / CARD_FILE, text.encode())


def find_pose_model(source: str | PathLike) -> Path:
    """Return the folder of a stored network: `source` itself, or that of a released network.

    Args:
        source: A folder, or the name of a released network.

    Raises:
        FileNotFoundError: There is neither.
        ConnectionError, WeightsError: See `released_folder`.
    """
    if Path(source).exists():
        return Path(source)
    name, released = str(source), released_pose_networks()
    if name not in released:
        raise FileNotFoundError(
            f"there is no folder {source}, and no released pose network of that name. Released: "
            f"{', '.join(sorted(released)) or 'none'}."
        )
    return released_folder(name, registry_home())


def load_pose_model(
    folder: str | PathLike,
    *,
    hand_model: str | PathLike | None = None,
    device: str | torch.device = "cpu",
) -> StoredPoseModel:
    """Rebuild a stored network, strictly.

    Args:
        folder: Folder written by `save_pose_model`, or the name of a released network.
        hand_model: MANO file or folder where the network was trained with one; `$MANO_DIR` where
            None. Must be the hand of the card.
        device: Device of the network.

    Raises:
        FileNotFoundError: There is no such folder, or it has no card.
        WeightsError: A changed or incomplete file, another hand, or tensors that do not fit.
        UnknownTarget: The target is of a package that is not installed.
        MissingManoFile: The hand is MANO's and is not found.
    """
    folder = find_pose_model(folder)
    card = read_pose_card(folder)
    tensors = _read_weights(folder / WEIGHTS_FILE, card)
    hand_models = _hands_of(card, hand_model)
    target = find_pose_target(card.target)
    hands_of_model = _hands_of(card, hand_model)
    try:
        network = _network_of(card)
        model = target.build_model(network, seed=0, hand_models=hands_of_model, **card.options)
    except _IMPOSSIBLE as error:
        raise WeightsError(
            f"{folder / CARD_FILE}: no {card.target} can be built with its arch, input, heads and "
            f"options ({error}). Copy the folder again, or install the versions it was made with."
        ) from error
    _put(model, tensors, card, folder)
    return StoredPoseModel(model.eval().to(device), network, card, hand_models, folder)


def _put(model: nn.Module, tensors: dict[str, Tensor], card: PoseCard, folder: Path) -> None:
    # torch's own strictness lets a batch norm without num_batches_tracked pass
    ledger = compare_tensors(model.state_dict(), tensors)
    faults = {
        status: ledger.names(status)
        for status in ("missing", "wrong_shape", "unexpected")
        if ledger.names(status)
    }
    if faults:
        listed = "; ".join(
            f"{len(names)} {status}: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
            for status, names in faults.items()
        )
        made_with = ", ".join(f"{name} {version}" for name, version in card.versions.items())
        raise WeightsError(
            f"the weights in {folder} do not fit {card.target} as it is built here; they were made "
            f"with {made_with}, commit {card.commit}. Of the tensors, {listed}"
        )
    model.load_state_dict(tensors, strict=True)


def read_pose_card(folder: str | PathLike) -> PoseCard:
    """Read the card of a stored pose network, without tensors.

    Raises:
        FileNotFoundError: The folder has no card.
        WeightsError: It cannot be read, or is of another format.
    """
    path = Path(folder) / CARD_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no pose network ({CARD_FILE} is missing). {_WRITTEN_BY}"
        )
    content = read_json(path, WeightsError)
    if not isinstance(content, dict) or "format" not in content:
        raise WeightsError(f"{path} is not the card of a pose network. {_WRITTEN_BY}")
    if content["format"] != FORMAT:
        raise WeightsError(f"{path} has format {content['format']}, this version reads {FORMAT}")
    return validated(PoseCard, content, str(path), WeightsError)


def _read_weights(path: Path, card: PoseCard) -> dict[str, Tensor]:
    tensors = read_tensors(path, card.weights)
    if lost := [kept for kept in card.aliases.values() if kept not in tensors]:
        raise WeightsError(f"{path} lacks {lost[0]}, which its card names. Copy the folder again.")
    require_usable(tensors, str(path.parent))
    return {**tensors, **{name: tensors[kept] for name, kept in card.aliases.items()}}


def _hands_of(card: PoseCard, path: str | PathLike | None) -> dict[str, HandModel]:
    stored = card.hand.path
    if stored == "open" and path not in (None, "open"):
        raise WeightsError(
            f"{card.target} was trained with the bundled hand model; its parameters mean nothing "
            f"for {path}"
        )
    source = HandModelSource(path if stored is None else stored, card.hand.tip_convention)
    hands = source.load(with_smplx=stored != "open")
    found = hand_fingerprints(hands)
    other = [side for side in found if found[side] != card.hand.sha256[side]]
    if other:
        raise WeightsError(
            f"the {' and '.join(other)} hand model found here is not the one that the network was "
            "trained with (its fingerprint differs), so its meshes would be wrong. Give the file "
            "it was trained with."
        )
    return hands


def _network_of(card: PoseCard) -> Backbone | GestureNetwork:
    # every value is replaced, so no generator needs a seed
    with torch.random.fork_rng(devices=[]):
        backbone = build_backbone(card.arch, size_px=card.input.size_px, seed=None)
        backbone.input_spec = InputSpec(**vars(card.input))
        if card.heads is None:
            return backbone
        return GestureNetwork(backbone, build_gesture_heads(**vars(card.heads)))


def _unshared(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return unique tensors by name, and aliases of shared ones."""
    kept: dict[tuple, str] = {}
    tensors, aliases = {}, {}
    for name, value in state.items():
        place = (value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
        if value.numel() and place in kept:
            aliases[name] = kept[place]
            continue
        kept[place] = name
        tensors[name] = value.detach().clone()
    return tensors, aliases
