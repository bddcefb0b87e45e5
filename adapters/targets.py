"""What a target is: another hand-pose network, or another library's file, that takes a backbone.

A `PoseTarget` builds a pose network around a backbone and states what it requires of it; an
`ExportTarget` writes the backbone as other people's code reads it. Both are found by their name.
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
    """No target of that name; the message lists those there are."""

    def __str__(self) -> str:
        return str(self.args[0])


class SwapError(ValueError):
    """A backbone and a target do not go together, or a weight did not arrive where it should."""


@dataclass(frozen=True)
class BackboneNeeds:
    """Requirements of a target for its backbone.

    Attributes:
        channels: Channels of the map at `levels[0]`; None where any number will do.
        stride: Stride of that map; None where any will do.
        levels: Which maps are read: "high" (F_hi), "low" (F_lo).
        input_px: The only possible side of the square crop; None where any will do.
        gesture_logits: Gesture heads are required too.
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
        name: Name it is found by.
        summary: One line for a list.
        presets: Options of `build_model` by the name of a size; "full" is the published one.
        export: Writes the backbone as the target's own code reads it, as `ExportTarget.export`
            does; None where there is no such code.
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
            network: The backbone, or a `GestureNetwork` where the gesture logits are used. The
                model holds this very backbone as `model.backbone`, not a copy, and names gesture
                heads that it keeps `coarse` and `fine`.
            seed: Of the new weights.
            hand_models: "right" and "left".
            allow_projection: The backbone's channels may be brought to those that the target
                requires by a 1x1 convolution, see `adapters.swap.projection.fit_backbone`.
            **options: Of this network. Name them in the signature: an unknown key of `model=` is
                then refused with the list of known ones.

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
        """Build the data set that the network is trained on, validated on and predicts.

        Args:
            index: The data.
            rows: Images of one hand each.
            taxonomy: Gesture classes of their labels.
            size_px: Side of the square crops.
            hand_models: "right" and "left".
            augmentation: Random motion; None for none.
            seed: Key of the augmentation.
            announce: Is handed one line about the data; None for silence.
            **options: `box_source` ("rootnet" for RootNet's boxes) and `shards`, each only where
                it is set. Those of `PoseDataset` are what most targets pass on.

        Returns:
            A data set with `index`, `rows` and `box_source`. Its samples are named tuples with at
            least `image`, `row`, `hand` and `image_from_crop`.
        """

    def needs_for(self, **options: Any) -> BackboneNeeds:
        """Return what a network built with these options requires of its backbone."""
        return BackboneNeeds()

    def dataset_for(self, **options: Any) -> Callable[..., Dataset]:
        """Return the `build_dataset` for a network with these options of `build_model`."""
        return self.build_dataset

    def options(self, size: str) -> dict[str, Any]:
        """Options of `build_model` for a preset.

        Raises:
            ValueError: No preset of that name.
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
        files: What was written.
        ledger: Every tensor of the backbone and of what the other library builds.
        how_to_load: Code that loads it in the other library.
        checks: Name of each check to its result, plain data.
    """

    target: str
    files: tuple[Path, ...]
    ledger: WeightLedger
    how_to_load: str
    checks: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """Ledger, checks, what was written and how it is loaded, as text."""
        lines = [self.ledger.table()]
        lines += [f"check: {name}: {value}" for name, value in self.checks.items()]
        lines += [f"Wrote {', '.join(str(file) for file in self.files)}. Load it with:", ""]
        return "\n".join([*lines, self.how_to_load])


@dataclass(frozen=True)
class ExportTarget:
    """A file format of another library.

    Attributes:
        name: By which it is found.
        summary: One line for a list.
        export: `export(network, path, **options)` writes a `Backbone` or `GestureNetwork` and gives
            an `ExportReport`; nothing is at `path` if a check fails.
        takes: "network", or "folder" where `export` takes the `StoredWeights` of an exported
            folder instead.
    """

    name: str
    summary: str
    export: Callable[..., ExportReport]
    takes: str = "network"

    def __post_init__(self):
        if self.takes not in ("network", "folder"):
            raise ValueError(f"takes={self.takes!r}; possible: 'network', 'folder'")


def register_target(target: PoseTarget | ExportTarget) -> None:
    """Make a target known in this process.

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
    """The target of a name.

    Raises:
        UnknownTarget: There is none; lists those there are.
        ValueError: Two packages announce the name, or what is announced has another name.
        TypeError: What is announced is no target.
        ImportError: The target needs a package that is not installed.
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
    """A target that can be trained.

    Raises:
        ValueError: The target writes files and is no network; lists what can be trained.
        As `find_target`.
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
        model: `size` (a preset of the target; default "full") and further options. None stands for
            the word "none" in an option whose default is a word (`guidance="none"`).
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
    """Names of all targets, sorted; nothing is imported."""
    points = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return sorted({*BUILT_IN, *_registered, *points})


def describe_targets() -> str:
    """A line per target: name, kind and summary; one that cannot be imported says why."""
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
    """The backbone of a network of ours.

    Raises:
        TypeError: It is neither a backbone nor a gesture network.
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
    """Channels and stride of the map in a role, "high" or "low"."""
    return backbone.feature_specs[level_name(backbone, level)]


def level_name(backbone: Backbone, level: str) -> str:
    """Name among `feature_specs` of the map in a role, "high" or "low".

    Raises:
        ValueError: Unknown role.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; possible: {', '.join(LEVELS)}")
    return backbone.high if level == "high" else backbone.low


def _require_target(target: object, origin: str) -> None:
    if not isinstance(target, PoseTarget | ExportTarget):
        raise TypeError(
            f"{origin} gives a {type(target).__name__}; it must give a PoseTarget or an "
            "ExportTarget of adapters.targets"
        )


def _announced(name: str) -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINT_GROUP, name=name))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _unknown_message(name: str) -> str:
    known = list_targets()
    return (
        f"unknown target {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}. A package "
        f"adds one with an entry point of the group {ENTRY_POINT_GROUP!r}, a process with "
        "register_target."
    )
