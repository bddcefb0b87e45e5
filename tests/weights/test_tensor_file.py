"""Reading a safetensors file in one pass: its tensors, its hash, and every damaged header."""

import hashlib
import json

import pytest
import safetensors.torch
import torch

from gesture_pretrain.weights.tensor_file import NotATensorFile, read_tensors


def _file(path, header: dict | bytes, data: bytes = b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def _entry(shape, start, end, dtype="F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_equal_to_the_library_and_with_the_hash_of_the_file(tmp_path):
    path = tmp_path / "some.safetensors"
    values = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "flag": torch.tensor([True, False, True]),
        **{str(d): values.to(d) for d in (torch.float64, torch.float16, torch.bfloat16)},
        **{f"i{d}": values.to(d) for d in (torch.int32, torch.int16, torch.int8, torch.uint8)},
    }
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    record, found = read_tensors(path)
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record.size_bytes == path.stat().st_size
    expected = safetensors.torch.load_file(path)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def test_every_tensor_has_memory_of_its_own(tmp_path):
    """Saving one of them must not save all of them."""
    path = tmp_path / "two.safetensors"
    safetensors.torch.save_file({"a": torch.ones(5), "b": torch.ones(7)}, path)
    tensors = read_tensors(path)[1]
    assert tensors["a"].untyped_storage().nbytes() == 20


DAMAGED = {
    "gap": ({"a": _entry([1], 0, 4), "b": _entry([1], 8, 12)}, bytes(12), "where the one before"),
    "overlap": ({"a": _entry([2], 0, 8), "b": _entry([1], 4, 8)}, bytes(8), "where the one before"),
    "size": ({"a": _entry([3], 0, 8)}, bytes(8), "has 8 bytes"),
    "negative": ({"a": _entry([-1, -2], 0, 8)}, bytes(8), "where the one before"),
    "dtype": ({"a": _entry([1], 0, 1, "F8")}, bytes(1), "dtype 'F8'"),
    "short": ({"a": _entry([1 << 40], 0, 1 << 42)}, bytes(8), "end at"),
    "long": ({"a": _entry([1], 0, 4)}, bytes(9), "end at 4"),
    "data without tensors": ({}, bytes(4), "end at 0"),
    "no json": (b"{", b"", "cannot be read"),
    "list": (b"[]", b"", "cannot be read"),
    "no shape": (b'{"a": {"dtype": "F32"}}', b"", "cannot be read"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_file_is_described_and_hashed_whole(case, tmp_path):
    header, data, message = DAMAGED[case]
    path = _file(tmp_path / "damaged.safetensors", header, data)
    record, problem = read_tensors(path)
    assert isinstance(problem, NotATensorFile)
    assert message in str(problem)
    assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record.size_bytes == path.stat().st_size


@pytest.mark.parametrize("content", [b"", b"abc", (1 << 50).to_bytes(8, "little") + b"{}"])
def test_no_header(content, tmp_path):
    path = tmp_path / "torn.safetensors"
    path.write_bytes(content)
    record, problem = read_tensors(path)
    assert isinstance(problem, NotATensorFile)
    assert record.sha256 == hashlib.sha256(content).hexdigest()
