"""One rendered frame: a lit hand with forearm in the world, and the image each camera takes."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from gesture_pretrain.data.samples.photometric import blur_motion
from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.rendering import (
    Hits,
    Lighting,
    TracedMesh,
    interpolate,
    pixel_rays,
    shade,
    unit,
)
from gesture_pretrain.synthetic.background import BackgroundPool
from gesture_pretrain.synthetic.forearm import (
    NUM_FOREARM_VERTICES,
    with_forearm,
    with_forearm_faces,
)
from gesture_pretrain.synthetic.lighting import automatic_exposure, draw_tone_curves
from gesture_pretrain.synthetic.rig import Camera, Placement
from gesture_pretrain.synthetic.skin import SkinMap, SkinTexture
from gesture_pretrain.synthetic.solids import SolidPattern

_MINIMUM_JOINTS_IN_VIEW = 12
_QUARTERS_PX = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]])


class _Samples(NamedTuple):
    """N surface points seen through the pixels of an image."""

    pixel: np.ndarray  # (N,) flat index
    rays: np.ndarray  # (N, 3) world direction, one unit of depth long
    hits: Hits
    weights: np.ndarray  # (N,) fraction of the pixel

    def chosen(self, keep: np.ndarray) -> "_Samples":
        hits = Hits(*(field[keep] for field in self.hits))
        return _Samples(self.pixel[keep], self.rays[keep], hits, self.weights[keep])

    def joined(self, other: "_Samples") -> "_Samples":
        hits = Hits(*map(np.concatenate, zip(self.hits, other.hits, strict=True)))
        pairs = ((self.pixel, other.pixel), (self.rays, other.rays), (self.weights, other.weights))
        pixel, rays, weights = map(np.concatenate, pairs)
        return _Samples(pixel, rays, hits, weights)


class View(NamedTuple):
    """One image of a frame."""

    camera: Camera
    image_bgr: np.ndarray  # (S, S, 3) uint8
    keypoints_px: np.ndarray  # (21, 2)
    in_view: np.ndarray  # (21,) bool
    visible: float  # fraction of the hand inside the image that nothing else covers
    background: str  # name of the image behind it


class Material(Protocol):
    """The surface of a part."""

    def values(self, hits: Hits, points_m: np.ndarray) -> np.ndarray:
        """Return at least 7 columns for N hit points, with faces numbered within the part.

        These are linear RGB, bump xyz and gloss. The points are in the frame of the unplaced hand.
        """


class SkinMaterial(NamedTuple):
    """Skin, with a sleeve on the forearm or without."""

    texture: SkinTexture
    cloth: SolidPattern
    sleeve_from_m: float | None

    def values(self, hits: Hits, points_m: np.ndarray) -> np.ndarray:
        """See `Material`."""
        values = self.texture.at(hits.face, hits.u, hits.v)
        if self.sleeve_from_m is not None:
            clothed = values[:, 7] > self.sleeve_from_m
            cloth_rgb = self.cloth.at(points_m[clothed])
            values[clothed, :3] = cloth_rgb * (1 + values[clothed, 3:4])
        return values


class Part(NamedTuple):
    """One surface of a scene, in the world frame."""

    vertices_m: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3)
    normals: np.ndarray  # (V, 3) unit, outward
    material: Material


class Rules(NamedTuple):
    """Differences between the editions in rendering a scene."""

    minimum_visible: float
    minimum_level: float  # mean of the image, 0 to 255; readers drop darker images as black
    exposure_range: tuple[float, float]
    exposure_limits: tuple[float, float]
    num_shadows: int  # distant lights that cast shadows
    ambient_rays: int  # per vertex, for the light from all around; 0 lets all of it reach
    develop: Callable[[np.random.Generator, np.ndarray, "Studio"], np.ndarray]


class Studio:
    """Resources shared by all images: the mesh, its skin map and sensor noise.

    Args:
        rest_vertices_m: (778, 3) rest vertices of the right hand.
        rest_joints_m: (21, 3) its joints, mano21 order.
        faces: (F, 3) faces of the right hand.
        weights: (778, 16) skinning weights.
        size_px: Side of the images.
        seed: Random seed of skin unevenness and sensor noise.
        rules: Rules of the edition.
    """

    def __init__(
        self, *, rest_vertices_m, rest_joints_m, faces, weights, size_px: int, seed: int, rules
    ):
        self.num_hand_faces = len(faces)
        self.faces = with_forearm_faces(faces, len(rest_vertices_m))
        self.skin = SkinMap(
            vertices_m=with_forearm(rest_vertices_m),
            faces=self.faces,
            weights=weights,
            rest_joints_m=rest_joints_m,
        )
        self.size_px, self.rules = size_px, rules
        rng = np.random.Generator(np.random.Philox(key=[seed, 0x2015E]))
        self.noise = rng.standard_normal(2**21 + 3 * size_px * size_px, dtype=np.float32)


class Frame:
    """One moment, which any number of cameras can render.

    Args:
        studio: Resources shared by all frames.
        parts: Surfaces; the first is the annotated hand with its forearm.
        joints_m: (21, 3) joints of the annotated hand, world frame, mano21 order.
        placement: Placement of the annotated hand.
        lighting: The lights.
        pool: Images for the background.
    """

    def __init__(
        self,
        *,
        studio: Studio,
        parts: list[Part],
        joints_m: np.ndarray,
        placement: Placement,
        lighting: Lighting,
        pool: BackgroundPool,
    ):
        self._studio, self._parts, self._pool = studio, parts, pool
        self._placement, self.lighting = placement, lighting
        self.joints_m = joints_m
        self._hand_vertices_m = parts[0].vertices_m[:-NUM_FOREARM_VERTICES]
        sizes = np.cumsum([0] + [len(part.vertices_m) for part in parts])
        self.vertices_m = np.concatenate([part.vertices_m for part in parts])
        offset_faces = [part.faces + first for part, first in zip(parts, sizes[:-1], strict=True)]
        self._faces = np.concatenate(offset_faces)
        self._first_faces = np.cumsum([0] + [len(part.faces) for part in parts])
        self._normals = np.concatenate([part.normals for part in parts])
        self._mesh = TracedMesh(self.vertices_m, self._faces)
        self._openness = self._vertex_openness(studio.rules.ambient_rays)

    def render(self, rng: np.random.Generator, camera: Camera) -> View | None:
        """Render a view; None if it shows mostly arm, or the hand leaves the image."""
        size = self._studio.size_px
        keypoints = project_px(
            world_to_camera_mm(1000 * self.joints_m, camera.R_cam_world, camera.center_mm),
            camera.focal_px,
            camera.princpt_px,
        )
        in_view = ((keypoints >= 0) & (keypoints <= size - 1)).all(axis=-1)
        if in_view.sum() < _MINIMUM_JOINTS_IN_VIEW:
            return None
        samples, part = self._trace(camera)
        visible, rules = self._visible(camera, part), self._studio.rules
        if visible < rules.minimum_visible:
            return None
        linear = self._shade(camera, samples.rays, samples.hits)
        exposure = automatic_exposure(linear, limits=rules.exposure_limits)
        linear *= rng.uniform(*rules.exposure_range) * exposure
        image, background = self._pool.cut(rng)
        _lay_over(image, samples, np.sqrt(np.clip(linear, 0.0, 1.0)))
        image = rules.develop(rng, image, self._studio)
        if image.mean() < rules.minimum_level:
            return None
        return View(camera, image, keypoints, in_view, visible, background)

    def _trace(self, camera: Camera) -> tuple["_Samples", np.ndarray]:
        """Trace visible surface points, and (S, S) int8: -1 background, 0 hand, 1 other.

        One ray goes through the middle of each pixel; pixels at the outline get four instead.
        """
        size = self._studio.size_px
        columns, rows = _pixel_box(self._project(camera, self.vertices_m), size)
        rows, columns = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
        middle = self._hits(camera, columns, rows, rows * size + columns, weight=1.0)
        part = np.full(size * size, -1, np.int8)
        part[middle.pixel] = middle.hits.face >= self._studio.num_hand_faces
        part = part.reshape(size, size)
        covered = (part >= 0).astype(np.uint8)
        kernel = np.ones((3, 3), np.uint8)
        outline = cv2.dilate(covered, kernel) != cv2.erode(covered, kernel)
        inner = ~outline.ravel()[middle.pixel]
        rows, columns = (np.repeat(a, 4) for a in np.nonzero(outline))
        quarter = np.tile(_QUARTERS_PX, (len(rows) // 4, 1))
        pixel = rows * size + columns
        fine = self._hits(camera, columns + quarter[:, 0], rows + quarter[:, 1], pixel, weight=0.25)
        return _Samples.joined(middle.chosen(inner), fine), part

    def _hits(self, camera: Camera, columns, rows, pixel, *, weight: float) -> "_Samples":
        rays = pixel_rays(columns, rows, camera.focal_px, camera.princpt_px) @ camera.R_cam_world
        origins = np.empty_like(rays)
        origins[:] = camera.center_mm / 1000
        found = self._mesh.hits(origins, rays)
        weights = np.full(len(rays), weight, np.float32)
        return _Samples(pixel, rays, found, weights).chosen(found.face >= 0)

    def _project(self, camera: Camera, points_m: np.ndarray) -> np.ndarray:
        points = world_to_camera_mm(1000 * points_m, camera.R_cam_world, camera.center_mm)
        return project_px(points, camera.focal_px, camera.princpt_px)

    def _visible(self, camera: Camera, part: np.ndarray) -> float:
        """Return the fraction of the hand's vertices in the image that nothing else covers."""
        size = self._studio.size_px
        where = self._project(camera, self._hand_vertices_m)
        inside = ((where >= 0) & (where <= size - 1)).all(axis=-1)
        column, row = np.rint(where[inside]).astype(int).T
        seen = part[row, column]
        return float((seen == 0).sum() / max((seen >= 0).sum(), 1))

    def _shade(self, camera: Camera, rays: np.ndarray, found: Hits) -> np.ndarray:
        points = (camera.center_mm / 1000) + rays * found.distance[:, None]
        values = self._surface(found, points)
        normals = unit(interpolate(self._normals, self._faces, found) + values[:, 3:6])
        openness = self._openness
        if openness is not None:
            openness = interpolate(openness, self._faces, found)
        lamps = self.lighting.directions[: self._studio.rules.num_shadows]
        return shade(
            albedo_rgb=values[:, :3],
            normals=normals,
            to_camera=-unit(rays),
            lighting=self.lighting,
            lights_free=[self._free(points, normals, lamp) for lamp in lamps],
            openness=openness,
            gloss=values[:, 6],
        )

    def _free(self, points_m: np.ndarray, normals: np.ndarray, lamp: np.ndarray) -> np.ndarray:
        """Return (N,) bool: nothing stands between the point and the lamp."""
        return self._mesh.is_free(
            (points_m + 0.0012 * normals + 0.001 * lamp).astype(np.float32),
            np.ascontiguousarray(np.broadcast_to(lamp, points_m.shape)),
        )

    def _surface(self, found: Hits, points_m: np.ndarray) -> np.ndarray:
        """Return the material's values at hit points, (N, 7 or more)."""
        points_m = self._placement.undo_rotation(points_m)
        if len(self._parts) == 1:
            return self._parts[0].material.values(found, points_m)
        part_of = np.searchsorted(self._first_faces, found.face, side="right") - 1
        values = np.empty((len(points_m), 7), np.float32)
        for index, (part, first) in enumerate(
            zip(self._parts, self._first_faces[:-1], strict=True)
        ):
            mine = np.flatnonzero(part_of == index)
            hits = Hits(*(field[mine] for field in found))._replace(face=found.face[mine] - first)
            values[mine] = part.material.values(hits, points_m[mine])[:, :7]
        return values

    def _vertex_openness(self, num_rays: int) -> np.ndarray | None:
        """Return (V, 1) fraction of cosine-weighted rays from each vertex that meet nothing."""
        if not num_rays:
            return None
        spots = _SPHERE[:: len(_SPHERE) // num_rays]
        directions = unit(self._normals[:, None] + 0.98 * spots).astype(np.float32).reshape(-1, 3)
        origins = np.repeat(self.vertices_m + 0.002 * self._normals, len(spots), axis=0)
        free = self._mesh.is_free(origins.astype(np.float32), directions)
        openness = free.reshape(-1, len(spots)).mean(axis=1, keepdims=True, dtype=np.float32)
        return 0.2 + 0.8 * openness  # skin passes light on


def develop_plainly(rng: np.random.Generator, image: np.ndarray, studio: Studio) -> np.ndarray:
    """Apply edition 1: lens blur and sensor noise; (S, S, 3) sRGB in [0, 1] to BGR bytes."""
    sigma = studio.size_px / 256 * rng.uniform(0.3, 1.2) if rng.uniform() < 0.4 else 0.0
    image = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.55))  # at least smooth the edges
    return _with_noise(rng, image, studio, lambda: rng.uniform(0.003, 0.025))


