"""Lossless conversion of checkpoints to and from mmpose's tensor names.

mmpose's `HRNet` has timm's names for everything except the classification head, if it is built with
`multiscale_output=True` in stage 4 and `mode="nearest"` upsampling (its default; the released
hand models use another). Otherwise the last fuse layers of three branches have no weights. The
file stores the head's tensors under `timm_head`, which mmpose does not read, so that the whole
network can be restored. `ResNet` has the same names.
"""

from pathlib import Path

import torch
from timm.models.hrnet import HighResolutionNet
from timm.models.resnet import ResNet
from torch import Tensor, nn

from adapters.export.files import write_tensors
from adapters.export.mmpose_imports import import_mmpose_models
from adapters.targets import ExportReport, SwapError, backbone_of
from gesture_pretrain.models.backbone import Backbone, build_backbone
from gesture_pretrain.models.feature_levels import hrnet_branches
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.weights.initial_weights import (
    WeightFileError,
    fill_backbone,
    open_container,
    read_weight_file,
)
from gesture_pretrain.weights.keymaps import (
    BESIDE_BACKBONE,
    MMPOSE_HRNET_FROM_TIMM,
    TIMM_FROM_MMPOSE_HRNET,
    KeyMap,
    strip_wrappers,
)
from gesture_pretrain.weights.ledger import LedgerEntry, WeightLedger

HEAD_KEY = "timm_head"
_HEAD_NOTE = "timm's classification head, which mmpose's HRNet lacks; stored as timm_head"
_RESNET_DEPTHS = {"resnet18": 18, "resnet34": 34, "resnet50": 50, "resnet101": 101}


def export_mmpose(
    network: Backbone | GestureNetwork, path: str | Path, *, stand_in_ops: bool = False
) -> ExportReport:
    """Write `{"state_dict": ..., "timm_head": ..., "meta": ...}` for mmpose's own backbone class.

    Args:
        network: Its backbone is written: an HRNet or a plain ResNet of timm.
        path: Path that ends in `.pth`.
        stand_in_ops: See `import_mmpose_models`. If mmpose cannot be imported, the file is not
            loaded there as a test, which `checks` states.

    Returns:
        What was written, with the config that loads it.

    Raises:
        SwapError: mmpose has no such backbone, or its features differ.
        ValueError: The path has another ending.
    """
    path = Path(path)
    if path.suffix != ".pth":
        raise ValueError(f"mmpose's checkpoints are .pth files, not {path.suffix!r}.")
    backbone = backbone_of(network)
    config = mmpose_backbone_config(backbone)
    tensors, head = to_mmpose(backbone)
    meta = {"arch": backbone.arch, "backbone": repr(config)}

    def with_head(plain: dict[str, Tensor]) -> dict:
        return {"state_dict": plain, HEAD_KEY: head, "meta": meta}

    def check(written: Path) -> dict:
        back = from_mmpose(written, backbone.arch, size_px=backbone.input_spec.size_px)
        _require_same(backbone.net.state_dict(), back.net.state_dict())
        tried = _try_in_mmpose(backbone, config, tensors, stand_in_ops=stand_in_ops)
        return {"round_trip_changes_no_bit": True, **tried}

    checks = write_tensors(path, tensors, check, pickled=with_head)
    return ExportReport(
        "mmpose", (path,), _ledger(backbone, tensors), _how_to_load(config, path), checks
    )


