"""Architectures that are not in timm, by name: our own, registered ones, and those of packages.

A builder takes no argument and returns a network with random weights that either is a timm model
or defines `forward_levels(image)` and `feature_specs`. A package that announces a builder through
an entry point (see `gesture_pretrain.weights.registry`) is imported when its name is first used.
"""

from collections.abc import Callable
from functools import partial
from importlib.metadata import EntryPoint, entry_points

import timm
from torch import nn

from gesture_pretrain.models.small_hrnet import SmallHRNet

ENTRY_POINT_GROUP = "gesture_pretrain.backbones"


class BrokenPackage(ValueError):
    """An installed package announces an object that cannot be loaded."""


def hrnet_config(
    width: int,
    *,
    blocks: int,
    modules: tuple[int, int, int] = (1, 1, 1),
    stem_width: int = 64,
    stem_planes: int = 64,
    stem_blocks: int | None = None,
) -> dict:
    """Build timm's HRNet configuration for width C: branches of C, 2C, 4C and 8C channels.

    Args:
        width: C, the channels of the stride-4 branch.
        blocks: Residual blocks per branch in each module.
        modules: Multi-resolution modules in stages 2, 3, 4 (1, 4, 3 in HRNet-W18 and up).
        stem_width: Channels after the first convolution, at stride 2.
        stem_planes: Planes of the bottleneck blocks of stage 1, which output 4 times as many
            channels.
        stem_blocks: Bottleneck blocks of stage 1. Default: `blocks`.
    """
    stages = {
        f"stage{branches}": {
            "num_modules": count,
            "num_branches": branches,
            "block_type": "BASIC",
            "num_blocks": (blocks,) * branches,
            "num_channels": tuple(width << i for i in range(branches)),
            "fuse_method": "SUM",
        }
        for branches, count in zip((2, 3, 4), modules, strict=True)
    }
    stem = {
        "num_modules": 1,
        "num_branches": 1,
        "block_type": "BOTTLENECK",
        "num_blocks": (blocks if stem_blocks is None else stem_blocks,),
        "num_channels": (stem_planes,),
        "fuse_method": "SUM",
    }
    return {"stem_width": stem_width, "stage1": stem, **stages}


# Widths are multiples of 16, which fill the vector units of a CPU and the tensor cores of a GPU
ARCHS: dict[str, Callable[[], nn.Module]] = {
    "hrnet_w16_tiny": partial(
        SmallHRNet, hrnet_config(16, blocks=1, stem_width=16, stem_planes=16), final_channels=512
    ),
    "hrnet_w16_mini": partial(
        SmallHRNet,
        hrnet_config(16, blocks=2, stem_width=32, stem_planes=16, stem_blocks=1),
        final_channels=512,
    ),
    "hrnet_w32_mini": partial(
        SmallHRNet,
        hrnet_config(32, blocks=2, stem_width=32, stem_planes=16, stem_blocks=1),
        final_channels=1024,
    ),
}


def add_architecture(name: str, builder: Callable[[], nn.Module]) -> None:
    """Register an architecture for `build_backbone`.

    Raises:
        ValueError: The name contains a dot, or is already taken here or in timm.
    """
    if name in ARCHS or timm.is_model(name):
        owner = "gesture_pretrain" if name in ARCHS else "timm"
        raise ValueError(f"architecture {name!r} already exists in {owner}; choose another name")
    if "." in name:
        raise ValueError(f"architecture {name!r} contains a dot, which separates it from the tag")
    ARCHS[name] = builder


def is_architecture(name: str) -> bool:
    """Return whether `build_backbone` can build `name`. Imports the package that announces it."""
    if name in ARCHS or timm.is_model(name):
        return True
    points = announced(name)
    if len(points) > 1:
        packages = ", ".join(package_of(point) for point in points)
        raise ValueError(f"architecture {name!r} is announced by several packages: {packages}")
    for point in points:
        add_architecture(name, load_announced(point))
    return bool(points)


def timm_options(arch: str, size_px: int) -> dict:
    """Return options for `timm.create_model`: the image size, if the model has a fixed one."""
    config = timm.get_pretrained_cfg(arch, allow_unregistered=False)
    return {"img_size": size_px} if config.fixed_input_size else {}


def announced(name: str) -> list[EntryPoint]:
    """List the entry points of installed packages for an architecture or a set of weights."""
    return list(entry_points(group=ENTRY_POINT_GROUP, name=name))


def load_announced(point: EntryPoint) -> object:
    """Import a package and return the object that it announces.

    Raises:
        BrokenPackage: The package cannot be imported, or lacks the object.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise BrokenPackage(
            f"package {package_of(point)} announces {point.name!r} as {point.value}, which cannot "
            f"be loaded: {type(error).__name__}: {error}. Repair or uninstall that package; other "
            "names are not affected."
        ) from error


def package_of(point: EntryPoint) -> str:
    """Return the name of the package that an entry point belongs to."""
    return point.dist.name if point.dist is not None else point.value
