"""Triangle meshes as Wavefront OBJ (text) and PLY (binary) files.

Vertices are in the camera frame: x right, y down, z away from the viewer. Most 3D programs have y
up and show such a hand upside down; rotate it by 180 degrees about x. Both formats are too short to
justify a dependency on trimesh.
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
        ValueError: An unknown format, or vertices that are not finite.
        WriteFailed: The file could not be written.
    """
    if mesh_format not in MESH_FORMATS:
        raise ValueError(f"Unknown mesh format {mesh_format!r}. Known: {', '.join(MESH_FORMATS)}.")
    if not np.isfinite(vertices_mm).all():
        raise ValueError("vertices_mm contains values that are not finite.")
    vertices, encode = np.asarray(vertices_mm, np.float32), {"obj": _obj, "ply": _ply}[mesh_format]
    content = encode(vertices, np.asarray(faces), " ".join(comment.split()))
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
