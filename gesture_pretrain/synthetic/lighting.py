"""Random light and photographic look of rendered images, for each edition."""

import numpy as np

from gesture_pretrain.rendering import Lighting, unit


def draw_lighting(rng: np.random.Generator) -> Lighting:
    """Draw edition 1: an ambient hemisphere and one to three distant lights, nearly white."""
    ambient = rng.uniform(0.12, 0.5)
    tint = 1 + rng.normal(0.0, 0.035, (3, 3)) + [0.02, 0.0, -0.02]  # a little warm
    count = int(rng.integers(1, 4))
    strengths = rng.uniform(0.35, 1.1, count) / (1 + np.arange(count))
    return Lighting(
        up=unit(rng.normal(size=3)).astype(np.float32),
        sky_rgb=(1.2 * ambient * tint[0]).astype(np.float32),
        ground_rgb=(0.7 * ambient * tint[1]).astype(np.float32),
        directions=unit(rng.normal(size=(count, 3))).astype(np.float32),
        colours_rgb=(strengths[:, None] * tint[2]).astype(np.float32),
    )


def draw_environment(rng: np.random.Generator) -> Lighting:
    """Draw edition 2: coloured light from all around, and up to three coloured lights.

    One image in four has hardly any ambient light, and one in four no distant light at all.
    """
    colour_spread = rng.uniform(0.03, 0.25)
    ambient = 0.03 if rng.uniform() < 0.25 else rng.uniform(0.1, 0.5)
    num_lobes, num_lights = 3, int(rng.integers(0, 4))
    lobes = (
        ambient * rng.exponential(1.0, num_lobes)[:, None] * _tints(rng, num_lobes, colour_spread)
    )
    strengths = rng.uniform(0.3, 1.6, num_lights) / (1 + np.arange(num_lights))
    base = 0.3 * ambient * _tints(rng, 1, colour_spread)[0]
    return Lighting(
        up=np.array([0.0, 1.0, 0.0], np.float32),
        sky_rgb=base.astype(np.float32),
        ground_rgb=base.astype(np.float32),
        directions=unit(rng.normal(size=(num_lights, 3))).astype(np.float32),
        colours_rgb=(strengths[:, None] * _tints(rng, num_lights, colour_spread)).astype(
            np.float32
        ),
        lobe_directions=unit(rng.normal(size=(num_lobes, 3))).astype(np.float32),
        lobe_colours_rgb=lobes.astype(np.float32),
    )


def _tints(rng: np.random.Generator, count: int, spread: float) -> np.ndarray:
    """Return (count, 3) colours about white, mostly between warm and cold."""
    warmth = rng.normal(0.0, spread, (count, 1)) * [1.0, 0.0, -1.0]
    return np.exp(warmth + rng.normal(0.0, 0.3 * spread, (count, 3)))


def automatic_exposure(linear_rgb: np.ndarray, *, limits: tuple[float, float]) -> float:
    """Return the auto-exposure: half of the way to a mid-grey hand."""
    return float(np.clip(np.sqrt(0.2 / max(linear_rgb.mean(), 1e-3)), *limits))


def draw_tone_curves(rng: np.random.Generator) -> np.ndarray:
    """Return (256, 1, 3) uint8 look-up table, BGR: exposure, white balance, gamma and contrast."""
    level = np.linspace(0.0, 1.0, 256)[:, None]
    gains = np.exp(rng.normal(0.0, 0.15) + _log_balance(rng))
    value = np.clip(level * gains, 0.0, 1.0) ** np.exp(rng.normal(0.0, 0.18))
    contrast = rng.uniform(-0.3, 0.6)
    value = value + contrast * (value * value * (3 - 2 * value) - value)
    black = rng.uniform(0.0, 0.08) if rng.uniform() < 0.3 else 0.0  # haze
    return np.rint(255 * (black + (1 - black) * np.clip(value, 0.0, 1.0))).astype(np.uint8)[:, None]


def _log_balance(rng: np.random.Generator) -> np.ndarray:
    warmth = rng.normal(0.0, 0.07)
    return np.array([-warmth, rng.normal(0.0, 0.02), warmth])
