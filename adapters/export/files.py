"""Atomic writing of tensor files for other libraries, after a check of their content."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from gesture_pretrain.files import temporary_folder, write_bytes_atomically, writing

PICKLED = (".pth", ".tar")
ENDINGS = (".safetensors", *PICKLED)


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    check: Callable[[Path], dict[str, Any]],
    *,
    pickled: Callable[[dict[str, Tensor]], dict] | None = None,
) -> dict[str, Any]:
    """Write tensors by name, after `check` has accepted a temporary file with the same bytes.

    Args:
        path: `.safetensors`, or `.pth` or `.tar` for torch's own format. An existing file is
            replaced.
        tensors: Tensors by name.
        check: Called with the temporary file; raises to refuse it.
        pickled: Makes the content of a `.pth` file from the tensors. Default: the tensors.

    Returns:
        The result of `check`.

    Raises:
        ValueError: The path has another ending.
        WriteFailed: Writing failed; an existing file is unchanged.
    """
    content = _bytes(path.suffix, tensors, pickled)
    with temporary_folder() as folder:
        trial = folder / path.name
        with writing(trial, len(content)):
            trial.write_bytes(content)
        result = check(trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomically(path, content)
    return result


def read_back(path: Path) -> dict[str, Any]:
    """Read back the contents written by `write_tensors`."""
    if path.suffix == ".safetensors":
        return safetensors.torch.load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _bytes(suffix: str, tensors: Mapping[str, Tensor], pickled) -> bytes:
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    if suffix == ".safetensors":
        return safetensors.torch.save(plain, metadata={"format": "pt"})
    if suffix in PICKLED:
        buffer = io.BytesIO()
        torch.save(plain if pickled is None else pickled(plain), buffer)
        return buffer.getvalue()
    raise ValueError(f"Weight files end in {' or '.join(ENDINGS)}, not {suffix!r}.")
