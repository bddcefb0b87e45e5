"""Import of mmpose's models where not all of mmpose's requirements can be installed.

Importing `mmpose.models` imports names from `mmcv.ops`, the compiled half of mmcv that mmcv-lite
lacks, and from xtcocotools, which does not build on Python 3.13 and later. Most models use neither.
With `stand_in_ops=True`, this process gets a stand-in for what is missing, with a warning.
"""

import importlib
import importlib.util
import sys
import warnings
from types import ModuleType

from torch import nn

OPS, COCO = "mmcv.ops", "xtcocotools"


class OpsStandIn(ModuleType):
    """A module whose attributes are all classes that raise when they are used."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(self, *args, **kwargs):
            raise ImportError(
                f"mmcv.ops.{name} is used here, but this mmcv has no compiled operations. Install "
                "mmcv instead of mmcv-lite: mim install 'mmcv>=2.0'."
            )

        stand_in = type(name, (nn.Module,), {"__init__": refuse, "__module__": OPS})
        setattr(self, name, stand_in)
        return stand_in


def import_mmpose_models(*, stand_in_ops: bool) -> None:
    """Import `mmpose.models`, which fills mmpose's registries.

    Raises:
        ImportError: mmpose, mmcv's compiled operations or xtcocotools are not installed, and
            stand-ins are not allowed.
    """
    missing = [name for name in (OPS, COCO) if not is_installed(name)]
    if missing and not stand_in_ops:
        raise ImportError(
            f"mmpose.models imports {' and '.join(missing)}, which this installation lacks. "
            "Install mmcv instead of mmcv-lite, and xtcocotools (Python 3.12 or earlier), or pass "
            "stand_in_ops=True: what is missing then raises only when it is used."
        )
    for name in missing:
        {OPS: put_ops_stand_in, COCO: put_pycocotools}[name]()
    import mmpose.models  # noqa: F401


def is_installed(name: str) -> bool:
    """Return whether `OPS` or `COCO`, or a stand-in for it, can be imported."""
    if sys.modules.get(name) is not None:
        return True
    return importlib.util.find_spec("mmcv._ext" if name == OPS else name) is not None


def put_ops_stand_in() -> None:
    """Put a stand-in for `mmcv.ops` into this process, with a warning."""
    import mmcv

    stand_in = OpsStandIn(OPS, "Stand-in: every name is a class that raises when it is used.")
    sys.modules[OPS] = mmcv.ops = stand_in
    warnings.warn(
        "mmcv has no compiled operations (mmcv-lite). mmcv.ops is a stand-in for this process; its "
        "classes raise ImportError when used.",
        stacklevel=2,
    )


def put_pycocotools() -> None:
    """Alias pycocotools, which xtcocotools extends, as xtcocotools, with a warning."""
    package = importlib.import_module("pycocotools")
    parts = ("coco", "cocoeval", "mask")
    found = {f"{COCO}.{name}": importlib.import_module(f"pycocotools.{name}") for name in parts}
    sys.modules |= {COCO: package, **found}
    warnings.warn(
        "xtcocotools is not installed, so mmpose uses pycocotools in this process. mmpose's COCO "
        "metrics for keypoints require xtcocotools, which builds on Python 3.12 and earlier.",
        stacklevel=2,
    )
