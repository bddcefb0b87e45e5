"""Targets: hand-pose networks and file formats that take a backbone.

A `PoseTarget` builds a pose network around a backbone and states its requirements for the backbone.
An `ExportTarget` writes the backbone in the format of another library. Both are found by name.
Those of this package are imported when first needed. Another package announces its own in its
`setup.cfg`,

    [options.entry_points]
    gesture_pretrain.targets =
        mynet = mypackage.target:TARGET

or registers them in the process with `register_target`. docs/targets.md shows a complete one.
"""

import importlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.model import BaseModel
from torch.utils.data import Dataset

from gesture_pretrain.data.index.index import HandIndex
from gesture_pretrain.data.samples.augmentation import Augmentation
from gesture_pretrain.hand.model import HandModel
from gesture_pretrain.models.architectures import load_announced
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.feature_levels import FeatureSpec
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.names import did_you_mean
from gesture_pretrain.taxonomy import Taxonomy
from gesture_pretrain.weights.ledger import WeightLedger

ENTRY_POINT_GROUP = "gesture_pretrain.targets"
LEVELS = ("high", "low")
BUILT_IN = {
    "eanet": "adapters.eanet:TARGET",
    "hub": "adapters.export.to_hub:TARGET",
    "mmpose": "adapters.export.to_mmpose:TARGET",
    "onnx": "adapters.export.to_onnx:TARGET",
    "timm": "adapters.export.to_timm:TARGET",
    "token_fusion": "adapters.token_fusion:TARGET",
    "torchvision": "adapters.export.to_timm:TORCHVISION_TARGET",
}

_registered: dict[str, "PoseTarget | ExportTarget"] = {}


class UnknownTarget(LookupError):
    """There is no target of that name; the message lists the known ones."""

    def __str__(self) -> str:
        return str(self.args[0])


class SwapError(ValueError):
    """A backbone does not fit a target, or a weight did not arrive where it should."""


@dataclass(frozen=True)
class BackboneNeeds:
    """Requirements of a target for its backbone.

    Attributes:
        channels: Channels of the map at `levels[0]`; None for any number.
        stride: Stride of that map; None for any stride.
        levels: Maps that are read: "high" (F_hi), "low" (F_lo).
        input_px: The only possible side of the square crop; None for any size.
        gesture_logits: Whether gesture heads are required, too.
    """

    channels: int | None = None
    stride: int | None = None
    levels: tuple[str, ...] = ("high",)
    input_px: int | None = None
    gesture_logits: bool = False

    def __post_init__(self):
        unknown = [name for name in self.levels if name not in LEVELS]
        if unknown or not self.levels:
            raise ValueError(f"levels {self.levels!r}; possible: one or more of {LEVELS}")


