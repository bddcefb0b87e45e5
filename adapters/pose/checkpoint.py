"""A trained pose network as a folder: weights, and a card that is enough to build it again.

`model.safetensors` holds every tensor of the network but the hand models, which are data and may be
licensed; `card.json` says what to build, with which hand, and the hash of the weights. Loading is
strict in every respect.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from adapters.pose.hand_models import HandModelSource, hand_fingerprints
from adapters.pose.run import PoseRun
from adapters.targets import find_pose_target
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.models.backbone import Backbone, InputSpec, build_backbone
from gesture_pretrain.models.gesture_heads import GestureHeads, build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.plain_data import plain_data
from gesture_pretrain.training.run_folder import current_commit, library_versions
from gesture_pretrain.weights.ledger import compare_tensors

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "card.json"
FORMAT = 2  # 1: the volume of token fusion reached from -150 to 150 mm


class PoseCheckpointError(ValueError):
    """A stored pose network is incomplete, changed, or does not fit this installation."""


@dataclass(frozen=True)
class PoseCard:
    """What `load_pose_model` needs, and where the weights are from.

    Attributes:
        target: name of the target.
        options: of `target.build_model`.
        size_px: side of the crops.
        arch: architecture of the backbone.
        input: what the backbone wants as input, `InputSpec` as a dict.
        heads: arguments of `build_gesture_heads` where heads came with the backbone, else None.
        backbone_name: what it was trained from.
        head_classes: name, sha256, coarse_names and fine_names of what the gesture heads were
            trained to tell apart; None where there are none or they began at random.
        hand: `path` ("open", or None for a MANO file of the user's), `tip_convention`, and the
            fingerprint of each side.
        aliases: names of tensors that are one and the same as another, to that one.
        weights: `sha256` and `size_bytes` of the weights file.
        data: what it was trained on.
        config: the run's resolved configuration.
        metrics: name to value.
        commit: of the code that trained it, None where unknown.
        versions: of libraries.
        created: UTC time, ISO 8601.
        format: of the card's layout.
    """

    target: str
    options: Mapping[str, Any]
    size_px: int
    arch: str
    input: Mapping[str, Any]
    heads: Mapping[str, Any] | None
    backbone_name: str
    head_classes: Mapping[str, Any] | None
    hand: Mapping[str, Any]
    aliases: Mapping[str, str]
    weights: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    commit: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    format: int = FORMAT


@dataclass(frozen=True)
class StoredPoseModel:
    """A loaded network and what its card says.

    Attributes:
        model: a `PoseModel` in eval mode.
        card: its card.
        hand_models: "right" and "left", on the CPU, apart from those in the model.
        path: the folder.
    """

    model: nn.Module
    card: PoseCard
    hand_models: Mapping[str, HandModel]
    path: Path


def save_pose_run(run: PoseRun, folder: str | PathLike, *, config: Mapping | None = None) -> Path:
    """Stores what a run trained: the averaged weights where it has some.

    Returns:
        The folder.

    Raises:
        WriteFailed: the disk refused; no card is there then, so nothing loads.
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
        heads=_heads_of(run.network),
        backbone_name=run.ledger.backbone_name,
        head_classes=None if run.head_classes is None else asdict(run.head_classes),
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
    """Writes weights and card; the card last, so that a folder with one is whole.

    Args:
        model: a `PoseModel`.
        folder: made where missing; what it held before is replaced.
        hand_source, hand_models: what its poses and meshes are of.
        **facts: further fields of `PoseCard`, but those of the backbone's input, the aliases, the
            weights, commit, versions and time, which are taken from here and now.
    """
    folder = Path(folder)
    tensors, aliases = _unshared(model.state_dict())
    content = safetensors.torch.save(tensors, metadata={"format": "pt"})
    backbone: Backbone = model.backbone
    card = PoseCard(
        arch=backbone.arch,
        input=backbone.input_spec._asdict(),
        hand={
            "path": "open" if hand_source.is_open else None,
            "tip_convention": hand_source.tip_convention,
            "sha256": hand_fingerprints(hand_models),
        },
        aliases=aliases,
        weights={"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)},
        commit=current_commit(),
        versions=library_versions(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **facts,
    )
    values = plain_data(asdict(card), "card", paths_as_text=True)
    text = json.dumps(values, indent=1, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_FILE).unlink(missing_ok=True)
    write_bytes_atomically(folder / WEIGHTS_FILE, content)
    write_bytes_atomically(folder / CARD_FILE, text.encode())
    return folder


def load_pose_model(
    folder: str | PathLike,
    *,
    hand_model: str | PathLike | None = None,
    device: str | torch.device = "cpu",
) -> StoredPoseModel:
    """Builds a stored network again, strictly.

    Args:
        folder: what `save_pose_model` wrote.
        hand_model: MANO file or folder where the network was trained with one; `$MANO_DIR` where
            None. Must be the hand of the card.
        device: where the network is to be.

    Raises:
        FileNotFoundError: no card there.
        PoseCheckpointError: a changed or incomplete file, another hand, or tensors that do not fit.
        UnknownTarget: the target is of a package that is not installed.
        MissingManoFile: the hand is MANO's and is not found.
    """
    folder = Path(folder)
    card = read_pose_card(folder)
    tensors = _read_weights(folder / WEIGHTS_FILE, card)
    hand_models = _hands_of(card, hand_model)
    network = _network_of(card)
    model = find_pose_target(card.target).build_model(
        network, seed=0, hand_models=_hands_of(card, hand_model), **card.options
    )
    _put(model, tensors, card, folder)
    return StoredPoseModel(model.eval().to(device), card, hand_models, folder)


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
        raise PoseCheckpointError(
            f"the weights in {folder} do not fit {card.target} as it is built here; they were made "
            f"with {made_with}, commit {card.commit}. Of the tensors, {listed}"
        )
    model.load_state_dict(tensors, strict=True)


def read_pose_card(folder: str | PathLike) -> PoseCard:
    """The card of a stored pose network; no tensor is read.

    Raises:
        FileNotFoundError: no card there.
        PoseCheckpointError: it cannot be read, or is of another format.
    """
    path = Path(folder) / CARD_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no pose network ({CARD_FILE} is missing). tools/train.py writes one "
            "into the folder 'model' of its run when it is done."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "format" not in content:
            raise PoseCheckpointError(
                f"{path} is the card of something else than a pose network. tools/train.py writes "
                "one into the folder 'model' of its run when it is done."
            )
        if content.get("format") != FORMAT:
            raise PoseCheckpointError(
                f"{path} has format {content.get('format')}, this version reads {FORMAT}. Train "
                "the network again, or use the version that wrote it."
            )
        return PoseCard(**content)
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, PoseCheckpointError):
            raise
        raise PoseCheckpointError(f"{path} is not the card of a pose network: {error}") from error


def _read_weights(path: Path, card: PoseCard) -> dict[str, Tensor]:
    if not path.is_file():
        raise PoseCheckpointError(f"{path} is missing beside its card; copy the folder again")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != card.weights["sha256"]:
        raise PoseCheckpointError(
            f"{path} is not the file its card describes: expected SHA-256 "
            f"{card.weights['sha256']} ({card.weights['size_bytes']} bytes), found {found} "
            f"({len(content)} bytes). It was changed or copied in part: copy the folder again."
        )
    try:
        tensors = safetensors.torch.load(content)
    except SafetensorError as error:
        raise PoseCheckpointError(f"{path} is no safetensors file: {error}") from error
    return {**tensors, **{name: tensors[kept] for name, kept in card.aliases.items()}}


def _hands_of(card: PoseCard, path: str | PathLike | None) -> dict[str, HandModel]:
    stored = card.hand["path"]
    if stored == "open" and path not in (None, "open"):
        raise PoseCheckpointError(
            f"{card.target} was trained with the open hand; its parameters mean nothing for {path}"
        )
    hands = HandModelSource(path if stored is None else stored, card.hand["tip_convention"]).load()
    found = hand_fingerprints(hands)
    other = [side for side in found if found[side] != card.hand["sha256"][side]]
    if other:
        raise PoseCheckpointError(
            f"the {' and '.join(other)} hand model found here is not the one that the network was "
            "trained with (its fingerprint differs), so its meshes would be wrong. Give the file "
            "it was trained with."
        )
    return hands


def _network_of(card: PoseCard) -> Backbone | GestureNetwork:
    # every value is replaced, so no generator needs a seed
    with torch.random.fork_rng(devices=[]):
        backbone = build_backbone(card.arch, size_px=card.input["size_px"], seed=None)
        backbone.input_spec = InputSpec(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in card.input.items()}
        )
        if card.heads is None:
            return backbone
        return GestureNetwork(backbone, build_gesture_heads(**card.heads))


def _heads_of(network: Backbone | GestureNetwork) -> dict[str, Any] | None:
    if not isinstance(network, GestureNetwork):
        return None
    heads: GestureHeads = network.heads
    return {
        "in_channels": heads.coarse.in_channels,
        "num_coarse": heads.coarse.num_classes,
        "num_fine": heads.fine.num_classes,
        "hidden": heads.coarse.hidden,
        "dropout": heads.coarse.dropout,
    }


def _unshared(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, each once; and the further names of those that have several."""
    kept: dict[tuple, str] = {}
    tensors, aliases = {}, {}
    for name, value in state.items():
        place = (value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
        if value.numel() and place in kept:
            aliases[name] = kept[place]
            continue
        kept[place] = name
        tensors[name] = value.detach().cpu().contiguous().clone()
    return tensors, aliases
