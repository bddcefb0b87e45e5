"""CPU ray tracing of triangle meshes, for rendered data and overlays.

Embree computes the ray intersections; numpy shades only pixels that hit a surface. Shading uses
linear RGB in [0, 1]; sRGB values of an image are their square root (gamma 2). Pixel centres have
integer coordinates.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene

# Light wraps around the terminator, furthest in red: a cheap stand-in for scattering in skin
SKIN_WRAP = np.array([0.28, 0.12, 0.06], np.float32)


class Hits(NamedTuple):
    """Intersections of N rays. A ray that misses has face -1 and undefined other values."""

    face: np.ndarray  # (N,) int32
    u: np.ndarray  # (N,) weight of the face's second corner
    v: np.ndarray  # (N,) weight of the face's third corner
    distance: np.ndarray  # (N,) in units of the ray's direction vector


class TracedMesh:
    """A mesh prepared for ray tracing.

    Args:
        vertices_m: (V, 3) metres, in the frame of the rays.
        faces: (F, 3) vertex indices with any winding.
    """

    def __init__(self, vertices_m: np.ndarray, faces: np.ndarray):
        self._device = EmbreeDevice()
        self._scene = EmbreeScene(self._device)
        vertices = np.ascontiguousarray(vertices_m, dtype=np.float32)
        TriangleMesh(self._scene, vertices, np.ascontiguousarray(faces, dtype=np.int32))

    def hits(self, origins_m: np.ndarray, directions: np.ndarray) -> Hits:
        """Find the first intersection of each ray; both arguments (N, 3) float32."""
        found = self._scene.run(origins_m, directions, output=1)
        return Hits(found["primID"], found["u"], found["v"], found["tfar"])

    def is_free(self, origins_m: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Return (N,) bool, whether a ray hits nothing; both arguments (N, 3) float32."""
        return self._scene.run(origins_m, directions, query="OCCLUDED") < 0


class Lighting(NamedTuple):
    """Ambient light and L distant lights.

    Ambient light is a sky and ground hemisphere plus K broad lobes. A lobe's irradiance is
    ``((1 + n.d) / 2) ** 2``, so together they are spherical harmonics up to the second degree.
    """

    up: np.ndarray  # (3,) unit vector towards the sky
    sky_rgb: np.ndarray  # (3,) linear radiance from above
    ground_rgb: np.ndarray  # (3,) from below
    directions: np.ndarray  # (L, 3) unit vectors towards the lights
    colours_rgb: np.ndarray  # (L, 3) linear
    lobe_directions: np.ndarray | None = None  # (K, 3) unit vectors
    lobe_colours_rgb: np.ndarray | None = None  # (K, 3) linear

    def digest(self) -> str:
        """Hash all values."""
        values = (np.asarray(value) for value in self if value is not None)
        return hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()[:16]

    def ambient_rgb(self, normals: np.ndarray) -> np.ndarray:
        """Compute linear ambient light (N, 3) on surfaces with unit normals (N, 3)."""
        half = (0.5 + 0.5 * (normals @ self.up))[:, None].astype(np.float32)
        light = self.ground_rgb + half * (self.sky_rgb - self.ground_rgb)
        if self.lobe_directions is not None:
            lobes = np.square(0.5 + 0.5 * (normals @ self.lobe_directions.T))
            light += (lobes @ self.lobe_colours_rgb).astype(np.float32)
        return light


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Compute area-weighted unit normals (V, 3), float32, of a counter-clockwise mesh."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    spread = np.repeat(normals, 3, axis=0)
    summed = np.stack(
        [np.bincount(faces.ravel(), spread[:, k], len(vertices)) for k in range(3)], axis=-1
    )
    length = np.linalg.norm(summed, axis=-1, keepdims=True)
    return (summed / np.maximum(length, 1e-20)).astype(np.float32)


def interpolate(values: np.ndarray, faces: np.ndarray, hits: Hits) -> np.ndarray:
    """Interpolate vertex values (V, C) at the hit points: (N, C)."""
    corners = faces[hits.face]
    u, v = hits.u[:, None], hits.v[:, None]
    first, second, third = (values[corners[:, k]] for k in range(3))
    return first + u * (second - first) + v * (third - first)


def pixel_rays(
    columns: np.ndarray, rows: np.ndarray, focal_px: np.ndarray, princpt_px: np.ndarray
) -> np.ndarray:
    """Compute camera-frame directions (N, 3), float32, with z = 1, so that distance is depth."""
    x = (columns - princpt_px[0]) / focal_px[0]
    y = (rows - princpt_px[1]) / focal_px[1]
    return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)


def shade(
    *,
    albedo_rgb: np.ndarray,
    normals: np.ndarray,
    to_camera: np.ndarray,
    lighting: Lighting,
    lights_free: Sequence[np.ndarray],
    openness: np.ndarray | None = None,
    gloss: np.ndarray | None = None,
) -> np.ndarray:
    """Shade N surface points in linear RGB (N, 3): wrapped diffuse plus Blinn-Phong highlight.

    Args:
        albedo_rgb: (N, 3) linear.
        normals: (N, 3) unit, in the frame of the lights.
        to_camera: (N, 3) unit vectors towards the camera.
        lighting: Ambient and distant lights.
        lights_free: For each of the first lights, (N,) bool, whether it reaches the point. The
            other lights cast no shadows.
        openness: (N, 1) fraction of ambient light that reaches the point. Default: 1.
        gloss: (N,) in [0, 1], from skin (0) to nail (1). Default: 0.
    """
    light = lighting.ambient_rgb(normals)
    if openness is not None:
        light *= openness
    highlight = np.zeros((len(normals), 3), np.float32)
    for index, (direction, colour) in enumerate(
        zip(lighting.directions, lighting.colours_rgb, strict=True)
    ):
        cosine = (normals @ direction)[:, None]
        reach = lights_free[index][:, None] if index < len(lights_free) else 1.0
        light += np.maximum((cosine + SKIN_WRAP) / (1 + SKIN_WRAP), 0.0) * (colour * reach)
        strength = _highlight(normals, to_camera, direction, gloss) * (cosine[:, 0] > 0)
        highlight += strength[:, None] * (colour * reach)
    return albedo_rgb * light + highlight


