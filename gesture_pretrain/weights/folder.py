"""Loading of a network from a folder with weights and their card.

Nothing is unpickled: tensors come from safetensors files, everything else from the card. Tensors
are created from exactly the bytes whose hash is verified.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gesture_pretrain.models.backbone import Backbone, InputSpec, build_backbone
from gesture_pretrain.models.gesture_heads import build_gesture_heads
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.record import (
    CARD_FILE,
    HEADS_FILE,
    MODEL_FILE,
    WeightRecord,
)
from gesture_pretrain.weights.tensor_file import read_tensors, require_usable


@dataclass(frozen=True)
class StoredWeights:
    """Weights on disk.

    Attributes:
        path: Folder of the weights.
        record: Card of the weights.
    """

    path: Path
    record: WeightRecord

    @property
    def name(self) -> str:
        """Name of the weights, `arch.tag`."""
        return self.record.name


def open_weights(path: Path) -> StoredWeights:
    """Read the card at a path, without reading tensors.

    Args:
        path: A folder, its `card.json`, or its `model.safetensors`.

    Raises:
        WeightsError: The path does not exist, or its card is missing or cannot be read.
    """
    folder = _folder_of(Path(path).expanduser())
    card = folder / CARD_FILE
    if not card.is_file():
        raise WeightsError(_no_card_message(folder))
    return StoredWeights(folder, WeightRecord.from_json(card.read_bytes(), str(card)))


def load_weights(path: Path, *, with_heads: bool = False) -> Backbone | GestureNetwork:
    """Load the network of a folder, on the CPU, in eval mode.

    Args:
        path: See `open_weights`.
        with_heads: Return the `GestureNetwork` instead of its backbone alone.

    Raises:
        WeightsError: A file is missing, damaged or modified; a weight is not finite; or the
            architecture has other tensors in this installation.
        ValueError: The architecture is unknown, or `with_heads` is set and there are no heads.
    """
    stored, tensors = _checked_tensors(path, with_heads)
    backbone = _backbone(stored.record, tensors[MODEL_FILE])
    if not with_heads:
        return backbone.eval()
    return GestureNetwork(backbone, _heads(stored.record, tensors[HEADS_FILE])).eval()


def _folder_of(path: Path) -> Path:
    if not path.exists():
        raise WeightsError(
            f"{path} does not exist. Pass a folder written by export_backbone, its {CARD_FILE} or "
            f"{MODEL_FILE}, or a name from list_backbones()."
        )
    if path.is_dir():
        return path
    if path.name not in (CARD_FILE, MODEL_FILE):
        raise WeightsError(
            f"{path} is neither {CARD_FILE} nor {MODEL_FILE}. Load a bare weight file with "
            "build_starting_backbone(arch, init=path)."
        )
    return path.parent


def _no_card_message(folder: Path) -> str:
    found = sorted(entry.name for entry in folder.glob("*.safetensors"))
    what = f"weights ({', '.join(found)}) without" if found else "no"
    return (
        f"{folder} has {what} {CARD_FILE}. export_backbone writes both; copy the whole folder. "
        "Load weights of other origin with build_starting_backbone(arch, init=path)."
    )


def _checked_tensors(path: Path, with_heads: bool) -> tuple[StoredWeights, dict]:
    """Read card and tensors of the same export, even while another process replaces the folder."""
    files = (MODEL_FILE, HEADS_FILE) if with_heads else (MODEL_FILE,)
    while True:
        stored = open_weights(path)
        if with_heads and stored.record.heads is None:
            raise ValueError(
                f"{stored.name} in {stored.path} was exported without gesture heads. "
                "Load it with with_heads=False."
            )
        described = stored.record.files
        try:
            return stored, {f: read_tensors(stored.path / f, described[f]) for f in files}
        except WeightsError:
            if open_weights(path).record == stored.record:
                raise


def _backbone(record: WeightRecord, tensors: dict[str, Tensor]) -> Backbone:
    def build() -> Backbone:
        # All values are replaced, so no seed is needed
        try:
            return build_backbone(record.arch, size_px=record.input.size_px, seed=None)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise WeightsError(f"{record.name} cannot be built here: {error}") from error

    backbone = _filled(build, lambda backbone: backbone.net, tensors, record)
    backbone.input_spec = InputSpec(**vars(record.input))
    _check_levels(backbone, record)
    return backbone


def _heads(record: WeightRecord, tensors: dict[str, Tensor]) -> nn.Module:
    def build() -> nn.Module:
        return build_gesture_heads(**vars(record.heads))

    with torch.device("meta"):  # check the shapes before memory is allocated
        _require_fit(build(), tensors, record)
    return _filled(build, lambda heads: heads, tensors, record)


def _filled(
    build: Callable[[], nn.Module],
    part: Callable[[nn.Module], nn.Module],
    tensors: dict[str, Tensor],
    record: WeightRecord,
) -> nn.Module:
    """Build a module and load the tensors strictly into `part` of it."""
    with torch.random.fork_rng(devices=[]), _on_the_cpu():
        module = build()
    _require_fit(part(module), tensors, record)
    require_usable(tensors, record.name)
    part(module).load_state_dict(tensors, strict=True, assign=True)
    return module


def _on_the_cpu():
    """Return a context with the CPU as default device."""
    is_cpu = torch.get_default_device().type == "cpu"  # entering the context slows every call
    return nullcontext() if is_cpu else torch.device("cpu")


def _require_fit(module: nn.Module, tensors: dict[str, Tensor], record: WeightRecord) -> None:
    """Raise WeightsError unless names, shapes and dtypes match."""
    expected = {name: (t.dtype, tuple(t.shape)) for name, t in module.state_dict().items()}
    found = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong:
        made_with = ", ".join(f"{name} {version}" for name, version in _versions(record))
        first = wrong[0]
        raise WeightsError(
            f"the weights of {record.name} do not fit {record.arch} in this installation: "
            f"{len(wrong)} tensors differ, first {first} ({found.get(first, 'absent')}, "
            f"expected {expected.get(first, 'no such tensor')}). They were exported with "
            f"{made_with}; install these versions."
        )


def _versions(record: WeightRecord) -> list[tuple[str, str]]:
    return sorted(record.library_versions.items())


def _check_levels(backbone: Backbone, record: WeightRecord) -> None:
    here = {name: tuple(spec) for name, spec in backbone.feature_specs.items()}
    card = {name: (spec.channels, spec.stride) for name, spec in record.feature_specs.items()}
    if here != card or (backbone.low, backbone.high) != (record.low, record.high):
        raise WeightsError(
            f"the levels of {record.name} (channels, stride) are {card}, low={record.low}, "
            f"high={record.high} in its card, but {here}, low={backbone.low}, "
            f"high={backbone.high} in this installation. Install the versions of its export: "
            f"{dict(_versions(record))}."
        )