def to_mmpose(backbone: Backbone) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return a backbone's tensors under mmpose's names, and those of a head unknown to mmpose.

    Raises:
        SwapError: mmpose has no such backbone.
    """
    mmpose_backbone_config(backbone)
    state = {n: v.detach().cpu().contiguous() for n, v in backbone.net.state_dict().items()}
    if not isinstance(backbone.net, HighResolutionNet):
        return state, {}
    tensors, head = MMPOSE_HRNET_FROM_TIMM.apply(state)
    return tensors, {name: state[name] for name in head}


def from_mmpose(path: str | Path, arch: str, *, size_px: int = 256) -> Backbone:
    """Load the backbone of a checkpoint with mmpose's names.

    A classification head that the file lacks stays random and is "fresh" in the ledger.

    Args:
        path: File of `export_mmpose`, or a state dict of mmpose's own backbone or pose estimator.
            Only tensors and plain data are read.
        arch: Architecture, see `build_backbone`.
        size_px: Side of the crops.

    Raises:
        WeightFileError: The file cannot be read, or not safely.
        WeightMismatchError: A tensor is missing, of a wrong shape or unexpected.
    """
    backbone = build_backbone(arch, size_px=size_px)
    stored = read_weight_file(path)
    head = stored.pop(HEAD_KEY, {}) if isinstance(stored, dict) else {}
    tensors, container = open_container(stored, path)
    own = set(backbone.net.state_dict())
    tensors, stripped, beside = strip_wrappers(tensors, own)
    clash = sorted(set(head) & set(tensors))
    if clash:
        raise WeightFileError(f"{path}: {clash[0]} is in both state_dict and {HEAD_KEY}")
    ledger = fill_backbone(
        backbone,
        {**tensors, **head},
        _keymap(backbone.net, bool(head)),
        beside=beside,
        source=Path(path).name,
        stripped=stripped,
        container=container,
    )
    backbone.ledger = ledger
    return backbone


def mmpose_backbone_config(backbone: Backbone) -> dict:
    """Return the `backbone=dict(...)` of an mmpose config for this network's tensors.

    Raises:
        SwapError: mmpose's classes cannot be built that way.
    """
    net = backbone.net
    if isinstance(net, HighResolutionNet):
        stem = net.conv1.out_channels
        if stem != 64:
            raise _no_such_backbone(backbone, f"mmpose's HRNet has 64 stem channels, this {stem}")
        stages = {f"stage{i}": _stage(getattr(net, f"stage{i}_cfg")) for i in (1, 2, 3, 4)}
        stages["stage4"]["multiscale_output"] = True
        return {"type": "HRNet", "in_channels": 3, "extra": stages}
    if isinstance(net, ResNet) and backbone.arch in _RESNET_DEPTHS:
        depth = _RESNET_DEPTHS[backbone.arch]
        return {"type": "ResNet", "depth": depth, "out_indices": (0, 1, 2, 3)}
    raise _no_such_backbone(backbone, "only HRNets and plain ResNets have mmpose's names")


def _stage(config: dict) -> dict:
    return {
        "num_modules": config["num_modules"],
        "num_branches": config["num_branches"],
        "block": config["block_type"],
        "num_blocks": tuple(config["num_blocks"]),
        "num_channels": tuple(config["num_channels"]),
    }


def _no_such_backbone(backbone: Backbone, reason: str) -> SwapError:
    return SwapError(
        f"{backbone.arch} cannot be written in mmpose's own names: {reason}. Use it in an mmpose "
        "config as backbone=dict(type='GestureBackbone', name=...), after "
        "adapters.export.to_mmpose.register_gesture_backbone()."
    )


def _keymap(net: nn.Module, has_head: bool) -> KeyMap:
    if isinstance(net, HighResolutionNet) and not has_head:
        return TIMM_FROM_MMPOSE_HRNET
    return KeyMap(source="mmpose", target="timm", renamed=dict(BESIDE_BACKBONE))


def _try_in_mmpose(
    backbone: Backbone, config: dict, tensors: dict[str, Tensor], *, stand_in_ops: bool
) -> dict:
    """Load strictly into mmpose's own class and compare the four maps bit for bit."""
    try:
        import_mmpose_models(stand_in_ops=stand_in_ops)
    except ImportError as error:
        return {"loaded_by_mmpose": f"not tried: {error}"}
    from mmpose.registry import MODELS

    # an earlier runner in this process may have set another default scope
    theirs = MODELS.build({**config, "_scope_": "mmpose"})
    theirs.eval()  # returns None in mmpose
    theirs.load_state_dict(tensors, strict=True)
    return {"loaded_by_mmpose": "strictly", **_same_maps(backbone, theirs)}


def _same_maps(backbone: Backbone, theirs: nn.Module) -> dict:
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    was_training = backbone.training
    try:
        with torch.no_grad():
            other, ours = theirs(image), _four_maps(backbone.eval(), image)
    finally:
        backbone.train(was_training)
    if not all(torch.equal(a, b) for a, b in zip(ours, other, strict=True)):
        largest = max((a - b).abs().max().item() for a, b in zip(ours, other, strict=True))
        raise SwapError(f"mmpose's maps differ by up to {largest:.3g}. Nothing was written.")
    return {"maps_equal_bit_for_bit": True}


def _four_maps(backbone: Backbone, image: Tensor) -> list[Tensor]:
    if isinstance(backbone.net, HighResolutionNet):
        return hrnet_branches(backbone.net, image)
    levels = backbone(image).levels
    return [levels[f"stride{stride}"] for stride in (4, 8, 16, 32)]


def _require_same(given: dict[str, Tensor], back: dict[str, Tensor]) -> None:
    if given.keys() != back.keys():
        raise SwapError(f"Reading back lost or added {sorted(given.keys() ^ back.keys())[:5]}.")
    for name, value in given.items():
        if value.dtype != back[name].dtype or not torch.equal(value.cpu(), back[name]):
            raise SwapError(f"Reading back changed {name}.")


def _ledger(backbone: Backbone, tensors: dict[str, Tensor]) -> WeightLedger:
    entries = tuple(
        LedgerEntry(name, "matched", value.numel())
        if name in tensors
        else LedgerEntry(name, "dropped_by_name", value.numel(), _HEAD_NOTE)
        for name, value in backbone.net.state_dict().items()
    )
    return WeightLedger(entries, source=backbone.arch)


def _how_to_load(config: dict, path: Path) -> str:
    lines = [f"    {key}={value!r}," for key, value in config.items()]
    pretrained = f"    init_cfg=dict(type='Pretrained', checkpoint={str(path)!r}),"
    return "\n".join(["backbone=dict(", *lines, pretrained, ")"])
