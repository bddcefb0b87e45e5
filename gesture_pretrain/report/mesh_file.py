"""Triangle meshes as Wavefront OBJ (text) and PLY (binary) files.

Vertices are in the camera frame: x right, y down, z away from the viewer. Most 3D programs have y
up and show such a hand upside down; rotate it by 180 degrees about x.
"""

from os import PathLike

import numpy as np

from gesture_pretrain.files import write_bytes_atomically

MESH_FORMATS = ("obj", "ply")


def write_mesh(
    path: str | PathLike,
    vertices_mm: np.ndarray,
    faces: np.ndarray,
    *,
    mesh_format: str = "obj",
    comment: str = "",
) -> None:
    """Write one mesh atomically.

    Args:
        path: Output file.
        vertices_mm: `(V, 3)`, mm, written without conversion.
        faces: `(F, 3)` vertex indices from 0.
        mesh_format: "obj" or "ply".
        comment: One line for the header of the file.

    Raises:
        ValueError: An unknown format, a wrong shape, or an index out of range.
        WriteFailed: The file could not be written.
    """
    if mesh_format not in MESH_FORMATS:
        raise ValueError(f"mesh format {mesh_format!r}; possible: {', '.join(MESH_FORMATS)}")
    vertices, faces = np.asarray(vertices_mm, np.float32), np.asarray(faces)
    _check(vertices, faces)
    content = {"obj": _obj, "ply": _ply}[mesh_format](vertices, faces, " ".join(comment.split()))
    write_bytes_atomically(path, content)


def _obj(vertices: np.ndarray, faces: np.ndarray, comment: str) -> bytes:
    lines = [f"# {comment}; mm; x right, y down, z away from the camera"]
    # 1e-4 mm is far below any measurement accuracy
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertices.tolist()]
    lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]  # OBJ counts from 1
    return ("\n".join(lines) + "\n").encode()


def _ply(vertices: np.ndarray, faces: np.ndarray, comment: str) -> bytes:
    head = (
        "ply\nformat binary_little_endian 1.0\n"
        f"comment {comment}; mm; x right, y down, z away from the camera\n"
        f"element vertex {len(vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.zeros(len(faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, faces
    return head.encode("ascii", "replace") + vertices.astype("<f4").tobytes() + rows.tobytes()


def _check(vertices: np.ndarray, faces: np.ndarray) -> None:
    for name, values in (("vertices_mm", vertices), ("faces", faces)):
        if values.ndim != 2 or values.shape[1] != 3 or len(values) == 0:
            raise ValueError(f"{name} has shape {values.shape}; expected (N, 3) with N above 0")
    if not np.isfinite(vertices).all():
        raise ValueError("vertices_mm contains values that are not finite")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"faces refer to vertices outside of 0 .. {len(vertices) - 1}")
