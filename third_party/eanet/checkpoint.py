"""Strict reading, and writing, of snapshots of upstream and of the author's fork.

A snapshot is ``{"epoch": int, "network": {name: tensor}, "optimizer": Adam's state}``, and every
name under ``network`` starts with ``module.``. Upstream loads with ``strict=False``, so a wrong
name passes silently there; here every deviation raises.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from eanet.key_maps import their_names
from eanet.network import EANet

MODULE_PREFIX = "module."
_COUNTER = "num_batches_tracked"
_SHOWN = 3
_FORK_BACKBONE = "feature_encoder."
_FORK_HEADS = {"main.": "main_classifier.", "sub.": "sub_classifier."}


class SnapshotError(ValueError):
    """A file's tensors do not fit; the message names them and says what to do."""


class Snapshot(NamedTuple):
    """Contents of a file, without the loaded tensors."""

    epoch: int
    optimizer: dict[str, Any]


def read_file(path: str | os.PathLike) -> Mapping[str, Any]:
    """Load a torch file on the CPU with torch's weights-only loader."""
    return torch.load(path, map_location="cpu", weights_only=True)


def load_snapshot(
    model: EANet,
    source: str | os.PathLike | Mapping[str, Any],
    *,
    layout: str = "upstream",
    prefix: str = MODULE_PREFIX,
) -> Snapshot:
    """Load a snapshot strictly: every tensor of file and network finds its partner.

    Args:
        model: Its weights are replaced; untouched if an error is raised.
        source: File, or its contents.
        layout: ``"upstream"`` or ``"author_fork"``.
        prefix: Prefix of every name; ``""`` for weights saved without data parallel.

    Raises:
        SnapshotError: ``network``, ``epoch``, ``optimizer`` or the prefix is missing, or a
            tensor is missing, unexpected, or has another shape or kind.
        ValueError: Unknown layout.
    """
    content = source if isinstance(source, Mapping) else read_file(source)
    for key in ("network", "epoch", "optimizer"):
        if key not in content:
            raise SnapshotError(
                f"no {key!r} in it, but {_some(content)}; a snapshot has epoch, network and "
                "optimizer. A file of plain tensors goes to load_backbone or load_fork_encoder."
            )
    theirs = their_names(model.state_dict(), layout)
    tensors = _strip(content["network"], prefix)
    _load_strictly(model, tensors, theirs, what=f"snapshot of layout {layout!r}")
    return Snapshot(content["epoch"], content["optimizer"])


def save_snapshot(
    path: str | os.PathLike,
    model: EANet,
    *,
    epoch: int,
    optimizer: torch.optim.Optimizer | None = None,
    layout: str = "upstream",
) -> Path:
    """Write a snapshot that upstream, or the author's fork, accepts.

    Args:
        path: For upstream ``snapshot_<epoch>.pth.tar``. It is replaced atomically.
        model: Network with any backbone, whose tensors keep their names under a prefix.
        epoch: Upstream resumes at the next one.
        optimizer: Adam with all parameters in one group, in the model's order; None to
            write that of an Adam before its first step.
        layout: ``"upstream"`` or ``"author_fork"``.

    Raises:
        ValueError: The optimiser holds other parameters, or the layout has no place for a
            tensor of the model.
    """
    state = model.state_dict()
    theirs = their_names(state, layout)
    content = {
        "epoch": epoch,
        "network": {MODULE_PREFIX + theirs[name]: value.cpu() for name, value in state.items()},
        "optimizer": _optimizer_state(model, optimizer),
    }
    return _save_whole(content, Path(path))


def load_backbone(
    backbone: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    prefix: str = "",
    drop: tuple[str, ...] = (),
    counters_may_be_absent: bool = False,
) -> None:
    """Load a backbone from another source, for example a torchvision ResNet-50.

    Args:
        backbone: Its weights are replaced; untouched if an error is raised.
        tensors: Named as in the backbone, behind ``prefix``.
        prefix: Prefix of every name.
        drop: Prefixes of names to leave out, after ``prefix``: ``("fc.",)`` for torchvision.
        counters_may_be_absent: Whether ``num_batches_tracked`` may be missing, as in files made
            before torch had it. Those counters keep their value; nothing computes with them as
            long as batch norms have a momentum.

    Raises:
        SnapshotError: See ``load_snapshot``.
    """
    tensors = {k: v for k, v in _strip(tensors, prefix).items() if not k.startswith(drop)}
    names = {name: name for name in backbone.state_dict()}
    if counters_may_be_absent:
        names = {k: v for k, v in names.items() if v in tensors or not k.endswith(_COUNTER)}
    _load_strictly(backbone, tensors, names, what="backbone file")


