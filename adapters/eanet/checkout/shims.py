"""What EANet's published code needs to run with current packages, and without CUDA.

Each shim is applied only where it is needed, in the process that runs the checkout and nowhere
else, and is listed in the report with its reason. No file of the checkout is changed.
"""

import functools
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

# imported by the published code, partly missing from its list of requirements
IMPORTED_PACKAGES = ("cv2", "einops", "matplotlib", "numpy", "smplx", "timm", "torchvision", "tqdm")


class Shim(NamedTuple):
    """What was done about one thing.

    Attributes:
        name: Which thing.
        applied: False where the installed packages are fine as they are.
        reason: Why.
        effect: What was put in place; "" where nothing was.
    """

    name: str
    applied: bool
    reason: str
    effect: str = ""


def apply_shims() -> list[Shim]:
    """Make the published code run in this process; everything that was looked at is listed."""
    return [
        _model_urls(),
        _torchgeometry(),
        _boolean_subtraction(),
        _cuda_calls(),
    ]


def missing_packages() -> list[str]:
    """Packages that the published code imports and this installation lacks."""
    return [name for name in IMPORTED_PACKAGES if importlib.util.find_spec(name) is None]


def _model_urls() -> Shim:
    name = "torchvision.models.resnet.model_urls"
    import torchvision.models.resnet as resnet

    if hasattr(resnet, "model_urls"):
        return Shim(name, False, "torchvision has it")
    sizes = (18, 34, 50, 101, 152)
    resnet.model_urls = {
        f"resnet{n}": getattr(resnet, f"ResNet{n}_Weights").IMAGENET1K_V1.url for n in sizes
    }
    return Shim(
        name,
        True,
        "torchvision 0.13 removed it; the published code imports it",
        "a dictionary of the IMAGENET1K_V1 addresses; nothing is downloaded by it",
    )


def _torchgeometry() -> Shim:
    name = "torchgeometry"
    if importlib.util.find_spec(name) is not None:
        return Shim(name, False, "it is installed")
    stand_in = types.ModuleType(name)
    stand_in.rotation_matrix_to_angle_axis = angle_axis_of_matrix
    stand_in.angle_axis_to_rotation_matrix = matrix_of_angle_axis
    sys.modules[name] = stand_in
    return Shim(
        name,
        True,
        "it is not installed, and no longer maintained",
        "a module with rotation_matrix_to_angle_axis and angle_axis_to_rotation_matrix",
    )


def angle_axis_of_matrix(rotation_matrix: Tensor) -> Tensor:
    """(N, 3, 3) or (N, 3, 4) -> (N, 3) rad."""
    from eanet.rotation import axis_angle_from_matrix

    return axis_angle_from_matrix(rotation_matrix[:, :3, :3])


def matrix_of_angle_axis(angle_axis: Tensor) -> Tensor:
    """(N, 3) rad -> (N, 4, 4) homogeneous."""
    from gesture_pretrain.hand.rotation import matrix_from_axis_angle

    matrix = torch.eye(4).to(angle_axis).repeat(len(angle_axis), 1, 1)
    matrix[:, :3, :3] = matrix_from_axis_angle(angle_axis)
    return matrix


def _boolean_subtraction() -> Shim:
    """torchgeometry 0.1.2 negates masks by `1 - mask`, which torch 1.2 began to refuse."""
    name = "torchgeometry.boolean_subtraction"
    package = sys.modules.get("torchgeometry")
    if package is None and importlib.util.find_spec("torchgeometry") is not None:
        package = importlib.import_module("torchgeometry")
    function = getattr(package, "rotation_matrix_to_quaternion", None)
    if function is None:
        return Shim(name, False, "torchgeometry's own code is not in use")
    places = [module for key, module in sys.modules.items() if key.startswith("torchgeometry")]
    wrapped = with_boolean_subtraction(function)
    for module in places:
        if getattr(module, "rotation_matrix_to_quaternion", None) is function:
            module.rotation_matrix_to_quaternion = wrapped
    return Shim(
        name,
        True,
        "torchgeometry 0.1.2 computes 1 - mask with boolean masks, which torch refuses",
        "within rotation_matrix_to_quaternion, 1 - mask is the negated mask",
    )


def with_boolean_subtraction(function: Callable) -> Callable:
    """The same function, within which `1 - mask` negates a boolean tensor."""
    original = Tensor.__rsub__

    def subtract_from(self: Tensor, other):
        if self.dtype == torch.bool and other == 1:
            return ~self
        return original(self, other)

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        Tensor.__rsub__ = subtract_from
        try:
            return function(*args, **kwargs)
        finally:
            Tensor.__rsub__ = original

    return wrapped


def _cuda_calls() -> Shim:
    name = "cuda"
    if torch.cuda.is_available():
        return Shim(name, False, "CUDA is available")
    for cls in (Tensor, nn.Module):
        cls.cuda = _stay_on_cpu
        cls.to = to_without_cuda(cls.to)
    return Shim(
        name,
        True,
        "the published code calls .cuda() everywhere, and there is no CUDA device",
        ".cuda() and .to('cuda') of tensors and modules stay on the CPU",
    )


def _stay_on_cpu(self, *args, **kwargs):
    return self


def to_without_cuda(to: Callable) -> Callable:
    """The same method `to`, for which every CUDA device is the CPU."""

    def on_cpu(value):
        is_device = isinstance(value, str | torch.device)
        return "cpu" if is_device and str(value).startswith("cuda") else value

    @functools.wraps(to)
    def wrapped(self, *args, **kwargs):
        args = [on_cpu(value) for value in args]
        return to(self, *args, **{key: on_cpu(value) for key, value in kwargs.items()})

    return wrapped
