"""Export of a ResNet-50 to files that EANet's own code, or the author's fork, reads.

Two layouts. "upstream": a snapshot with the backbone alone, `module.hand_backbone.*` under
`network`, for `output/model_dump/snapshot_<epoch>.pth.tar`; upstream resumes at the epoch after it
and leaves the rest of its network at its own initial values. "author_fork": the plain state dict
of a gesture classifier that the fork starts from, `feature_encoder.*` and, with heads,
`main_classifier.*` (coarse) and `sub_classifier.*` (fine).

Either code feeds RGB in 0..1 to its backbone without normalising it.
"""

from pathlib import Path

import torch
from torch import Tensor

from adapters.export.files import read_back, write_tensors
from adapters.targets import ExportReport, SwapError, backbone_of
from eanet.resnet import ResNet50Map
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork
from gesture_pretrain.weights.ledger import WeightLedger, compare_tensors

LAYOUTS = ("upstream", "author_fork")
_BACKBONE = {"upstream": "module.hand_backbone.", "author_fork": "feature_encoder."}
_FORK_HEADS = {"main_classifier.": "coarse", "sub_classifier.": "fine"}


def export_encoder(
    network: Backbone | GestureNetwork,
    path: str | Path,
    *,
    layout: str = "upstream",
    epoch: int = 0,
) -> ExportReport:
    """Write a backbone for EANet's own code.

    Args:
        network: A ResNet-50 of timm; in the author's layout its gesture heads are written too.
        path: Ends in `.pth` or `.tar`.
        layout: "upstream" or "author_fork".
        epoch: Number of an upstream snapshot; it resumes at the next one.

    Raises:
        SwapError: EANet's backbone has other tensors.
        ValueError: Unknown layout, or another file ending.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; possible: {', '.join(LAYOUTS)}")
    backbone, path = backbone_of(network), Path(path)
    ledger = _ledger(backbone)
    own = backbone.net.state_dict()
    tensors = {_BACKBONE[layout] + name: value for name, value in own.items()}
    if layout == "author_fork" and isinstance(network, GestureNetwork):
        tensors |= _fork_heads(network)

    def content(plain: dict[str, Tensor]) -> dict:
        return {"epoch": epoch, "network": plain} if layout == "upstream" else plain

    def check(written: Path) -> dict:
        stored = read_back(written)
        return _tried(backbone, stored["network"] if layout == "upstream" else stored, layout)

    checks = write_tensors(path, tensors, check, pickled=content)
    return ExportReport("eanet", (path,), ledger, _how_to_load(layout, path, epoch), checks)


def _ledger(backbone: Backbone) -> WeightLedger:
    with torch.device("meta"):
        theirs = ResNet50Map().state_dict()
    ledger = compare_tensors(theirs, backbone.net.state_dict(), source=backbone.arch)
    if not ledger.is_complete:
        raise SwapError(
            f"EANet's backbone is torchvision's ResNet-50, and {backbone.arch} has other tensors "
            f"({len(ledger.missing)} missing, {len(ledger.wrong_shape)} of another shape, "
            f"{len(ledger.unexpected)} unknown). Its own code takes other backbones through "
            "adapters.eanet.eanet_checkout_backbone; the target 'eanet' trains with any of them."
        )
    return ledger


def _fork_heads(network: GestureNetwork) -> dict[str, Tensor]:
    return {
        theirs + name: value
        for theirs, ours in _FORK_HEADS.items()
        for name, value in getattr(network.heads, ours).layers.state_dict().items()
    }


def _tried(backbone: Backbone, stored: dict[str, Tensor], layout: str) -> dict:
    """Load the file into EANet's backbone and compare the map bit for bit."""
    prefix = _BACKBONE[layout]
    theirs = ResNet50Map()
    theirs.load_state_dict(
        {n.removeprefix(prefix): v for n, v in stored.items() if n.startswith(prefix)}, strict=True
    )
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    was_training = backbone.training
    try:
        with torch.no_grad():
            ours = backbone.eval()(image).levels[backbone.high]
            found = theirs.eval()(image)
    finally:
        backbone.train(was_training)
    if not torch.equal(ours, found):
        raise SwapError("EANet's backbone gives another map with these tensors")
    return {"loaded_strictly": True, "map_equal_bit_for_bit": True, "input": "RGB in 0..1, as is"}


def _how_to_load(layout: str, path: Path, epoch: int) -> str:
    note = "# its backbone is fed RGB in 0..1; train it before you use it"
    if layout == "author_fork":
        return f"# the fork's gesture checkpoint: {path}\n{note}"
    return (
        f"# copy {path} to output/model_dump/snapshot_{epoch}.pth.tar and resume from it:\n"
        f"# training goes on at epoch {epoch + 1}, with the file's backbone and no more of it\n"
        f"{note}"
    )
