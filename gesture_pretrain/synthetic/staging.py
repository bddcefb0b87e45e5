"""Surfaces of a frame: the annotated hand, and its surroundings in edition 2.

Surfaces are made in the frame of the unplaced right hand: fingers along -x, back of the hand +y.
Those of a left hand are mirrored. The second hand of a scene is a distractor: the opposite hand of
the same person, visible but not annotated, as in many recordings of InterHand2.6M.
"""

import numpy as np

from gesture_pretrain.rendering import unit, vertex_normals
from gesture_pretrain.synthetic.background import BackgroundPool
from gesture_pretrain.synthetic.forearm import NUM_FOREARM_VERTICES, with_forearm
from gesture_pretrain.synthetic.lighting import draw_environment, draw_lighting
from gesture_pretrain.synthetic.rig import Placement, PosedHand, random_rotation
from gesture_pretrain.synthetic.scene import (
    Frame,
    Material,
    Part,
    Rules,
    SkinMaterial,
    Studio,
    develop_plainly,
    develop_varied,
)
from gesture_pretrain.synthetic.skin import SkinTexture
from gesture_pretrain.synthetic.solids import (
    SOLIDS,
    Mesh,
    PatternedMaterial,
    SolidPattern,
    band,
    draw_colour,
    ring,
    solid,
)

RULES = {
    1: Rules(0.5, 0.0, (0.8, 1.15), (0.85, 1.8), 1, 0, develop_plainly),
    2: Rules(0.4, 14.0, (0.65, 1.4), (0.7, 4.0), 2, 8, develop_varied),
}

_RING_FINGERS = (5, 9, 13, 17)  # mano21: base knuckles
_HELD, _LOOSE, _SECOND_HAND, _RING, _WATCH = 0.3, 0.35, 0.18, 0.12, 0.25  # probabilities
_SMALLEST_RADIUS_M = 0.004


class Stage:
    """Collector of the parts of one frame.

    Args:
        studio: Resources shared by all frames.
        hand: The annotated hand.
        placement: Placement of the annotated hand.
        texture: Its skin.
    """

    def __init__(self, studio: Studio, hand: PosedHand, placement: Placement, texture: SkinTexture):
        self.studio, self.hand, self.placement, self.texture = studio, hand, placement, texture
        self._side = np.float32(1.0 if hand.hand == "right" else -1.0)
        self.mirror = np.array([self._side, 1.0, 1.0])
        self.vertices_m = hand.vertices_m * self.mirror
        self.joints_m = hand.joints_m * self.mirror
        self.parts: list[Part] = []

    def add(self, mesh: Mesh, material: Material, winding: float = 1.0) -> None:
        """Add a surface; `winding` is -1 for a mesh whose faces are clockwise from outside."""
        vertices = self.placement.move(mesh.vertices_m * self.mirror, self.hand.joints_m[0])
        # a mirrored surface is traced with its old winding, so its normals come out inverted
        normals = self._side * np.float32(winding) * vertex_normals(vertices, mesh.faces)
        self.parts.append(Part(vertices, mesh.faces, normals, material))

    def add_arm(self, cloth: SolidPattern, sleeve_from_m, bend_rad) -> np.ndarray:
        """Add the annotated hand with its forearm; return the vertices of the forearm, m."""
        body = with_forearm(self.vertices_m, bend_rad=bend_rad, sleeve_from_m=sleeve_from_m)
        material = SkinMaterial(self.texture, cloth, sleeve_from_m)
        self.add(Mesh(body, self.studio.faces), material)
        return body[-NUM_FOREARM_VERTICES:]

    def frame(self, lighting, pool: BackgroundPool) -> Frame:
        """Return the finished frame."""
        joints_m = self.placement.move(self.hand.joints_m, self.hand.joints_m[0])
        return Frame(
            studio=self.studio,
            parts=self.parts,
            joints_m=joints_m,
            placement=self.placement,
            lighting=lighting,
            pool=pool,
        )


