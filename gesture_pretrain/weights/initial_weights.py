"""Initial weights of a backbone, from a file of timm, torchvision or mmpose, or published by timm.

Only tensors are read, never code: safetensors, or pickles through torch's restricted reader. Every
tensor is accounted for in a `WeightLedger`, and any undeclared tensor is an error.
"""

import pickle
import re
from collections.abc import Iterable
from pathlib import Path

import huggingface_hub  # timm depends on it
import timm
import torch
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gesture_pretrain.models.architectures import timm_options
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.keymaps import (
    CONTAINERS,
    COUNTER,
    COUNTER_REASON,
    KeyMap,
    keymap_for,
    strip_wrappers,
    timm_keymap,
)
from gesture_pretrain.weights.ledger import WeightLedger, compare_tensors

_HUB_ANSWERS_WITHIN_S = 10.0
PICKLED = (".pth", ".pt", ".bin", ".tar", ".ckpt")
# a zip archive, or before torch 1.6 a pickle; protocol 0 starts with torch's magic number
_STARTS_OF_TORCH_SAVE = (b"PK", b"\x80", b"L119547037146038801333356L")


class WeightFileError(WeightsError):
    """The file cannot be read, or not read safely."""


class WeightMismatchError(WeightsError):
    """The tensors of file and network do not match.

    Attributes:
        ledger: Account of all tensors.
    """

    def __init__(self, message: str, ledger: WeightLedger):
        super().__init__(message)
        self.ledger = ledger


class WeightsUnavailableError(WeightsError):
    """Pretrained weights of timm or a package are unavailable."""


def load_initial_weights(
    backbone: Backbone,
    path: str | Path,
    *,
    allow_fresh: Iterable[str] = (),
    drop: Iterable[str] = (),
) -> WeightLedger:
    """Load the weights of a file into a backbone.

    Args:
        backbone: Filled in place. Unchanged if an error is raised.
        path: `.safetensors` or PyTorch file with the tensor names of timm, torchvision (ResNet) or
            mmpose (HRNet), with or without the prefixes of `keymaps.WRAPPERS`.
        allow_fresh: Names, or prefixes ending in ".", of network tensors that may stay random.
        drop: Names, or prefixes ending in ".", of file tensors that are not used.

    Returns:
        The ledger, which is also stored as `backbone.ledger`.

    Raises:
        WeightFileError: The file is missing, unreadable, truncated, or a pickle that contains more
            than tensors.
        WeightMismatchError: A tensor is missing, of a wrong shape, unexpected or not finite, and is
            not declared by a table or an argument.
    """
    stored = read_weight_file(path)
    tensors, container = open_container(stored, path)
    own = backbone.net.state_dict()
    tensors, stripped, beside = strip_wrappers(tensors, set(own))
    keymap = keymap_for(backbone.net, set(tensors), backbone.removed_modules)
    return fill_backbone(
        backbone,
        tensors,
        keymap,
        allow_fresh=allow_fresh,
        drop=drop,
        beside=beside,
        source=Path(path).name,
        stripped=stripped,
        container=container,
    )


def load_timm_weights(backbone: Backbone, arch: str) -> WeightLedger:
    """Load the weights that timm publishes for `arch`, from its cache or the network.

    Raises:
        WeightsUnavailableError: There are none, or they cannot be downloaded.
        WeightMismatchError: See `load_initial_weights`.
    """
    if not timm.is_model(arch.partition(".")[0]):
        raise WeightsUnavailableError(f"{arch} is not a timm model, so timm has no weights for it.")
    options = timm_options(arch, backbone.input_spec.size_px)
    config = timm.get_pretrained_cfg(arch)
    if not config.has_weights:
        tagged = timm.list_pretrained(f"{arch.partition('.')[0]}.*")
        raise WeightsUnavailableError(f"timm publishes no weights for {arch!r}; it has {tagged}.")
    cached = _cached_file(config.hf_hub_id)
    if cached:
        options["pretrained_cfg_overlay"] = {"file": cached}
    try:
        if not cached:
            _ask_hub(config.hf_hub_id)
        published = timm.create_model(arch, pretrained=True, **options)
    except Exception as error:  # network, proxy, hub and cache each raise their own kind
        raise WeightsUnavailableError(_unreachable_message(arch, error)) from error
    keymap = timm_keymap(backbone.net, backbone.removed_modules)
    source = f"timm {published.pretrained_cfg['architecture']}.{published.pretrained_cfg['tag']}"
    return fill_backbone(backbone, published.state_dict(), keymap, source=source)


