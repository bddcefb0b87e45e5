"""Initial weights of a backbone: a file of timm's, torchvision's or mmpose's names, or timm's own.

Only tensors are read, never code: safetensors, or pickles through torch's restricted reader. Every
tensor is accounted for in a `WeightLedger`, and anything undeclared is an error.
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
# a zip archive; before torch 1.6 a pickle, and one of protocol 0 begins with torch's magic number
_STARTS_OF_TORCH_SAVE = (b"PK", b"\x80", b"L119547037146038801333356L")


class WeightFileError(WeightsError):
    """The file cannot be read, or not safely."""


class WeightMismatchError(WeightsError):
    """File and network do not account for each other.

    Attributes:
        ledger: What was found.
    """

    def __init__(self, message: str, ledger: WeightLedger):
        super().__init__(message)
        self.ledger = ledger


class WeightsUnavailableError(WeightsError):
    """timm's published weights are not to be had."""


def load_initial_weights(
    backbone: Backbone,
    path: str | Path,
    *,
    allow_fresh: Iterable[str] = (),
    drop: Iterable[str] = (),
) -> WeightLedger:
    """Fill a backbone from a file.

    Args:
        backbone: Filled in place; untouched if this raises.
        path: `.safetensors`, or a PyTorch file of tensors; names of timm, torchvision (ResNet) or
            mmpose (HRNet), with or without the wrappers of `keymaps.WRAPPERS`.
        allow_fresh: Names, or prefixes ending in ".", of the network that may stay random.
        drop: Names, or prefixes ending in ".", of the file that are to be left out.

    Returns:
        The ledger, also kept as `backbone.ledger`.

    Raises:
        WeightFileError: No such file, unreadable, torn, or a pickle that holds more than tensors.
        WeightMismatchError: A tensor is missing, of a wrong shape, unexpected or not finite, and no
            table and no argument declares it.
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
    """Fill a backbone with the weights timm publishes for `arch`, from its cache or the network.

    Raises:
        WeightsUnavailableError: There are none, or they cannot be reached; says how to give a file.
        WeightMismatchError: As in `load_initial_weights`.
    """
    if not timm.is_model(arch.partition(".")[0]):
        raise WeightsUnavailableError(f"{arch} is not timm's, so timm has no weights for it.")
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
    """Rename, compare and, if nothing is undeclared, copy tensors into `backbone.net`."""
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
    """Read a file of tensors without running anything in it.

    Raises:
        WeightFileError: No such file, an unknown ending, torn, or a pickle with more than tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightFileError(
            f"no weight file {path}. Initial weights are 'random', 'imagenet', 'timm', or an "
            "existing file."
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
    """Find the tensors in a checkpoint: `{"state_dict": {...}, "epoch": 3}` and the like.

    Returns:
        The tensors by name, and the keys that led to them.

    Raises:
        WeightFileError: Not a dictionary of tensors, or more than one place to look.
    """
    keys = []
    while True:
        if not isinstance(stored, dict) or not stored:
            found = "an empty dict" if stored == {} else type(stored).__name__
            raise WeightFileError(
                f"{path}: holds {found}{_under(keys)}, not tensors by name. Tensors are looked for "
                f"at the top or under {', '.join(CONTAINERS)}."
            )
        inside = [key for key in CONTAINERS if isinstance(stored.get(key), dict)]
        if not inside:
            break
        if len(inside) > 1:
            raise WeightFileError(f"{path}: tensors may be under {inside}; save the one you mean")
        keys.append(inside[0])
        stored = stored[inside[0]]
    other = [key for key, value in stored.items() if not isinstance(value, Tensor)]
    if other:
        raise WeightFileError(
            f"{path}: {other[:5]} are not tensors. Tensors are looked for at the top or under "
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
    """A file of the hub's cache, found without asking the network."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        path = huggingface_hub.try_to_load_from_cache(hub_id, name) if hub_id else None
        if isinstance(path, str):
            return path
    return None


def _ask_hub(hub_id: str | None) -> None:
    """One short question before timm's download, which tries for most of a minute when offline.

    Raises:
        Exception: Whatever the client raises where the hub does not answer.
    """
    if not hub_id:
        return
    url = huggingface_hub.hf_hub_url(hub_id, "model.safetensors")
    try:
        huggingface_hub.get_hf_file_metadata(url, timeout=_HUB_ANSWERS_WITHIN_S)
    except HfHubHTTPError:
        return  # an answer, if only that the file has another name


def _require_complete(ledger: WeightLedger, arch: str) -> None:
    if ledger.is_complete:
        return
    lines = [f"{ledger.source or 'the weights'} and {arch} do not account for each other."]
    if any(".fuse_layers." in name for name in ledger.missing):
        lines.append(
            "Fuse layers are missing: mmpose builds HRNet with multiscale_output=False by default "
            "and then has no weights for them."
        )
    lines.append(
        "Nothing was loaded. Is it the right architecture? What may stay random goes into "
        "allow_fresh, what of the file is not wanted into drop: names, or prefixes ending in '.'."
    )
    raise WeightMismatchError("\n".join([*lines, ledger.table()]), ledger)


def _require_finite(offered: dict[str, Tensor], ledger: WeightLedger) -> None:
    for name, tensor in offered.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightMismatchError(
                f"{ledger.source}: {name} holds NaN or infinite values. Nothing was loaded; the "
                "run that wrote it had diverged, take an earlier checkpoint.",
                ledger,
            )


def _refused_message(path: Path, error: Exception) -> str:
    asked = re.search(r"GLOBAL (\S+)", str(error))
    unknown = re.search(r"Unsupported .*", str(error))
    reason = f"it asks for {asked[1]}" if asked else (unknown or [str(error).strip()])[0][:200]
    return (
        f"{path.name} was refused: it is not a file of tensors alone, or it is torn. A pickle can "
        "name classes and functions that run while it is read; this one was stopped before any "
        "did. "
        f"Reason: {reason}.\n"
        "Ask its author for a .safetensors file. If you trust it, convert it where that does no "
        "harm: read it with the library that wrote it and save only its tensors by name with "
        "safetensors.torch.save_file."
    )


def _foreign_message(path: Path, start: bytes) -> str:
    found = f"begins with {start[:16]!r}" if start else "is empty"
    return (
        f"{path.name} ({path.stat().st_size} bytes) {found}: torch.save writes no such file. It is "
        "torn or not a weight file; copy or download it again. Possible: a .safetensors file, or "
        "a file of torch.save with tensors by name."
    )


def _torn_message(path: Path, error: Exception) -> str:
    size = path.stat().st_size
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    reason = reason.split(". ")[0]  # torch goes on with advice, in sentences that a cut would tear
    if isinstance(error, LookupError):  # its text is the key alone
        reason = f"{type(error).__name__} {reason}"
    return (
        f"{path.name} ({size} bytes) cannot be read: {reason}. It is torn or not a weight file; "
        "copy or download it again and compare its size."
    )


def _unreachable_message(arch: str, error: Exception) -> str:
    reason = (str(error).splitlines() or [""])[0][:200]
    return (
        f"timm's weights for {arch!r} are neither in its cache nor to be reached "
        f"({type(error).__name__}: {reason}). Where they are reachable, run\n"
        '  python -c "import timm, safetensors.torch as s; s.save_file(timm.create_model('
        f"{arch!r}, pretrained=True).state_dict(), '{arch}.safetensors')\"\n"
        f"and give the file: init='{arch}.safetensors'. Or train from init='random'."
    )