def stage_bare_hand(rng: np.random.Generator, stage: Stage, pool: BackgroundPool) -> Frame:
    """Stage edition 1: a hand, its forearm, perhaps a sleeve."""
    sleeve_from_m = rng.uniform(0.02, 0.09) if rng.uniform() < 0.45 else None
    cloth = SolidPattern("plain", draw_colour(rng)[None])
    stage.add_arm(cloth, sleeve_from_m, tuple(rng.normal(0.0, np.deg2rad(16.0), 2)))
    return stage.frame(draw_lighting(rng), pool)


def stage_surroundings(
    rng: np.random.Generator, stage: Stage, pool: BackgroundPool, other: PosedHand
) -> Frame:
    """Stage edition 2: also jewellery, objects, another hand and coloured light.

    The number of random draws does not depend on the pose, so that all frames of a steady take show
    the same objects.

    Args:
        rng: Random stream of the frame.
        stage: Collector of the parts.
        pool: Images for the background.
        other: A posed hand of the same person, of which the second hand is made.
    """
    sleeve_from_m = rng.uniform(0.02, 0.09) if rng.uniform() < 0.5 else None
    cloth = SolidPattern.draw(rng)
    arm_m = stage.add_arm(cloth, sleeve_from_m, tuple(rng.normal(0.0, np.deg2rad(16.0), 2)))
    _add_rings(rng, stage)
    if rng.uniform() < _WATCH and (sleeve_from_m is None or sleeve_from_m > 0.06):
        _add_watch(rng, stage, arm_m.reshape(-1, 16, 3))
    if rng.uniform() < _HELD:
        _add_held_object(rng, stage)
    if rng.uniform() < _LOOSE:
        for _ in range(rng.integers(1, 3)):
            _add_loose_object(rng, stage)
    if rng.uniform() < _SECOND_HAND:
        _add_second_hand(rng, stage, other, SkinMaterial(stage.texture, cloth, sleeve_from_m))
    return stage.frame(draw_environment(rng), pool)


def _add_rings(rng: np.random.Generator, stage: Stage) -> None:
    for first in _RING_FINGERS:
        if rng.uniform() >= _RING:
            continue
        knuckle, joint = stage.joints_m[first], stage.joints_m[first + 1]
        centre = knuckle + rng.uniform(0.55, 0.75) * (joint - knuckle)
        axis = unit(joint - knuckle)
        thickness_m, turn, material = (
            rng.uniform(0.0012, 0.003),
            _frame_about(rng, axis),
            _shiny(rng),
        )
        offset = stage.vertices_m - centre
        along = offset @ axis
        across = np.linalg.norm(offset - along[:, None] * axis, axis=1)
        skin = across[(np.abs(along) < 0.004) & (across < 0.013)]
        if len(skin):
            mesh = ring(float(np.percentile(skin, 80)), thickness_m)
            stage.add(mesh.moved(turn, centre), material)


def _add_watch(rng: np.random.Generator, stage: Stage, rings_m: np.ndarray) -> None:
    """Add a watch: a strap about the first ring of the forearm, and a case."""
    ring_m = rings_m[0]
    centre = ring_m.mean(axis=0)
    along = unit(rings_m[1].mean(axis=0) - centre)
    half_width = rng.uniform(0.006, 0.012)
    loop = centre + 1.07 * (ring_m - centre)
    strap = band(np.stack([loop - half_width * along, loop + half_width * along]))
    stage.add(strap, PatternedMaterial(SolidPattern.draw(rng), rng.uniform(0.0, 0.6)))
    back = loop[np.argmax(loop[:, 1])]
    outward = unit(back - centre - (back - centre) @ along * along)
    case = solid(("box", "cylinder")[rng.integers(2)], rng.uniform(0.013, 0.022), 0.004)
    stage.add(case.moved(_frame_about(rng, outward), back + 0.002 * outward), _shiny(rng))