def _highlight(normals, to_camera, direction, gloss) -> np.ndarray:
    """Compute Blinn-Phong strength (N,): wide and weak on skin, narrow and strong on nails."""
    middle = to_camera + direction
    middle_length = np.sqrt(np.einsum("nk,nk->n", middle, middle))
    cosine = np.einsum("nk,nk->n", normals, middle) / np.maximum(middle_length, 1e-6)
    power_2 = np.square(np.maximum(cosine, 0.0))
    power_8 = np.square(np.square(power_2))
    power_32 = np.square(np.square(power_8))
    skin = 0.10 * power_32
    if gloss is None:
        return skin
    return skin + gloss * (0.45 * np.square(power_32) - skin)


def render_mesh(
    vertices_cam_m: np.ndarray,
    faces: np.ndarray,
    focal_px: np.ndarray,
    princpt_px: np.ndarray,
    size_wh: tuple[int, int],
    *,
    colour_rgb: tuple[int, int, int] = (205, 176, 160),
    supersample: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Render one or more meshes for overlays, lit from the upper left of the camera.

    Args:
        vertices_cam_m: (V, 3) camera frame, metres.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside.
        focal_px: (2,) focal lengths.
        princpt_px: (2,) principal point.
        size_wh: Width and height of the image.
        colour_rgb: sRGB colour of the surface.
        supersample: Rays per pixel and axis.

    Returns:
        (H, W, 3) uint8 sRGB, black in the background, and (H, W) float32 coverage in [0, 1]. An
        overlay is ``rendering + (1 - coverage) * image``.

    Raises:
        ValueError: If a vertex is not in front of the camera, or an argument has another shape.
    """
    vertices = _checked_vertices(vertices_cam_m, focal_px, princpt_px, supersample)
    faces = np.asarray(faces, dtype=np.int64)
    width, height = size_wh
    fine = supersample * np.array([width, height])
    columns, rows = (index.ravel() for index in np.meshgrid(np.arange(fine[0]), np.arange(fine[1])))
    to_pixel = (np.stack([columns, rows]) + 0.5) / supersample - 0.5
    rays = pixel_rays(to_pixel[0], to_pixel[1], np.asarray(focal_px), np.asarray(princpt_px))
    mesh = TracedMesh(vertices, faces)
    found = mesh.hits(np.zeros_like(rays), rays)
    seen = np.flatnonzero(found.face >= 0)
    found, rays = Hits(*(field[seen] for field in found)), rays[seen]
    normals = unit(interpolate(vertex_normals(vertices, faces), faces, found))
    to_camera = -unit(rays)
    lighting = _camera_light()
    points = rays * found.distance[:, None] + 0.002 * normals
    lamp = np.broadcast_to(lighting.directions[0], points.shape)
    free = mesh.is_free(points, np.ascontiguousarray(lamp)) if len(seen) else np.zeros(0, bool)
    linear = shade(
        albedo_rgb=np.square(np.array(colour_rgb, np.float32) / 255),
        normals=normals,
        to_camera=to_camera,
        lighting=lighting,
        lights_free=[free],
    )
    layer = np.zeros((fine[1] * fine[0], 4), np.float32)
    layer[seen, :3] = 255 * np.sqrt(np.clip(linear, 0.0, 1.0))
    layer[seen, 3] = 1.0
    layer = cv2.resize(
        layer.reshape(fine[1], fine[0], 4), (width, height), interpolation=cv2.INTER_AREA
    )
    return np.rint(layer[..., :3]).astype(np.uint8), layer[..., 3]


def _checked_vertices(vertices_cam_m, focal_px, princpt_px, supersample) -> np.ndarray:
    vertices = np.asarray(vertices_cam_m, dtype=np.float32)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f"vertices_cam_m has shape {vertices.shape}, expected (V, 3)")
    if np.shape(focal_px) != (2,) or np.shape(princpt_px) != (2,):
        raise ValueError("focal_px and princpt_px must hold two numbers each: x and y")
    if supersample < 1:
        raise ValueError(f"supersample is {supersample}, expected 1 or more")
    if not (vertices[:, 2] > 0).all():
        raise ValueError(
            "a vertex lies behind the camera (z <= 0) or is not a number; give camera-frame metres"
        )
    return vertices


def _camera_light() -> Lighting:
    directions = unit(np.array([[-0.4, -0.6, -0.7], [0.7, 0.1, -0.7]], np.float32))
    return Lighting(
        up=np.array([0.0, -1.0, 0.0], np.float32),
        sky_rgb=np.full(3, 0.40, np.float32),
        ground_rgb=np.full(3, 0.25, np.float32),
        directions=directions,
        colours_rgb=np.array([[0.75] * 3, [0.25] * 3], np.float32),
    )


def unit(vectors: np.ndarray) -> np.ndarray:
    """Normalise vectors (..., K)."""
    squared = np.einsum("...k,...k->...", vectors, vectors)[..., None]
    return vectors / np.sqrt(np.maximum(squared, 1e-20))