def fill_backbone(
    backbone: Backbone,
    tensors: dict[str, Tensor],
    keymap: KeyMap,
    *,
    allow_fresh: Iterable[str] = (),
    drop: Iterable[str] = (),
    beside: dict[str, Tensor] | None = None,
    **origin,
) -> WeightLedger:
    """Rename tensors and load them into `backbone.net`, if all tensors are accounted for."""
    own = backbone.net.state_dict()
    declared = KeyMap(keymap.source, keymap.target, {**keymap.renamed, **dict.fromkeys(drop)})
    offered, left_out = declared.apply(tensors)
    fresh = {**keymap.fresh, **dict.fromkeys(allow_fresh, "allowed by the caller")}
    if not any(name.endswith(COUNTER) for name in offered):
        fresh[f".{COUNTER}"] = COUNTER_REASON
    dropped = {**(beside or {}), **{name: tensors[name] for name in left_out}}
    ledger = compare_tensors(own, offered, fresh=fresh, dropped=dropped, **origin)
    _require_complete(ledger, backbone.arch)
    _require_finite(offered, ledger)
    backbone.net.load_state_dict({**own, **offered}, strict=True)
    backbone.ledger = ledger
    return ledger


def read_weight_file(path: str | Path) -> dict:
    """Read a file of tensors without running any code in it.

    Raises:
        WeightFileError: The file is missing, truncated, of an unknown type, or a pickle that
            contains more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightFileError(
            f"weight file {path} does not exist. Initial weights can be 'random', 'imagenet', "
            "'timm', or an existing file."
        )
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in PICKLED:
        raise WeightFileError(
            f"{path.name}: weight files end in .safetensors, {', '.join(PICKLED)}"
        )
    return _read_pickled(path)


def open_container(
    stored: dict, path: str | Path = "the file"
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Find the tensors in a checkpoint such as `{"state_dict": {...}, "epoch": 3}`.

    Returns:
        The tensors by name, and the keys under which they were found.

    Raises:
        WeightFileError: There is no dictionary of tensors, or more than one.
    """
    keys = []
    while True:
        if not isinstance(stored, dict) or not stored:
            found = "an empty dict" if stored == {} else type(stored).__name__
            raise WeightFileError(
                f"{path} contains {found}{_under(keys)}, not tensors by name. Tensors must be at "
                f"the top level or under {', '.join(CONTAINERS)}."
            )
        inside = [key for key in CONTAINERS if isinstance(stored.get(key), dict)]
        if not inside:
            break
        if len(inside) > 1:
            raise WeightFileError(
                f"{path}: tensors may be under any of {inside}. Save only one of them."
            )
        keys.append(inside[0])
        stored = stored[inside[0]]
    other = [key for key, value in stored.items() if not isinstance(value, Tensor)]
    if other:
        raise WeightFileError(
            f"{path}: {other[:5]} are not tensors. Tensors must be at the top level or under "
            f"{', '.join(CONTAINERS)}."
        )
    return dict(stored), tuple(keys)


def _under(keys: list[str]) -> str:
    return f" under {'.'.join(keys)}" if keys else ""


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightFileError(_torn_message(path, error)) from error


def _read_pickled(path: Path) -> dict:
    with path.open("rb") as file:
        start = file.read(32)
    if not start.startswith(_STARTS_OF_TORCH_SAVE):
        raise WeightFileError(_foreign_message(path, start))
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightFileError(_refused_message(path, error)) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        raise WeightFileError(_torn_message(path, error)) from error


