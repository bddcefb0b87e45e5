"""A forearm behind the hand mesh, for images only, because hand models end in an open ring.

The 16 vertices of that ring are extruded backwards in five widening rings, bent a little, so that
an image does not show a hollow cut wrist. The right hand's frame is assumed: the arm lies towards
+x.
"""

import numpy as np

from gesture_pretrain.geometry.axis_angle import rodrigues

# The open boundary of a MANO-format mesh, in order around the wrist
WRIST_LOOP = (92, 38, 122, 118, 117, 119, 120, 108, 79, 78, 121, 214, 215, 279, 239, 234)
_DISTANCES_M = np.array([0.025, 0.070, 0.130, 0.200, 0.420])
_SCALES_YZ = np.array([[1.0, 1.0], [1.04, 1.0], [1.15, 1.08], [1.35, 1.25], [1.6, 1.5]])
_BENT_SHARE = np.minimum(np.arange(1, 6) / 2.5, 1.0)  # the bend is complete at ring 2.5
_SLEEVE_SCALE = 1.10
NUM_FOREARM_VERTICES = len(WRIST_LOOP) * len(_DISTANCES_M)


def with_forearm_faces(faces: np.ndarray, num_vertices: int) -> np.ndarray:
    """Return faces of the right hand, then two per quad of the forearm."""
    loop = np.array([WRIST_LOOP, *(num_vertices + 16 * k + np.arange(16) for k in range(5))])
    near, far = loop[:-1], loop[1:]
    near_next, far_next = np.roll(near, -1, axis=1), np.roll(far, -1, axis=1)
    lower = np.stack([near, near_next, far_next], axis=-1).reshape(-1, 3)
    upper = np.stack([near, far_next, far], axis=-1).reshape(-1, 3)
    return np.concatenate([np.asarray(faces, np.int64), lower, upper])


def with_forearm(
    vertices_m: np.ndarray,
    *,
    bend_rad: tuple[float, float] = (0.0, 0.0),
    sleeve_from_m: float | None = None,
) -> np.ndarray:
    """Append 5 x 16 vertices of the forearm to those of the hand.

    Args:
        vertices_m: (V, 3) right hand with unrotated wrist (zero global rotation), metres.
        bend_rad: Bend of the wrist about z (up and down) and about y (sideways).
        sleeve_from_m: Where cloth begins behind the wrist; rings beyond it are a little wider.

    Returns:
        (V + 80, 3) metres.
    """
    ring = vertices_m[list(WRIST_LOOP)]
    centre = ring.mean(axis=0)
    start, rings = centre.copy(), []
    previous_m = 0.0
    for distance, scale, share in zip(_DISTANCES_M, _SCALES_YZ, _BENT_SHARE, strict=True):
        about_z, about_y = share * bend_rad[0], share * bend_rad[1]
        turn = rodrigues([0.0, 0.0, about_z]) @ rodrigues([0.0, about_y, 0.0])
        start = start + turn @ np.array([distance - previous_m, 0.0, 0.0])
        previous_m = distance
        clothed = sleeve_from_m is not None and distance > sleeve_from_m
        section = (ring - centre) * np.array([0.0, *scale]) * (_SLEEVE_SCALE if clothed else 1.0)
        rings.append(start + section @ turn.T)
    return np.concatenate([vertices_m, *rings])
