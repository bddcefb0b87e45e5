"""JSON and npz files of unknown origin: one error, that names the file, and bounded memory."""

import json
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

from gesture_pretrain.files.json_file import read_json
from gesture_pretrain.files.npz_file import read_npz
from gesture_pretrain.schema import STRICT, validated


class Fault(ValueError):
    """The error of these tests."""


@dataclass
class Card:
    """A small schema."""

    name: str
    sizes: list[int]

    __pydantic_config__ = STRICT


DEEP = (b"[" * 100_000, b'{"a": ' * 100_000)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[NaN]", b"[-Infinity]", b"9" * 5000, *DEEP]
)
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(Fault, match="a.json: not JSON"):
        read_json(path, Fault)


def test_missing_and_large_json_is_not_read(tmp_path):
    with pytest.raises(Fault, match="a.json"):
        read_json(tmp_path / "a.json", Fault)
    (tmp_path / "a.json").write_text("[1, 2, 3]")
    with pytest.raises(Fault, match="9 bytes"):
        read_json(tmp_path / "a.json", Fault, largest_bytes=8)


def test_sound_values_are_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"name": "é", "sizes": [1]}))
    assert validated(Card, read_json(tmp_path / "a.json", Fault), "", Fault) == Card("é", [1])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_damaged_npz_is_named(tmp_path, method):
    """Damage to the data, checksum, header or zip directory raises errors of different classes."""
    path = tmp_path / "a.npz"
    np.savez(tmp_path / "stored.npz", a=np.arange(100.0), b=np.ones(3))
    with zipfile.ZipFile(tmp_path / "stored.npz") as stored, zipfile.ZipFile(path, "w") as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name), method)
    content = path.read_bytes()
    assert set(read_npz(path, Fault)) == {"a", "b"}
    assert set(read_npz(path, Fault, names=["a"])) == {"a"}
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            read_npz(path, Fault)
        except Fault as error:
            assert "a.npz" in str(error)


def test_objects_and_bombs_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    with pytest.raises(Fault, match="a.npz"):
        read_npz(tmp_path / "a.npz", Fault)
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "|u1", "fortran_order": False, "shape": (300 << 20,)}
            )
            for _ in range(300):
                file.write(bytes(1 << 20))
    with pytest.raises(Fault, match="unpack"):
        read_npz(tmp_path / "b.npz", Fault)