class PoseTarget(ABC):
    """A hand-pose network that can be built around any backbone; see docs/targets.md.

    Attributes:
        name: Name of the target.
        summary: One line for a list of targets.
        presets: Options of `build_model` by name of the size; "full" is the published size.
        export: Function like `ExportTarget.export` that writes the backbone for the target's
            original code; None if there is none.
    """

    name: str
    summary: str
    presets: Mapping[str, Mapping[str, Any]] = MappingProxyType({"full": {}})
    export: "Callable[..., ExportReport] | None" = None

    @abstractmethod
    def build_model(
        self,
        network: Backbone | GestureNetwork,
        *,
        seed: int,
        hand_models: Mapping[str, HandModel],
        allow_projection: bool = False,
        **options: Any,
    ) -> BaseModel:
        """Build the network, a `PoseModel`.

        Args:
            network: The backbone, or a `GestureNetwork` if gesture logits are used. The model
                keeps the same object, not a copy, as `model.backbone`. Gesture heads that it keeps
                are called `coarse` and `fine`.
            seed: Random seed of the new weights.
            hand_models: "right" and "left" hand.
            allow_projection: Whether a 1x1 convolution may convert the backbone's channels to the
                required number, see `adapters.swap.projection.fit_backbone`.
            **options: Options of this network. Name them in the signature: an unknown key of
                `model=` is then refused with the list of known keys.

        Raises:
            SwapError: The backbone does not fit.
        """

    @abstractmethod
    def build_dataset(
        self,
        index: HandIndex,
        rows: Sequence[int],
        taxonomy: Taxonomy,
        size_px: int,
        *,
        hand_models: Mapping[str, HandModel],
        augmentation: Augmentation | None,
        seed: int,
        announce: Callable[[str], object] | None,
        **options: Any,
    ) -> Dataset:
        """Build the dataset for training, validation and prediction.

        Args:
            index: The data.
            rows: Rows of the index, each with a single hand.
            taxonomy: Gesture classes of their labels.
            size_px: Side of the square crops.
            hand_models: "right" and "left" hand.
            augmentation: Random motion; None for none.
            seed: Key of the augmentation.
            announce: Called with one line about the data; None for silence.
            **options: `box_source` ("rootnet" for RootNet's boxes) and `shards`, if they are set.
                Most targets pass them to `PoseDataset`.

        Returns:
            A dataset with `index`, `rows` and `box_source`. Its samples are named tuples with at
            least `image`, `row`, `hand` and `image_from_crop`.
        """

    def needs_for(self, **options: Any) -> BackboneNeeds:
        """Return the backbone requirements of a network with these options."""
        return BackboneNeeds()

    def dataset_for(self, **options: Any) -> Callable[..., Dataset]:
        """Return the `build_dataset` for a network with these options of `build_model`."""
        return self.build_dataset

    def options(self, size: str) -> dict[str, Any]:
        """Return the options of `build_model` for a preset.

        Raises:
            ValueError: There is no preset of that name.
        """
        if size not in self.presets:
            known = ", ".join(self.presets)
            raise ValueError(f"target {self.name!r} has no size {size!r}; possible: {known}")
        return dict(self.presets[size])


@dataclass(frozen=True)
class ExportReport:
    """Files that an export wrote, and the checks that they passed.

    Attributes:
        target: Name of the export target.
        files: The written files.
        ledger: Every tensor of the backbone and of the other library's network.
        how_to_load: Code that loads the files in the other library.
        checks: Result of each check by name, plain data.
    """

    target: str
    files: tuple[Path, ...]
    ledger: WeightLedger
    how_to_load: str
    checks: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """Format ledger, checks, files and how to load them."""
        lines = [self.ledger.table()]
        lines += [f"check: {name}: {value}" for name, value in self.checks.items()]
        lines += [f"Wrote {', '.join(str(file) for file in self.files)}. Load it with:", ""]
        return "\n".join([*lines, self.how_to_load])


@dataclass(frozen=True)
class ExportTarget:
    """A file format of another library.

    Attributes:
        name: Name of the target.
        summary: One line for a list of targets.
        export: Function `export(network, path, **options)` that writes a `Backbone` or
            `GestureNetwork` and returns an `ExportReport`. It writes nothing if a check fails.
        takes: "network", or "folder" if `export` takes the `StoredWeights` of an exported folder.
    """

    name: str
    summary: str
    export: Callable[..., ExportReport]
    takes: str = "network"

    def __post_init__(self):
        if self.takes not in ("network", "folder"):
            raise ValueError(f"takes={self.takes!r}; possible: 'network', 'folder'")


def register_target(target: PoseTarget | ExportTarget) -> None:
    """Register a target in this process.

    Raises:
        TypeError: It is neither kind of target.
        ValueError: The name is taken.
    """
    _require_target(target, "register_target")
    if target.name in BUILT_IN or target.name in _registered:
        owner = "this package" if target.name in BUILT_IN else "an earlier register_target"
        raise ValueError(f"target {target.name!r} exists already, from {owner}; choose another")
    _registered[target.name] = target


