"""Use pycocotools as xtcocotools, which does not build on Python 3.13 and later.

mmpose imports its readers and metrics of COCO files from xtcocotools, an extension of pycocotools.
Reading works with either. What only xtcocotools has, such as the keypoint metric with sigmas of
your own, raises an error in pycocotools.
"""

import importlib
import importlib.util
import sys
import warnings

NAME = "xtcocotools"
_MODULES = ("coco", "cocoeval", "mask")


def has_coco_tools() -> bool:
    """Return whether `xtcocotools` can be imported."""
    return importlib.util.find_spec(NAME) is not None


def put_pycocotools() -> None:
    """Alias pycocotools as `xtcocotools` in this process, with a warning.

    Raises:
        ImportError: pycocotools is not installed.
    """
    package = importlib.import_module("pycocotools")
    found = {f"{NAME}.{name}": importlib.import_module(f"pycocotools.{name}") for name in _MODULES}
    sys.modules |= {NAME: package, **found}
    warnings.warn(
        "xtcocotools is not installed, so mmpose uses pycocotools in this process. Its COCO "
        "metrics for keypoints need xtcocotools, which builds on Python 3.12 and earlier.",
        stacklevel=2,
    )
