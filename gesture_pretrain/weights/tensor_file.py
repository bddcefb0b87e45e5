"""Safetensors files whose bytes are verified by their hash."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from gesture_pretrain.files import write_bytes_atomically
from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.record import FileRecord


def read_tensors(path: Path, expected: FileRecord) -> dict[str, Tensor]:
    """Read the tensors of a file, by name; those in half precision are converted to float32.

    Args:
        path: A safetensors file.
        expected: Hash and size according to the card.

    Raises:
        WeightsError: The file is missing, differs from the card, or is not a safetensors file.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path} is listed in the card but does not exist. Copy the whole folder, or export "
            "the backbone again."
        )
    size = path.stat().st_size
    content = path.read_bytes() if size == expected.size_bytes else b""
    if hashlib.sha256(content).hexdigest() != expected.sha256 or size != expected.size_bytes:
        raise WeightsError(
            f"{path} does not match its card: its SHA-256 or size differs (expected SHA-256 "
            f"{expected.sha256}, {expected.size_bytes} bytes; found {size} bytes). It was modified "
            "or only partly copied. Copy the folder again, or export the backbone again."
        )
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError, OverflowError) as error:
        raise WeightsError(
            f"{path} matches its card but is not a safetensors file ({error}). Export the backbone "
            "again."
        ) from error
    return {name: t.float() if t.dtype == torch.float16 else t for name, t in tensors.items()}


def write_half_precision(tensors: Mapping[str, Tensor], path: Path) -> FileRecord:
    """Write tensors: matrices and kernels in half precision, the others unchanged.

    Biases and the statistics of normalisation layers take little space and stay in float32.

    Raises:
        ValueError: A value exceeds the range of half precision.
    """
    half = {
        name: t.half() if t.is_floating_point() and t.ndim > 1 else t for name, t in tensors.items()
    }
    for name, tensor in half.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} has values outside of half precision: more than 65504")
    return write_tensors(half, path)


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> FileRecord:
    """Write tensors atomically, on the CPU and contiguous; return hash and size for the card."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Use a single metadata key: safetensors writes several in varying order
    content = safetensors.torch.save(plain, metadata={"format": "pt"})
    write_bytes_atomically(path, content)
    return FileRecord(hashlib.sha256(content).hexdigest(), len(content))


def require_usable(tensors: dict[str, Tensor], name: str) -> None:
    """Raise for tensors that cannot be the result of training.

    Raises:
        WeightsError: A value is not finite, or all values are zero.
    """
    floats = {key: tensor for key, tensor in tensors.items() if tensor.is_floating_point()}
    broken = [key for key, tensor in floats.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(
            f"the weights of {name} contain NaN or infinity, first in {broken[0]}. Export an "
            "earlier checkpoint."
        )
    if floats and not any(tensor.any() for tensor in floats.values()):
        raise WeightsError(f"all weights of {name} are zero. Export the network again.")
