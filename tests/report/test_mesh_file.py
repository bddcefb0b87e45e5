"""Meshes as files: what is read back is what was written."""

import numpy as np
import pytest

from gesture_pretrain.report.mesh_file import write_mesh

VERTICES = np.array([[0, 0, 0], [10.5, 0, 0], [0, -20.25, 0], [0, 0, 31.125]], np.float32)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def test_obj(tmp_path):
    write_mesh(tmp_path / "a.obj", VERTICES, FACES, comment="right hand\nof a.jpg")
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert lines[0].startswith("# right hand of a.jpg; mm;")
    read = {kind: [line.split()[1:] for line in lines if line[0] == kind] for kind in "vf"}
    np.testing.assert_array_equal(np.array(read["v"], np.float32), VERTICES)
    np.testing.assert_array_equal(np.array(read["f"], int), FACES + 1)


def test_ply(tmp_path):
    write_mesh(tmp_path / "a.ply", VERTICES, FACES, mesh_format="ply", comment="ünicode")
    head, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    assert head.decode("ascii").splitlines()[:2] == ["ply", "format binary_little_endian 1.0"]
    assert b"element vertex 4\n" in head and b"element face 4\n" in head
    np.testing.assert_array_equal(np.frombuffer(body[:48], "<f4").reshape(4, 3), VERTICES)
    rows = np.frombuffer(body[48:], [("count", "u1"), ("corners", "<i4", 3)])
    assert rows["count"].tolist() == [3] * 4
    np.testing.assert_array_equal(rows["corners"], FACES)


@pytest.mark.parametrize(
    ("vertices", "mesh_format", "message"),
    [(VERTICES, "stl", "'stl'.* obj, ply"), (VERTICES * np.nan, "obj", "not finite")],
)
def test_what_cannot_be_written_is_refused(tmp_path, vertices, mesh_format, message):
    with pytest.raises(ValueError, match=message):
        write_mesh(tmp_path / "a", vertices, FACES, mesh_format=mesh_format)
    assert not list(tmp_path.iterdir())
