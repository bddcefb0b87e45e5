"""Reading a safetensors file: its tensors, and everything that its card does not describe."""

import hashlib

import pytest
import safetensors.torch
import torch

from gesture_pretrain.weights.errors import WeightsError
from gesture_pretrain.weights.record import FileRecord
from gesture_pretrain.weights.tensor_file import read_tensors


def _record(path) -> FileRecord:
    content = path.read_bytes()
    return FileRecord(hashlib.sha256(content).hexdigest(), len(content))


def test_each_tensor_has_its_values_and_memory_of_its_own(tmp_path):
    path = tmp_path / "two.safetensors"
    stored = {"a": torch.arange(5.0), "b": torch.ones(7, dtype=torch.bfloat16)}
    safetensors.torch.save_file(stored, path)
    found = read_tensors(path, _record(path))
    assert all(torch.equal(found[name], tensor) for name, tensor in stored.items())
    assert found["a"].untyped_storage().nbytes() == 20  # saving one must not save both


@pytest.mark.parametrize("content", [b"", b"abc", (1 << 50).to_bytes(8, "little") + b"{}"])
def test_damage_is_told_from_a_change(content, tmp_path):
    path = tmp_path / "torn.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        read_tensors(path, _record(path))
    for other in (FileRecord("a" * 64, len(content)), FileRecord("a" * 64, 1 << 60)):
        with pytest.raises(WeightsError, match="SHA-256"):
            read_tensors(path, other)