def load_fork_encoder(model: EANet, tensors: Mapping[str, Tensor], *, drop_heads: bool) -> None:
    """Load the author's fork's gesture encoder: a plain state dict of backbone and classifiers.

    Args:
        model: Its backbone and, unless dropped, its gesture heads are replaced; nothing is if an
            error is raised.
        tensors: ``feature_encoder.*``, ``main_classifier.*``, ``sub_classifier.*``.
        drop_heads: True to take the backbone only (the paper's "init only").

    Raises:
        SnapshotError: See ``load_snapshot``; or the model has no gesture heads to fill.
    """
    if drop_heads:
        load_backbone(
            model.backbone,
            {k: v for k, v in tensors.items() if not k.startswith(tuple(_FORK_HEADS.values()))},
            prefix=_FORK_BACKBONE,
        )
        return
    if model.gesture_heads is None:
        raise SnapshotError(
            "the network has no gesture heads; build it with gesture_fusion='logits', or load the "
            "backbone alone with drop_heads=True"
        )
    both = nn.ModuleDict({"encoder": model.backbone, "heads": model.gesture_heads})
    table = {"encoder.": _FORK_BACKBONE, **{f"heads.{k}": v for k, v in _FORK_HEADS.items()}}
    names = {
        name: theirs + name[len(ours) :]
        for name in both.state_dict()
        for ours, theirs in table.items()
        if name.startswith(ours)
    }
    _load_strictly(both, tensors, names, what="gesture encoder of the fork")


def _strip(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    without = [name for name in tensors if not name.startswith(prefix)]
    if without:
        raise SnapshotError(
            f"{len(without)} of {len(tensors)} names do not start with {prefix!r}: "
            f"{_some(without)}. If the file has no such prefix, say so with prefix=''."
        )
    return {name[len(prefix) :]: value for name, value in tensors.items()}


def _load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, str], *, what: str
) -> None:
    """Load exactly the tensors of ``module`` in ``names`` (ours -> theirs)."""
    own = module.state_dict()
    faults = [
        _missing_counters(names, tensors),
        _list("missing in the file", [v for k, v in names.items() if _truly_missing(v, tensors)]),
        _list("unexpected in the file", sorted(set(tensors) - set(names.values()))),
        _list("of another shape or kind", _misfits(own, names, tensors)),
    ]
    if any(faults):
        raise SnapshotError(f"{what} does not fit; " + "; ".join(filter(None, faults)))
    for ours, theirs in names.items():
        own[ours] = tensors[theirs]
    module.load_state_dict(own, strict=True)


def _truly_missing(name: str, tensors: Mapping[str, Tensor]) -> bool:
    return name not in tensors and not name.endswith(_COUNTER)


def _missing_counters(names: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    absent = [v for v in names.values() if v.endswith(_COUNTER) and v not in tensors]
    if not absent:
        return ""
    return (
        _list(f"{_COUNTER} absent", absent)
        + " (torch wrote none before 0.4.1; load_backbone accepts that with "
        "counters_may_be_absent=True, a snapshot always has them)"
    )


def _misfits(
    own: Mapping[str, Tensor], names: Mapping[str, str], tensors: Mapping[str, Tensor]
) -> list[str]:
    """List tensors that differ in shape, or in being of floating point."""
    found = []
    for ours, theirs in names.items():
        value, needed = tensors.get(theirs), own[ours]
        if value is None:
            continue
        if value.shape != needed.shape:
            found.append(f"{theirs} {tuple(value.shape)} instead of {tuple(needed.shape)}")
        elif value.is_floating_point() != needed.is_floating_point():
            found.append(f"{theirs} {value.dtype} instead of {needed.dtype}")
    return found


def _list(fault: str, names: list[str]) -> str:
    return f"{len(names)} {fault}: {_some(names)}" if names else ""


def _some(names) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(str, names[:_SHOWN])) + more


def _optimizer_state(model: EANet, optimizer: torch.optim.Optimizer | None) -> dict[str, Any]:
    parameters = list(model.parameters())
    if optimizer is None:
        return torch.optim.Adam(parameters, lr=1e-4).state_dict()
    groups = [group["params"] for group in optimizer.param_groups]
    held = groups[0] if len(groups) == 1 else []
    if len(held) != len(parameters) or any(
        a is not b for a, b in zip(held, parameters, strict=True)
    ):
        raise ValueError(
            f"the optimiser has {len(groups)} group(s) with {sum(map(len, groups))} parameters; a "
            f"snapshot needs one group with all {len(parameters)}, in the order of "
            "model.parameters()"
        )
    return optimizer.state_dict()


def _save_whole(content: Mapping[str, Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        torch.save(content, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path
