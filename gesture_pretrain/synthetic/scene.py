"""One rendered frame: a lit hand with forearm in the world, and the picture each camera takes."""

from typing import NamedTuple

import cv2
import numpy as np

from gesture_pretrain.geometry.camera import project_px, world_to_camera_mm
from gesture_pretrain.rendering import (
    Hits,
    Lighting,
    TracedMesh,
    interpolate,
    pixel_rays,
    shade,
    vertex_normals,
)
from gesture_pretrain.synthetic.background import BackgroundPool
from gesture_pretrain.synthetic.forearm import with_forearm, with_forearm_faces
from gesture_pretrain.synthetic.rig import Camera, Placement, PosedHand
from gesture_pretrain.synthetic.skin import SkinMap, SkinTexture

_MINIMUM_HAND_SHARE = 0.5
_MINIMUM_JOINTS_IN_VIEW = 12
_QUARTERS_PX = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]])


class _Samples(NamedTuple):
    """N surface points seen through the pixels of a picture."""

    pixel: np.ndarray  # (N,) flat index
    rays: np.ndarray  # (N, 3) world direction, one unit of depth long
    hits: Hits
    weights: np.ndarray  # (N,) share of the pixel

    def chosen(self, keep: np.ndarray) -> "_Samples":
        hits = Hits(*(field[keep] for field in self.hits))
        return _Samples(self.pixel[keep], self.rays[keep], hits, self.weights[keep])

    def joined(self, other: "_Samples") -> "_Samples":
        hits = Hits(*map(np.concatenate, zip(self.hits, other.hits, strict=True)))
        pairs = ((self.pixel, other.pixel), (self.rays, other.rays), (self.weights, other.weights))
        pixel, rays, weights = map(np.concatenate, pairs)
        return _Samples(pixel, rays, hits, weights)


class View(NamedTuple):
    """One picture of a frame."""

    camera: Camera
    image_bgr: np.ndarray  # (S, S, 3) uint8
    keypoints_px: np.ndarray  # (21, 2)
    in_view: np.ndarray  # (21,) bool


class Studio:
    """Everything that pictures share: the mesh, its skin map, backgrounds and sensor noise.

    Args:
        rest_vertices_m: (778, 3) rest vertices of the right hand.
        rest_joints_m: (21, 3) its joints, mano21 order.
        faces: (F, 3) faces of the right hand.
        weights: (778, 16) skinning weights.
        size_px: side of the pictures.
        seed: of backgrounds, skin unevenness and sensor noise.
    """

    def __init__(self, *, rest_vertices_m, rest_joints_m, faces, weights, size_px: int, seed: int):
        self.num_hand_faces = len(faces)
        self.faces = with_forearm_faces(faces, len(rest_vertices_m))
        self.skin = SkinMap(
            vertices_m=with_forearm(rest_vertices_m),
            faces=self.faces,
            weights=weights,
            rest_joints_m=rest_joints_m,
        )
        self.size_px = size_px
        count = 32 if size_px <= 256 else 16  # of twice the size: 25 MB at 256 px, 200 MB at 1024
        self.backgrounds = BackgroundPool(seed=seed, size_px=size_px, count=count)
        rng = np.random.Generator(np.random.Philox(key=[seed, 0x2015E]))
        self.noise = rng.standard_normal(2**21 + 3 * size_px * size_px, dtype=np.float32)

    def frame(self, rng: np.random.Generator, hand: PosedHand, placement: Placement, texture):
        """The hand with forearm, sleeve and lights of one instant: a ``Frame``."""
        return Frame(rng, studio=self, hand=hand, placement=placement, texture=texture)