def _add_held_object(rng: np.random.Generator, stage: Stage) -> None:
    """Add an object between palm and fingertips, as large as fits."""
    joints = stage.joints_m
    palm = 0.7 * joints[9] + 0.3 * joints[0] + [0.0, -0.025, 0.0]
    centre = palm + rng.uniform(0.0, 0.6) * (joints[[4, 8, 12, 16, 20]].mean(axis=0) - palm)
    across = unit(joints[17] - joints[5] + rng.normal(0.0, 0.02, 3))
    _add_fitting_solid(rng, stage, centre, across, rng.uniform(0.01, 0.04), pressed_m=0.002)


def _add_loose_object(rng: np.random.Generator, stage: Stage) -> None:
    """Add an object on any side of the hand, which may cover a part of it."""
    radius = rng.uniform(0.008, 0.030)
    away = unit(rng.normal(size=3))
    centre = stage.joints_m[rng.integers(21)] + (radius + rng.uniform(0.004, 0.06)) * away
    _add_fitting_solid(rng, stage, centre, unit(rng.normal(size=3)), radius)


def _add_fitting_solid(
    rng, stage: Stage, centre: np.ndarray, axis: np.ndarray, radius_m: float, pressed_m: float = 0.0
) -> None:
    """Add a solid that reaches at most `pressed_m` into the skin, if there is room."""
    kind = SOLIDS[rng.integers(len(SOLIDS))]
    half_length_m = 0.0 if kind == "sphere" else rng.uniform(0.010, 0.080)
    material = PatternedMaterial(SolidPattern.draw(rng), rng.uniform(0.0, 0.8))
    turn = _frame_about(rng, axis)
    reach = (stage.vertices_m - centre) @ axis
    nearest = np.clip(reach, -half_length_m, half_length_m)[:, None] * axis
    room = np.linalg.norm(stage.vertices_m - centre - nearest, axis=1).min()
    radius_m = min(radius_m, room + pressed_m)
    if radius_m >= _SMALLEST_RADIUS_M:
        stage.add(solid(kind, radius_m, half_length_m).moved(turn, centre), material)


def _add_second_hand(rng, stage: Stage, other: PosedHand, material: SkinMaterial) -> None:
    """Add the opposite hand, at least 12 mm away, its arm pointing away."""
    side = 1.0 if other.hand == "right" else -1.0
    body = with_forearm(other.vertices_m * [side, 1.0, 1.0], sleeve_from_m=material.sleeve_from_m)
    hand = body[:-NUM_FOREARM_VERTICES]
    body, hand = ((points - hand.mean(axis=0)) * [-1.0, 1.0, 1.0] for points in (body, hand))
    away = unit(rng.normal(size=3))
    turn = random_rotation(rng)
    while turn[:, 0] @ away >= -0.3:  # its arm is at -x
        turn = random_rotation(rng)
    middle, first_m = stage.vertices_m.mean(axis=0), rng.uniform(0.07, 0.16)
    for distance in np.arange(first_m, 0.5, 0.02):
        offset = middle + distance * away
        gaps = (hand[::6] @ turn.T + offset)[:, None] - stage.vertices_m[::6]
        if np.linalg.norm(gaps, axis=-1).min() > 0.012:
            break
    stage.add(Mesh(body @ turn.T + offset, stage.studio.faces), material, winding=-1.0)


def _frame_about(rng: np.random.Generator, axis: np.ndarray) -> np.ndarray:
    """Draw a rotation (3, 3) from z to the axis, by a random angle about it."""
    x = unit(np.cross(axis, rng.normal(size=3)))
    return np.stack([x, np.cross(axis, x), axis], axis=-1)


def _shiny(rng: np.random.Generator) -> PatternedMaterial:
    return PatternedMaterial(SolidPattern("plain", draw_colour(rng)[None]), rng.uniform(0.5, 1.0))
