"""Files that timm and torchvision load strictly with their own functions.

The backbones are timm's networks without classifier, so a file for timm is loaded with
`num_classes=0`. If a strict load requires a classifier (torchvision's `fc`), the file has a *fresh*
one, initialised by that library, and the ledger lists it. Replace or train it before use.
"""

from collections.abc import Callable
from pathlib import Path

import timm
import torch
import torchvision
from timm.models.resnet import ResNet
from torch import Tensor, nn

from adapters.export.files import read_back, write_tensors
from adapters.targets import ExportReport, ExportTarget, SwapError, backbone_of
from gesture_pretrain.models.architectures import ARCHS, timm_options
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.weights.keymaps import TORCHVISION_RESNET_FROM_TIMM, covers
from gesture_pretrain.weights.ledger import WeightLedger, compare_tensors

FRESH_HEAD = "timm's head, behind the features; initialised by timm"
FRESH_CLASSIFIER = "classifier that a strict load requires; initialised by torchvision"


def export_timm(network: Backbone | GestureNetwork, path: str | Path) -> ExportReport:
    """Write a file for `timm.create_model(arch, num_classes=0, checkpoint_path=path)`.

    Args:
        network: Its backbone is written.
        path: `.safetensors`, or `.pth` for torch's own format.

    Returns:
        What was written. timm has loaded it, with the same features bit for bit.

    Raises:
        SwapError: timm has no such architecture, or builds it with other tensors.
        ValueError: The path has another ending.
    """
    backbone = backbone_of(network)
    if backbone.arch in ARCHS or not timm.is_model(backbone.arch):
        raise SwapError(
            f"timm has no architecture {backbone.arch!r}, so it cannot load a file of it. "
            "load_backbone(name) does, wherever this package is installed."
        )
    options = {**timm_options(backbone.arch, backbone.input_spec.size_px), "num_classes": 0}
    theirs = _fresh(lambda: timm.create_model(backbone.arch, **options))
    fresh = {f"{name}.": FRESH_HEAD for name in backbone.removed_modules}
    tensors, ledger = _complete(theirs, backbone.net.state_dict(), fresh, "timm")
    stated = "".join(f", {key}={value!r}" for key, value in options.items())
    create = f"timm.create_model({backbone.arch!r}{stated}, checkpoint_path={str(path)!r})"

    def check(written: Path) -> dict:
        loaded = timm.create_model(backbone.arch, **options, checkpoint_path=str(written))
        return _same_features(backbone, loaded.eval().forward_features)

    checks = write_tensors(Path(path), tensors, check)
    return ExportReport("timm", (Path(path),), ledger, f"import timm\nnet = {create}", checks)


def export_torchvision(
    network: Backbone | GestureNetwork,
    path: str | Path,
    *,
    num_classes: int = 1000,
    seed: int = 0,
) -> ExportReport:
    """Write a file for `torchvision.models.resnet50().load_state_dict(tensors, strict=True)`.

    Args:
        network: Its backbone is written: a ResNet that both libraries have.
        path: `.safetensors`, or `.pth` for torch's own format.
        num_classes: Outputs of the fresh `fc`; torchvision's default is 1000.
        seed: Random seed of the new `fc`.

    Returns:
        What was written. torchvision has loaded it, with the same features bit for bit.

    Raises:
        SwapError: torchvision has no such architecture, or builds it with other tensors.
        ValueError: The path has another ending.
    """
    backbone = backbone_of(network)
    build = _torchvision_resnet(backbone)
    theirs = _fresh(lambda: build(num_classes=num_classes), seed)
    fresh = dict.fromkeys(TORCHVISION_RESNET_FROM_TIMM.fresh, FRESH_CLASSIFIER)
    tensors, ledger = _complete(theirs, backbone.net.state_dict(), fresh, "torchvision")

    def check(written: Path) -> dict:
        loaded = build(num_classes=num_classes)
        loaded.load_state_dict(read_back(written), strict=True)
        return _same_features(backbone, _torchvision_features(loaded.eval()))

    checks = write_tensors(Path(path), tensors, check)
    classes = "" if num_classes == 1000 else f"num_classes={num_classes}"
    how = (
        f"net = torchvision.models.{backbone.arch}({classes})\n"
        f"net.load_state_dict({_reader(Path(path))}, strict=True)\n"
        "# fc is fresh: replace or train it"
    )
    return ExportReport("torchvision", (Path(path),), ledger, how, checks)


def _fresh(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _complete(
    theirs: nn.Module, ours: dict[str, Tensor], fresh: dict[str, str], library: str
) -> tuple[dict[str, Tensor], WeightLedger]:
    """Return our tensors, and fresh ones for those only in the other library's network."""
    own = theirs.state_dict()
    ledger = compare_tensors(own, ours, fresh=fresh, source="backbone")
    if not ledger.is_complete:
        raise SwapError(
            f"{library} builds this architecture with other tensors than the backbone has. "
            f"Nothing was written. Compare its version with the card.\n{ledger.table()}"
        )
    added = {n: v for n, v in own.items() if n not in ours and any(covers(k, n) for k in fresh)}
    return {**ours, **added}, ledger


def _torchvision_resnet(backbone: Backbone) -> Callable[..., nn.Module]:
    family = torchvision.models.resnet.__name__
    everything = torchvision.models.list_models(module=torchvision.models)
    known = [n for n in everything if getattr(torchvision.models, n).__module__ == family]
    if not isinstance(backbone.net, ResNet) or backbone.arch not in known:
        raise SwapError(
            f"torchvision has no {backbone.arch!r} with these tensors. Allowed: "
            f"{', '.join(known)}; for others use the targets timm or onnx."
        )
    return getattr(torchvision.models, backbone.arch)


def _torchvision_features(net: nn.Module) -> Callable[[Tensor], Tensor]:
    trunk = nn.Sequential(*list(net.children())[:-2])  # without average pool and fc
    return trunk.forward


def _same_features(backbone: Backbone, theirs: Callable[[Tensor], Tensor]) -> dict:
    """Compare the last map of both networks on one random image, bit for bit."""
    side = backbone.input_spec.size_px
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    was_training = backbone.training
    try:
        with torch.no_grad():
            ours = backbone.eval().net.forward_features(image)
            other = theirs(image)
    finally:
        backbone.train(was_training)
    if not torch.equal(ours, other):
        raise SwapError(
            "The network that loaded the file has other features: they differ by up to "
            f"{(ours - other).abs().max().item():.3g}. Nothing was written."
        )
    return {"loaded_strictly": True, "features_equal_bit_for_bit": True, "image_px": side}


def _reader(path: Path) -> str:
    if path.suffix == ".safetensors":
        return f"safetensors.torch.load_file({str(path)!r})"
    return f"torch.load({str(path)!r}, weights_only=True)"


TARGET = ExportTarget(
    name="timm",
    summary="a checkpoint for timm.create_model(arch, num_classes=0, checkpoint_path=...)",
    export=export_timm,
)
TORCHVISION_TARGET = ExportTarget(
    name="torchvision",
    summary="a state dict for torchvision.models.resnet50() and its sisters, with a fresh fc",
    export=export_torchvision,
)