def find_target(name: str) -> PoseTarget | ExportTarget:
    """Find a target by name.

    Raises:
        UnknownTarget: There is no target of that name.
        ValueError: Two packages announce the name, or the announced target has another name.
        TypeError: The announced object is not a target.
        ImportError: The target requires a package that is not installed.
        BrokenPackage: The package that announces it cannot be imported, or lacks it.
    """
    announced = _announced(name)
    if len(announced) + (name in BUILT_IN) + (name in _registered) > 1:
        packages = ", ".join(_package(point) for point in announced)
        raise ValueError(f"target {name!r} is there more than once; also announced by {packages}")
    if name in _registered:
        return _registered[name]
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name].split(":")
        return getattr(importlib.import_module(module), attribute)
    if not announced:
        raise UnknownTarget(_unknown_message(name))
    target = load_announced(announced[0])
    _require_target(target, f"package {_package(announced[0])}")
    if target.name != name:
        raise ValueError(
            f"package {_package(announced[0])} announces {name!r}, but the target there is called "
            f"{target.name!r}. One of the two must change."
        )
    return target


def find_pose_target(name: str) -> PoseTarget:
    """Find a pose network by name.

    Raises:
        ValueError: The target is a file format.
        UnknownTarget, TypeError, ImportError, BrokenPackage: See `find_target`.
    """
    target = find_target(name)
    if isinstance(target, PoseTarget):
        return target
    raise ValueError(
        f"target {name!r} is a file format, not a network. Export weights to it (`gesture-pretrain "
        "export`), or choose a pose network (`gesture-pretrain swap --list`)."
    )


def model_options(target: PoseTarget, model: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve a section `model` to options of `target.build_model`.

    Args:
        target: The target.
        model: `size` (preset of the target, default "full") and further options. None means "none"
            for options whose default is a string, such as `guidance`.
    """
    parameters = inspect.signature(target.build_model).parameters
    words = {name for name, p in parameters.items() if isinstance(p.default, str)}
    own = {
        key: "none" if value is None and key in words else value
        for key, value in model.items()
        if key != "size"
    }
    return {**target.options(model.get("size", "full")), **own}


def list_targets() -> list[str]:
    """List the names of all targets, sorted, without importing them."""
    points = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return sorted({*BUILT_IN, *_registered, *points})


def describe_targets() -> str:
    """Format a line per target: name, kind and summary, or why it is not available."""
    lines = []
    for name in list_targets():
        try:
            target = find_target(name)
            kind = "network" if isinstance(target, PoseTarget) else "file"
            text = target.summary
        except (ImportError, ValueError, TypeError) as error:
            kind, text = "?", f"not available: {error}"
        lines.append(f"{name:14} {kind:8} {text}")
    return "\n".join(lines)


def backbone_of(network: Backbone | GestureNetwork) -> Backbone:
    """Return the backbone of a network.

    Raises:
        TypeError: `network` is neither a backbone nor a gesture network.
    """
    if isinstance(network, GestureNetwork):
        return network.backbone
    if isinstance(network, Backbone):
        return network
    raise TypeError(
        f"Expected a Backbone or a GestureNetwork, got {type(network).__name__}. "
        "load_backbone(name) and build_backbone(arch) give one."
    )


def level_spec(backbone: Backbone, level: str) -> FeatureSpec:
    """Return channels and stride of the map with a role, "high" or "low"."""
    return backbone.feature_specs[level_name(backbone, level)]


def level_name(backbone: Backbone, level: str) -> str:
    """Return the name in `feature_specs` of the map with a role, "high" or "low".

    Raises:
        ValueError: The role is unknown.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; possible: {', '.join(LEVELS)}")
    return backbone.high if level == "high" else backbone.low


def _require_target(target: object, origin: str) -> None:
    if not isinstance(target, PoseTarget | ExportTarget):
        raise TypeError(
            f"{origin} provides a {type(target).__name__}; a PoseTarget or an ExportTarget of "
            "adapters.targets is required."
        )


def _announced(name: str) -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINT_GROUP, name=name))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _unknown_message(name: str) -> str:
    known = list_targets()
    return (
        f"unknown target {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}. Add one "
        f"with an entry point of the group {ENTRY_POINT_GROUP!r}, or with register_target."
    )