class Frame:
    """One instant, of which any number of cameras can take a picture."""

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        studio: Studio,
        hand: PosedHand,
        placement: Placement,
        texture: SkinTexture,
    ):
        self._studio, self._texture = studio, texture
        self._sleeve_from_m = rng.uniform(0.02, 0.09) if rng.uniform() < 0.45 else None
        self._cloth_rgb = _draw_cloth(rng)
        bend_rad = tuple(rng.normal(0.0, np.deg2rad(16.0), 2))
        side = np.float32(1.0 if hand.hand == "right" else -1.0)
        body = _with_own_forearm(hand.vertices_m, side, bend_rad, self._sleeve_from_m)
        wrist = hand.joints_m[0]
        self.vertices_m = placement.move(body, wrist)
        self.joints_m = placement.move(hand.joints_m, wrist)
        self.num_hand_vertices = len(hand.vertices_m)
        # the left hand is traced with the right hand's winding, so its normals come out inverted
        self._normals = side * vertex_normals(self.vertices_m, studio.faces)
        self._mesh = TracedMesh(self.vertices_m, studio.faces)
        self._lighting = draw_lighting(rng)

    def picture(self, rng: np.random.Generator, camera: Camera) -> View | None:
        """What the camera sees; None if that is mostly arm, or the hand leaves the picture."""
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
        if self._hand_share(camera, part) < _MINIMUM_HAND_SHARE:
            return None
        linear = self._shade(camera, samples.rays, samples.hits)
        linear *= rng.uniform(0.8, 1.15) * _exposure(linear)
        picture = self._studio.backgrounds.cut(rng)
        _lay_over(picture, samples, np.sqrt(np.clip(linear, 0.0, 1.0)))
        return View(camera, self._develop(rng, picture), keypoints, in_view)

    def _trace(self, camera: Camera) -> tuple["_Samples", np.ndarray]:
        """Surface points that the picture shows, and (S, S) int8: -1 background, 0 hand, 1 arm.

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

    def _hand_share(self, camera: Camera, part: np.ndarray) -> float:
        """Share of the hand's vertices inside the picture whose pixel shows hand, not arm."""
        size = self._studio.size_px
        where = self._project(camera, self.vertices_m[: self.num_hand_vertices])
        inside = ((where >= 0) & (where <= size - 1)).all(axis=-1)
        column, row = np.rint(where[inside]).astype(int).T
        seen = part[row, column]
        return float((seen == 0).sum() / max((seen >= 0).sum(), 1))

    def _shade(self, camera: Camera, rays: np.ndarray, found: Hits) -> np.ndarray:
        values = self._texture.at(found.face, found.u, found.v)
        albedo, bump = values[:, :3], values[:, 3:6]
        gloss, behind_wrist = values[:, 6], values[:, 7]
        if self._sleeve_from_m is not None:
            clothed = behind_wrist > self._sleeve_from_m
            albedo = np.where(clothed[:, None], self._cloth_rgb * (1 + bump[:, :1]), albedo)
        normals = _unit(interpolate(self._normals, self._studio.faces, found) + bump)
        points = (camera.center_mm / 1000) + rays * found.distance[:, None]
        lamp = self._lighting.directions[0]
        free = self._mesh.is_free(
            (points + 0.0012 * normals + 0.001 * lamp).astype(np.float32),
            np.ascontiguousarray(np.broadcast_to(lamp, points.shape)),
        )
        return shade(
            albedo_rgb=albedo,
            normals=normals,
            to_camera=-_unit(rays),
            lighting=self._lighting,
            first_light_free=free,
            gloss=gloss,
        )

    def _develop(self, rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
        """Lens blur and sensor noise; (S, S, 3) sRGB in [0, 1] to BGR bytes."""
        scale = self._studio.size_px / 256
        sigma = scale * rng.uniform(0.3, 1.2) if rng.uniform() < 0.4 else 0.0
        picture = cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.55))  # at least smooth the edges
        start = rng.integers(len(self._studio.noise) - picture.size)
        noise = self._studio.noise[start : start + picture.size].reshape(picture.shape)
        picture += np.float32(rng.uniform(0.003, 0.025)) * noise
        return cv2.convertScaleAbs(np.maximum(picture, 0.0)[..., ::-1], alpha=255.0)


def _draw_cloth(rng: np.random.Generator) -> np.ndarray:
    """Linear colour of a sleeve, somewhat muted."""
    cloth = rng.uniform(0.05, 0.9, 3)
    return np.square(cloth.mean() + 0.6 * (cloth - cloth.mean())).astype(np.float32)


def _with_own_forearm(vertices_m, side: float, bend_rad, sleeve_from_m) -> np.ndarray:
    """Hand and forearm of either hand: a left one (side -1) is built in the mirror."""
    mirror = np.array([side, 1.0, 1.0])
    arm = with_forearm(vertices_m * mirror, bend_rad=bend_rad, sleeve_from_m=sleeve_from_m)
    return arm * mirror


def draw_lighting(rng: np.random.Generator) -> Lighting:
    """An ambient hemisphere and one to three distant lights."""
    ambient = rng.uniform(0.12, 0.5)
    tint = 1 + rng.normal(0.0, 0.035, (3, 3)) + [0.02, 0.0, -0.02]  # a little warm
    count = int(rng.integers(1, 4))
    strengths = rng.uniform(0.35, 1.1, count) / (1 + np.arange(count))
    return Lighting(
        up=_unit(rng.normal(size=3)).astype(np.float32),
        sky_rgb=(1.2 * ambient * tint[0]).astype(np.float32),
        ground_rgb=(0.7 * ambient * tint[1]).astype(np.float32),
        directions=_unit(rng.normal(size=(count, 3))).astype(np.float32),
        colours_rgb=(strengths[:, None] * tint[2]).astype(np.float32),
    )


def _lay_over(picture: np.ndarray, samples: _Samples, colours: np.ndarray) -> None:
    """Put sRGB colours (N, 3) of the samples over a picture (S, S, 3), in place."""
    flat = picture.reshape(-1, 3)
    whole = samples.weights == 1.0
    flat[samples.pixel[whole]] = colours[whole]
    pixel, row = np.unique(samples.pixel[~whole], return_inverse=True)
    weights, colours = samples.weights[~whole], colours[~whole]
    coverage = np.bincount(row, weights, len(pixel))
    summed = [np.bincount(row, weights * colours[:, k], len(pixel)) for k in range(3)]
    flat[pixel] = (1 - coverage)[:, None] * flat[pixel] + np.stack(summed, axis=-1)


def _exposure(linear_rgb: np.ndarray) -> float:
    """What a camera's automatic exposure would add: half of the way to a mid-grey hand."""
    return float(np.clip(np.sqrt(0.2 / max(linear_rgb.mean(), 1e-3)), 0.85, 1.8))


def _pixel_box(points_px: np.ndarray, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows that can show the points; all of them if a point is behind the camera."""
    if np.isnan(points_px).any():
        return np.arange(size_px), np.arange(size_px)
    low = np.clip(np.floor(points_px.min(axis=0)), 0, size_px).astype(int)
    high = np.clip(np.ceil(points_px.max(axis=0)) + 1, 0, size_px).astype(int)
    return np.arange(low[0], high[0]), np.arange(low[1], high[1])


def _unit(vectors: np.ndarray) -> np.ndarray:
    squared = np.einsum("...k,...k->...", vectors, vectors)[..., None]
    return vectors / np.sqrt(np.maximum(squared, 1e-20))
