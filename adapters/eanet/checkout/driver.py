"""A user's own checkout of EANet, or of the author's fork of it, run with a backbone of ours.

The checkout runs in a process of its own, from its own folder and with its own modules. There its
backbone is replaced before anything is built; its own entry then trains or tests as always. None
of its files is changed. What it does with the backbone is watched: not in the optimiser, without a
gradient, unchanged by the first step, missing in a snapshot or not come back from one is an error.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapters.eanet.checkout.backbone import LAYOUTS, checkout_backbone, pack_network
from adapters.targets import SwapError
from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.models.backbone import Backbone
from gesture_pretrain.models.gesture_network import GestureNetwork

# module of the checkout and what is replaced in it, see `checkout_worker.swap_in`
PLACES = {
    ("upstream", "class"): "model:ResNetBackbone",
    ("upstream", "attribute"): "model:get_model:hand_backbone",
    ("author_fork", "attribute"): "model:get_model:backbone",
}
_TAIL_LINES = 25


class CheckoutError(RuntimeError):
    """A checkout is not as expected, or its code ended with an error."""


@dataclass(frozen=True)
class CheckoutReport:
    """What a run of a checkout did.

    Attributes:
        root: Folder of the checkout.
        heads: What became of the backbone's gesture heads.
        entry: Which of its files ran, and with which arguments.
        shims: What was put in place for current packages: name, applied, reason, effect.
        missing_packages: What the published code may import and is not installed.
        steps: Optimiser steps taken.
        first_step: What the first one showed: optimiser, backbone parameters in it and with
            gradient, fingerprints before and after. None without a step.
        saved: Snapshots written: file, epoch, what stands before the backbone's names.
        loaded: Snapshots loaded whose backbone came back bit for bit.
        output: Everything it printed.
    """

    root: Path
    heads: str
    entry: tuple[str, ...]
    shims: list[dict[str, Any]]
    missing_packages: list[str]
    steps: int
    first_step: dict[str, Any] | None
    saved: list[dict[str, Any]]
    loaded: list[dict[str, Any]]
    output: str

    def to_json(self) -> str:
        """All but the output, as JSON text."""
        values = {**vars(self), "root": str(self.root)}
        del values["output"]
        return json.dumps(values, indent=1)

    def save(self, folder: Path) -> None:
        """Writes `checkout.json` and what the checkout printed, `checkout.log`."""
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(folder / "checkout.json", self.to_json().encode())
        write_bytes_atomically(folder / "checkout.log", self.output.encode())

    def describe(self) -> str:
        """What ran, what was shimmed and what became of the backbone, as text."""
        lines = [f"checkout: {' '.join(self.entry)}", f"gesture heads: {self.heads}"]
        for shim in self.shims:
            state = f"put in: {shim['effect']}" if shim["applied"] else "not needed"
            lines.append(f"shim {shim['name']}: {state} ({shim['reason']})")
        if self.missing_packages:
            lines.append(f"not installed here: {', '.join(self.missing_packages)}")
        seen = self.first_step
        if seen is not None:
            lines.append(
                f"backbone: {seen['backbone_parameters_in_optimizer']} of "
                f"{seen['backbone_parameters']} parameters in {seen['optimizer']}, all with a "
                f"gradient, changed by the first of {self.steps} steps"
            )
        for entry in self.saved:
            lines.append(f"backbone in snapshot {entry['file']} as {entry['prefix']}*")
        for entry in self.loaded:
            lines.append(f"backbone came back from a snapshot: {entry['tensors']} tensors")
        return "\n".join(lines)


def find_main_folder(root: str | Path, entry: str = "train.py", place: str = "model") -> Path:
    """The folder of a checkout that its entries lie in and run from.

    Args:
        root: Of the checkout.
        entry: The entry's file name.
        place: Name of the module that builds the model.

    Raises:
        CheckoutError: Neither `root/main` nor `root` holds both files; says what is there.
    """
    root = Path(root).expanduser()
    module = f"{place}.py"
    for folder in (root / "main", root):
        if (folder / entry).is_file() and (folder / module).is_file():
            return folder.resolve()
    if not root.is_dir():
        raise CheckoutError(f"{root} is not a folder; give the root of a checkout of EANet")
    found = sorted(
        path.name for path in (root / "main", root)[not (root / "main").is_dir()].iterdir()
    )
    raise CheckoutError(
        f"{root} is no checkout of EANet: neither it nor its folder 'main' holds {entry} and "
        f"{module}; found {', '.join(found[:12]) or 'nothing'}"
    )


def run_checkout(
    root: str | Path,
    network: Backbone | GestureNetwork,
    *,
    entry: str = "train.py",
    arguments: Sequence[str] = (),
    layout: str = "upstream",
    gesture_logits: str = "none",
    how: str = "class",
    place: str | None = None,
    allow_projection: bool = False,
    input_normalisation: str = "backbone",
    seed: int = 0,
    python: str = sys.executable,
    timeout_s: float | None = None,
) -> CheckoutReport:
    """Run an entry of a checkout with its backbone replaced.

    Args:
        root: Of the checkout.
        network: The backbone; its gesture heads, if any, are used for gesture logits alone.
        entry: File in the checkout's main folder: "train.py", "test.py".
        arguments: Of the entry, as on its command line.
        layout: "upstream", or "author_fork": there the backbone is the attribute `backbone`, with
            `feature_encoder` and, with gesture logits, two classifiers in it.
        gesture_logits: "none", or "logits" for the fork with its logits switched on.
        how: "class": put a factory in the place of the backbone's class. "attribute": let the
            checkout build its own, then replace it in the model and in `trainable_modules`.
        place: Where, see `checkout_worker.swap_in`; `PLACES` by default.
        allow_projection: Bring other channels to 2048 by a declared 1x1 convolution.
        input_normalisation: "backbone", or "unit" for a backbone trained on values of 0 .. 1.
        seed: Of that projection.
        python: Interpreter; this package must be importable there.
        timeout_s: Stop it after so many seconds; None for never.

    Raises:
        SwapError: The backbone does not fit, or was not trained, saved or loaded as it must be.
        CheckoutError: The folder is no checkout, or its code ended with an error; its last lines
            of output are in the message.
        ValueError: An impossible option.
    """
    place = _place(layout, how) if place is None else place
    main_folder = find_main_folder(root, entry, place.partition(":")[0])
    wrapping = {
        "layout": layout,
        "gesture_logits": gesture_logits,
        "allow_projection": allow_projection,
        "input_normalisation": input_normalisation,
        "seed": seed,
    }
    checkout_backbone(network, **wrapping)  # refuse here what would be refused there
    with tempfile.TemporaryDirectory(prefix="eanet_checkout_") as folder:
        spec = {
            "main_folder": str(main_folder),
            "entry": entry,
            "arguments": [str(argument) for argument in arguments],
            "how": how,
            "place": place,
            **wrapping,
            "network": f"{folder}/network.pth",
            "report": f"{folder}/report.json",
        }
        torch.save(pack_network(network), spec["network"])
        output = _run_worker(spec, Path(folder), main_folder, python, timeout_s)
        seen = _read_report(Path(spec["report"]), output)
    raise_failure(seen, output)
    report = CheckoutReport(
        root=Path(root),
        heads=_heads(network, gesture_logits),
        entry=(entry, *spec["arguments"]),
        output=output,
        **{key: seen[key] for key in _SEEN},
    )
    _require_proof(report, trains="train" in entry)
    return report


_SEEN = ("shims", "missing_packages", "steps", "first_step", "saved", "loaded")


def _place(layout: str, how: str) -> str:
    if how not in ("class", "attribute") or layout not in LAYOUTS:
        raise ValueError(
            f"how is {how!r}, layout is {layout!r}; possible: class, attribute and "
            f"{', '.join(LAYOUTS)}"
        )
    if (layout, how) not in PLACES:
        raise ValueError(
            f"of layout {layout!r} the name of the backbone's class is not known: give it with "
            "place='module:Class', or choose how='attribute'"
        )
    return PLACES[layout, how]


def _run_worker(
    spec: dict, folder: Path, main_folder: Path, python: str, timeout_s: float | None
) -> str:
    spec_file = folder / "spec.json"
    spec_file.write_text(json.dumps(spec), encoding="utf-8")
    command = [python, "-m", "adapters.eanet.checkout.worker", str(spec_file)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        printed = error.stdout or ""
        printed = printed.decode(errors="replace") if isinstance(printed, bytes) else printed
        raise CheckoutError(
            f"{main_folder / spec['entry']} was stopped after {timeout_s:g} s. It printed last:\n"
            f"{_tail(printed)}"
        ) from None
    return done.stdout


def _read_report(path: Path, output: str) -> dict[str, Any]:
    if not path.is_file():
        raise CheckoutError(f"the checkout's process ended without a report:\n{_tail(output)}")
    return json.loads(path.read_text(encoding="utf-8"))


def raise_failure(seen: dict[str, Any], output: str) -> None:
    """Raise what stopped the checkout's process, if anything did.

    Raises:
        SwapError: The watch stopped it.
        CheckoutError: Anything else.
    """
    if seen["finished"]:
        return
    kind, _, message = seen["error"].partition(": ")
    if kind == "SwapError":
        raise SwapError(message)
    missing = seen.get("missing_packages")
    hint = f"\nNot installed here: {', '.join(missing)}." if missing else ""
    raise CheckoutError(
        f"the checkout failed: {seen['error']}{hint}\nIt printed last:\n{_tail(output)}"
    )


def _heads(network: Backbone | GestureNetwork, gesture_logits: str) -> str:
    if not isinstance(network, GestureNetwork):
        return "the backbone has none"
    return "came along" if gesture_logits == "logits" else "dropped by name"


def _require_proof(report: CheckoutReport, *, trains: bool) -> None:
    """A run that shows nothing about the backbone has not succeeded."""
    if trains and not report.steps:
        raise SwapError(
            f"{' '.join(report.entry)} took no optimiser step that this process saw, so nothing "
            "shows that the backbone trains. Did it begin after its last epoch?"
        )
    if not trains and not report.loaded:
        raise SwapError(
            f"{' '.join(report.entry)} loaded no snapshot that the backbone is in, so nothing "
            "shows that it came back"
        )


def _tail(output: str) -> str:
    return "\n".join(output.splitlines()[-_TAIL_LINES:])
