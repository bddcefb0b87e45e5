"""The process in which a checkout of EANet runs: `python -m adapters.eanet.checkout.worker SPEC`.

Started by `adapters.eanet.checkout.driver`; SPEC is a JSON file that it wrote.
"""

import importlib
import json
import os
import runpy
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adapters.eanet.checkout.backbone import checkout_backbone, unpack_network
from adapters.eanet.checkout.shims import apply_shims, missing_packages
from adapters.eanet.checkout.watch import CheckoutWatch


def main(spec_file: str) -> int:
    """Run what the specification asks for and write its report."""
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    report: dict[str, Any] = {"finished": False}
    try:
        _drive(spec, report)
        report["finished"] = True
    except SystemExit as stop:
        report["finished"] = stop.code in (None, 0)
        report["error"] = None if report["finished"] else f"it left with status {stop.code}"
    except Exception as error:
        report["error"] = f"{type(error).__name__}: {error}"
        traceback.print_exc()
    Path(spec["report"]).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0 if report["finished"] else 1


def _drive(spec: dict[str, Any], report: dict[str, Any]) -> None:
    sys.dont_write_bytecode = True  # nothing is written among the checkout's files
    report["missing_packages"] = missing_packages()
    report["shims"] = [shim._asdict() for shim in apply_shims()]
    packed = torch.load(spec["network"], map_location="cpu", weights_only=True)
    backbone = checkout_backbone(
        unpack_network(packed),
        layout=spec["layout"],
        gesture_logits=spec["gesture_logits"],
        allow_projection=spec["allow_projection"],
        input_normalisation=spec["input_normalisation"],
        seed=spec["seed"],
    )
    main_folder = Path(spec["main_folder"])
    os.chdir(main_folder)
    sys.path.insert(0, str(main_folder))
    swap_in(backbone, spec["place"], spec["how"])
    watch = CheckoutWatch(backbone)
    watch.start()
    sys.argv = [str(main_folder / spec["entry"]), *spec["arguments"]]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        watch.stop()
        report["steps"] = watch.steps
        report["first_step"] = watch.first_step
        report["saved"], report["loaded"] = watch.saved, watch.loaded


def swap_in(backbone: nn.Module, place: str, how: str) -> None:
    """Put the backbone into a checkout whose main folder is on the path.

    Args:
        backbone: The replacement.
        place: "module:name". `how="class"`: of the backbone's class where the model is built.
            `how="attribute"`: of the function that builds the model, then a colon and the model's
            attribute that holds the backbone: "model:get_model:hand_backbone".
        how: "class" or "attribute".

    Raises:
        LookupError: There is no such name.
    """
    module_name, *names = place.split(":")
    module = importlib.import_module(module_name)
    if not hasattr(module, names[0]):
        public = ", ".join(sorted(n for n in vars(module) if not n.startswith("_"))[:30])
        raise LookupError(
            f"module {module_name} of the checkout has no {names[0]}; it has {public}"
        )
    if how == "class":
        setattr(module, names[0], lambda *args, **kwargs: backbone)
        return
    build = getattr(module, names[0])
    setattr(module, names[0], _replacing(build, names[1], backbone))


def _replacing(build: Callable, attribute: str, backbone: nn.Module) -> Callable:
    def build_and_replace(*args, **kwargs):
        model = build(*args, **kwargs)
        place_in_model(model, attribute, backbone)
        return model

    return build_and_replace


def place_in_model(model: nn.Module, attribute: str, backbone: nn.Module) -> None:
    """Replace a model's backbone, and its entry in the list that the optimiser is built from.

    A model without such a list is taken as it is; the first step then shows what is trained.

    Raises:
        LookupError: The model has no such attribute, or a list without it.
    """
    old = getattr(model, attribute, None)
    if not isinstance(old, nn.Module):
        raise LookupError(f"the checkout's model has no module {attribute!r}")
    modules = getattr(model, "trainable_modules", None)
    if modules is not None and not any(entry is old for entry in modules):
        raise LookupError(
            f"the checkout's list trainable_modules lacks its {attribute}; replacing the attribute "
            "alone would leave the new backbone untrained"
        )
    setattr(model, attribute, backbone)
    if modules is not None:
        modules[:] = [backbone if entry is old else entry for entry in modules]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