def _cached_file(hub_id: str | None) -> str | None:
    """Find a file in the hub's cache without using the network."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        path = huggingface_hub.try_to_load_from_cache(hub_id, name) if hub_id else None
        if isinstance(path, str):
            return path
    return None


def _ask_hub(hub_id: str | None) -> None:
    """Check that the hub responds, since timm's download retries for almost a minute if offline.

    Raises:
        Exception: The hub does not respond.
    """
    if not hub_id:
        return
    url = huggingface_hub.hf_hub_url(hub_id, "model.safetensors")
    try:
        huggingface_hub.get_hf_file_metadata(url, timeout=_HUB_ANSWERS_WITHIN_S)
    except HfHubHTTPError:
        return  # the hub responds; the file may have another name


def _require_complete(ledger: WeightLedger, arch: str) -> None:
    if ledger.is_complete:
        return
    lines = [f"the tensors of {ledger.source or 'the weights'} and {arch} do not match."]
    if any(".fuse_layers." in name for name in ledger.missing):
        lines.append(
            "Fuse layers are missing because mmpose builds HRNet with multiscale_output=False by "
            "default."
        )
    lines.append(
        "Nothing was loaded. Check the architecture. Declare network tensors that may stay random "
        "in allow_fresh and unused file tensors in drop, as names or prefixes ending in '.'."
    )
    raise WeightMismatchError("\n".join([*lines, ledger.table()]), ledger)


def _require_finite(offered: dict[str, Tensor], ledger: WeightLedger) -> None:
    for name, tensor in offered.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightMismatchError(
                f"{ledger.source}: {name} contains NaN or infinite values. Nothing was loaded. The "
                "run that wrote it diverged; use an earlier checkpoint.",
                ledger,
            )


def _refused_message(path: Path, error: Exception) -> str:
    asked = re.search(r"GLOBAL (\S+)", str(error))
    unknown = re.search(r"Unsupported .*", str(error))
    reason = f"it names {asked[1]}" if asked else (unknown or [str(error).strip()])[0][:200]
    return (
        f"{path.name} was refused: it contains more than tensors, or it is truncated. A pickle can "
        "run code while it is read; reading stopped before any code ran. "
        f"Reason: {reason}.\n"
        "Ask its author for a .safetensors file. If you trust the file, convert it in a safe "
        "environment: read it with the library that wrote it and save only its tensors by name "
        "with safetensors.torch.save_file."
    )


def _foreign_message(path: Path, start: bytes) -> str:
    found = f"starts with {start[:16]!r}" if start else "is empty"
    return (
        f"{path.name} ({path.stat().st_size} bytes) {found}, so torch.save did not write it. It is "
        "truncated or not a weight file; copy or download it again. Supported are .safetensors "
        "files and files of torch.save with tensors by name."
    )


def _torn_message(path: Path, error: Exception) -> str:
    size = path.stat().st_size
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    reason = reason.split(". ")[0]  # drop torch's advice, which could be cut off mid-sentence
    if isinstance(error, LookupError):  # its message is only the key
        reason = f"{type(error).__name__} {reason}"
    return (
        f"{path.name} ({size} bytes) cannot be read: {reason}. It is truncated or not a weight "
        "file; copy or download it again and compare its size."
    )


def _unreachable_message(arch: str, error: Exception) -> str:
    reason = (str(error).splitlines() or [""])[0][:200]
    return (
        f"timm's weights for {arch!r} are not in its cache and cannot be downloaded "
        f"({type(error).__name__}: {reason}). On a machine with network access, run\n"
        '  python -c "import timm, safetensors.torch as s; s.save_file(timm.create_model('
        f"{arch!r}, pretrained=True).state_dict(), '{arch}.safetensors')\"\n"
        f"and pass the file: init='{arch}.safetensors'. Or train from init='random'."
    )
