"""The backbone registry: find and load weights by name.

A name is `arch.tag`. It is searched for in three places: the registry folder, to which
`export_backbone` writes (`GESTURE_PRETRAIN_HOME`, else the platform's cache folder); folders passed
to `register_backbone`; and installed packages that declare entry points. A name in none of them is
looked up among the released weights (`gesture_pretrain.weights.released`). A package declares entry
points in its `setup.cfg`:

    [options.entry_points]
    gesture_pretrain.backbones =
        mynet = mypackage.mynet:build
        hrnet_w18.mytag = mypackage:WEIGHTS_FOLDER

A name without a dot refers to a function that builds an architecture, a name with a dot to a folder
of exported weights. The package is imported when its name is first used.
"""

import difflib
import fnmatch
import os
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import platformdirs
import torch
from torch import nn

from gesture_pretrain.models import architectures
from gesture_pretrain.models.architectures import (
    ENTRY_POINT_GROUP,
    BrokenPackage,
    announced,
    load_announced,
    package_of,
)
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.folder import StoredWeights, load_weights, open_weights
from gesture_pretrain.weights.record import CARD_FILE, is_backbone_name
from gesture_pretrain.weights.released import (
    HUB_PREFIX,
    from_hub,
    released_backbones,
    released_folder,
)

HOME_VARIABLE = "GESTURE_PRETRAIN_HOME"

_registered_folders: dict[str, Path] = {}


class UnknownBackbone(WeightsError):
    """There are no weights of that name; the message lists similar names."""


def load_backbone(
    source: str | os.PathLike,
    *,
    with_heads: bool = False,
    device: str | torch.device = "cpu",
    home: str | os.PathLike | None = None,
) -> Backbone | GestureNetwork:
    """Load exported weights strictly, and verify their hash.

    Args:
        source: A name (`arch.tag`); the path of an exported folder, its `card.json` or its
            `model.safetensors` (a string is a path if it contains a slash or has one of these
            extensions); or `hf-hub:organisation/name`, optionally with `@revision`.
        with_heads: Return the `GestureNetwork`, which also predicts gesture logits.
        device: Device of the network.
        home: Registry folder. Default: `GESTURE_PRETRAIN_HOME`, else the platform's cache folder.

    Returns:
        The network in eval mode.

    Raises:
        UnknownBackbone: There are no weights of that name.
        WeightsError: A file is missing, damaged, or modified since its export; or the architecture
            has other tensors in this installation.
        BrokenPackage: The package that announces the name cannot be imported, or lacks the object.
        ValueError: The device is not available, or there are no heads.
        ConnectionError: The hub cannot be reached.
    """
    target = _available_device(device)
    stored = find_backbone(source, home=home)
    return load_weights(stored.path, with_heads=with_heads).to(target)


def load_network(source: str | os.PathLike) -> Backbone | GestureNetwork:
    """Load exported weights on the CPU, with their gesture heads if they have any."""
    return load_backbone(source, with_heads=find_backbone(source).record.heads is not None)


def find_backbone(
    source: str | os.PathLike, *, home: str | os.PathLike | None = None
) -> StoredWeights:
    """Find the folder and card that `load_backbone` would load, without reading tensors.

    Raises:
        UnknownBackbone: There are no weights of that name.
        WeightsError: The card is missing or damaged.
        BrokenPackage: The package that announces the name cannot be imported, or lacks the object.
        ConnectionError: The hub cannot be reached.
    """
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        return open_weights(from_hub(source))
    if _is_path(source):
        return open_weights(Path(source))
    return _named(source, registry_home(home))


def list_backbones(
    pattern: str | None = None, *, home: str | os.PathLike | None = None
) -> list[str]:
    """List the names of all weights that `load_backbone` finds, sorted.

    Args:
        pattern: Shell-style pattern, such as "hrnet_w18.*". Default: all.
        home: As in `load_backbone`.
    """
    folder = registry_home(home)
    stored = {card.parent.name for card in folder.glob(f"*.*/{CARD_FILE}")}
    offered = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    names = filter(is_backbone_name, stored | set(_registered_folders) | offered)
    names = {*names, *released_backbones()}
    return sorted(name for name in names if pattern is None or fnmatch.fnmatchcase(name, pattern))