def develop_varied(rng: np.random.Generator, image: np.ndarray, studio: Studio) -> np.ndarray:
    """Apply edition 2: also motion blur, stronger noise and tone curves."""
    scale = studio.size_px / 256
    sigma = scale * rng.uniform(0.3, 1.6) if rng.uniform() < 0.4 else 0.0
    image = cv2.GaussianBlur(image, (0, 0), max(sigma, 0.5))
    if rng.uniform() < 0.1:
        length_px = scale * rng.uniform(2.0, 9.0)
        image = blur_motion(image, length_px, rng.uniform(0.0, np.pi))
    image = _with_noise(
        rng, image, studio, lambda: np.exp(rng.uniform(np.log(0.002), np.log(0.04)))
    )
    return cv2.LUT(image, draw_tone_curves(rng))


def _with_noise(rng, image: np.ndarray, studio: Studio, draw_strength) -> np.ndarray:
    """Add sensor noise and convert to BGR bytes; the strength is drawn after the offset."""
    start = rng.integers(len(studio.noise) - image.size)
    noise = studio.noise[start : start + image.size].reshape(image.shape)
    image += np.float32(draw_strength()) * noise
    return cv2.convertScaleAbs(np.maximum(image, 0.0)[..., ::-1], alpha=255.0)


def _even_sphere(count: int) -> np.ndarray:
    """Return (count, 3) unit vectors, evenly spread; every n-th of them are, too."""
    height = 1 - 2 * ((np.arange(count) * 0.6180339887) % 1.0)
    turn = 2 * np.pi * ((np.arange(count) * 0.7548776662) % 1.0)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=-1)


_SPHERE = _even_sphere(64)


def _lay_over(image: np.ndarray, samples: _Samples, colours: np.ndarray) -> None:
    """Composite sRGB colours (N, 3) of the samples over an image (S, S, 3), in place."""
    flat = image.reshape(-1, 3)
    whole = samples.weights == 1.0
    flat[samples.pixel[whole]] = colours[whole]
    pixel, row = np.unique(samples.pixel[~whole], return_inverse=True)
    weights, colours = samples.weights[~whole], colours[~whole]
    coverage = np.bincount(row, weights, len(pixel))
    summed = [np.bincount(row, weights * colours[:, k], len(pixel)) for k in range(3)]
    flat[pixel] = (1 - coverage)[:, None] * flat[pixel] + np.stack(summed, axis=-1)


def _pixel_box(points_px: np.ndarray, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns and rows that can show the points; all if one is behind the camera."""
    if np.isnan(points_px).any():
        return np.arange(size_px), np.arange(size_px)
    low = np.clip(np.floor(points_px.min(axis=0)), 0, size_px).astype(int)
    high = np.clip(np.ceil(points_px.max(axis=0)) + 1, 0, size_px).astype(int)
    return np.arange(low[0], high[0]), np.arange(low[1], high[1])
