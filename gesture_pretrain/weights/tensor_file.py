"""Reading a safetensors file and hashing it in the same pass.

Every byte is read once, straight into the memory of its tensor, and hashed there: the bytes whose
hash is checked are the bytes of the tensors. Layout: length of the header (8 bytes, little endian),
header (JSON: name -> dtype, shape, data_offsets), then the tensors without gaps.
"""

import hashlib
import json
import math
import os
from pathlib import Path

import torch
from torch import Tensor

from gesture_pretrain.weights.record import FileRecord

_BLOCK_BYTES = 1 << 20
_LONGEST_HEADER_BYTES = 100_000_000  # the format's own limit
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class NotATensorFile(ValueError):
    """The bytes do not have the layout of a safetensors file."""


def read_tensors(path: Path) -> tuple[FileRecord, dict[str, Tensor] | NotATensorFile]:
    """Hash, size and tensors of a file.

    Returns:
        The record of all its bytes; and the tensors by name, each with memory of its own, or what
        is wrong with the file. A damaged file thus has a hash too, which says more.

    Raises:
        FileNotFoundError: There is no such file.
    """
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            tensors = _tensors(file, size, digest)
        except NotATensorFile as error:
            tensors = error
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        return FileRecord(digest.hexdigest(), file.tell()), tensors


def _tensors(file, size: int, digest) -> dict[str, Tensor]:
    length = int.from_bytes(_hashed(file, bytearray(8), digest), "little")
    if length > min(_LONGEST_HEADER_BYTES, size - 8):
        raise NotATensorFile(f"its header would have {length} bytes")
    entries = _entries(_hashed(file, bytearray(length), digest))
    end, data = (entries[-1][-1] if entries else 0), size - 8 - length
    if end != data:
        raise NotATensorFile(f"its tensors end at {end}, its data at {data}")
    return {name: _tensor(file, dtype, shape, digest) for name, dtype, shape, _ in entries}


def _entries(header: bytearray) -> list[tuple[str, torch.dtype, list[int], int]]:
    """Name, dtype, shape and end of each tensor, in the order of the file."""
    try:
        described = json.loads(bytes(header))
        described.pop("__metadata__", None)
        entries = sorted(
            (*map(int, value["data_offsets"]), name, value["dtype"], list(map(int, value["shape"])))
            for name, value in described.items()
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotATensorFile(f"its header cannot be read ({error!r})") from error
    position, found = 0, []
    for entry in entries:
        found.append(_checked(position, *entry))
        position = entry[1]
    return found


def _checked(position: int, start: int, end: int, name: str, kind: str, shape: list[int]):
    dtype = _DTYPES.get(kind)
    if dtype is None:
        raise NotATensorFile(f"{name} has dtype {kind!r}; known: {', '.join(_DTYPES)}")
    if start != position or min(shape, default=0) < 0:
        raise NotATensorFile(f"{name} of shape {shape} does not start where the one before ends")
    if end - start != math.prod(shape) * dtype.itemsize:
        raise NotATensorFile(f"{name} of shape {shape} and dtype {kind} has {end - start} bytes")
    return name, dtype, shape, end


def _tensor(file, dtype: torch.dtype, shape: list[int], digest) -> Tensor:
    tensor = torch.empty(shape, dtype=dtype)
    if tensor.numel():
        _hashed(file, tensor.reshape(-1).view(torch.uint8).numpy(), digest)
    return tensor


def _hashed(file, memory, digest):
    """Fill `memory` from the file and add it to the hash."""
    view, filled = memoryview(memory), 0
    while filled < len(view):
        count = file.readinto(view[filled:])
        if not count:
            digest.update(view[:filled])
            raise NotATensorFile("it ends too early")
        filled += count
    digest.update(view)
    return memory