def register_backbone(name: str, source: Callable[[], nn.Module] | str | os.PathLike) -> None:
    """Register an architecture or weights in this process.

    Args:
        name: `arch` for a builder, `arch.tag` for weights.
        source: A function without arguments that returns a network with random weights (a timm
            model, or one with `forward_levels` and `feature_specs`); or an exported folder.

    Raises:
        ValueError: The name is taken, does not fit the source, or differs from the card.
        WeightsError: The folder has no card.
    """
    if callable(source):
        architectures.add_architecture(name, source)
        return
    if not is_backbone_name(name):
        raise ValueError(
            f"{name!r} is not a name for weights, which has the form 'arch.tag'. To register an "
            "architecture, pass the function that builds it."
        )
    if name in _registered_folders:
        raise ValueError(f"{name!r} is already registered, from {_registered_folders[name]}")
    _registered_folders[name] = _checked_name(open_weights(Path(source)), name).path


def registry_home(home: str | os.PathLike | None = None) -> Path:
    """Return the registry folder: `home`, `GESTURE_PRETRAIN_HOME`, or the platform's cache."""
    chosen = home or os.environ.get(HOME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_cache_dir("gesture-pretrain", appauthor=False))


def _available_device(device: str | torch.device) -> torch.device:
    try:
        target = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"{device!r} is not a device. Available: {_devices()}.") from error
    absent = (target.type == "cuda" and (target.index or 0) >= torch.cuda.device_count()) or (
        target.type == "mps" and not torch.backends.mps.is_available()
    )
    if absent:
        raise ValueError(
            f"device {str(device)!r} is not available; torch {torch.__version__} finds "
            f"{_devices()}. Pass device='cpu', or install a torch build for your device and its "
            "driver (`gesture-pretrain doctor` shows what is missing)."
        )
    return target


def _devices() -> str:
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    return ", ".join(found + ["mps"] * torch.backends.mps.is_available())


def _is_path(source: str | os.PathLike) -> bool:
    if not isinstance(source, str):
        return True
    return "/" in source or os.sep in source or source.endswith((".safetensors", ".json"))


def _named(name: str, home: Path) -> StoredWeights:
    places = {}
    if (home / name).is_dir() and is_backbone_name(name):
        places["the registry folder"] = home / name
    if name in _registered_folders:
        places["register_backbone"] = _registered_folders[name]
    if is_backbone_name(name):
        for point in announced(name):
            places[f"package {package_of(point)}"] = _announced_folder(point)
    if not places and name in released_backbones():
        places["the released weights"] = released_folder(name, home)
    if not places:
        raise UnknownBackbone(_unknown_message(name, home))
    if len(set(places.values())) > 1:
        listed = "; ".join(f"{path} ({origin})" for origin, path in places.items())
        raise ValueError(f"{name!r} exists in several places: {listed}. Load it by its path.")
    return _checked_name(open_weights(next(iter(places.values()))), name)


def _announced_folder(point: EntryPoint) -> Path:
    folder = load_announced(point)
    if not isinstance(folder, str | os.PathLike):
        raise BrokenPackage(
            f"package {package_of(point)} announces {point.name!r} as {point.value}, which is a "
            f"{type(folder).__name__}; a folder of exported weights is required. Use a name "
            "without a dot for the builder of an architecture."
        )
    return Path(folder)


def _checked_name(stored: StoredWeights, name: str) -> StoredWeights:
    if stored.name != name:
        raise ValueError(
            f"{stored.path} contains {stored.name!r} according to its card, not {name!r}. Use that "
            "name, or load the folder by its path."
        )
    return stored


def _unknown_message(name: str, home: Path) -> str:
    known = list_backbones(home=home)
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    same_arch = [other for other in known if other.partition(".")[0] == name.partition(".")[0]]
    near += [other for other in same_arch[:5] if other not in near]
    if near:
        hint = f"Similar names: {', '.join(near)}."
    elif known:
        hint = f"Available: {', '.join(known[:10])}{' ...' if len(known) > 10 else ''}."
    else:
        hint = "The registry is empty."
    if Path(name).is_dir():
        hint += f" To load the folder of that name: load_backbone('./{name}')."
    return (
        f"unknown backbone {name!r}. {hint} Searched {home} (set {HOME_VARIABLE} to use another "
        "folder) and the released weights. Add weights with pretrain or export_backbone; build a "
        "bare architecture with build_backbone(arch)."
    )
