"""Reading a safetensors file and hashing it: the bytes hashed are the bytes of the tensors."""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.record import FileRecord


def read_tensors(path: Path, expected: FileRecord) -> dict[str, Tensor]:
    """The tensors of a file, by name.

    Args:
        path: A safetensors file.
        expected: Hash and size according to its card.

    Raises:
        WeightsError: The file is missing, is not the one expected, or is not a safetensors file.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path} does not exist, but its card names it. Copy the whole folder, or export the "
            "backbone again."
        )
    size = path.stat().st_size
    content = path.read_bytes() if size == expected.size_bytes else b""
    if hashlib.sha256(content).hexdigest() != expected.sha256 or size != expected.size_bytes:
        raise WeightsError(
            f"{path} is not the file its card describes: its SHA-256 or size differs (expected "
            f"SHA-256 {expected.sha256}, {expected.size_bytes} bytes; found {size} bytes). It was "
            "changed or copied in part: copy the folder again, or export again."
        )
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError, OverflowError) as error:
        raise WeightsError(
            f"{path} is the file its card describes, but not a safetensors file ({error}). Export "
            "the backbone again."
        ) from error


def require_usable(tensors: dict[str, Tensor], name: str) -> None:
    """Refuse tensors that no training leaves behind.

    Raises:
        WeightsError: A value is not finite, or all of them are zero.
    """
    floats = {key: tensor for key, tensor in tensors.items() if tensor.is_floating_point()}
    broken = [key for key, tensor in floats.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(
            f"the weights of {name} hold NaN or infinity, first in {broken[0]}. Export an earlier "
            "checkpoint."
        )
    if floats and not any(tensor.any() for tensor in floats.values()):
        raise WeightsError(f"all weights of {name} are zero. Export the network again.")
