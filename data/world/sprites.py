"""Draw background textures and anti-aliased sprites (signed distance functions), vectorized over frames.

Axes: t frames, h rows (downwards), w columns. Lengths are fractions of the frame size; u, v are coordinates
inside a sprite, in units of its radius.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Plane = Float[np.ndarray, "t h w"]

# Saturated colours of similar brightness, distinguishable with 4:2:0 chroma at 32 pixels.
RGB = {
    "red": (0.90, 0.15, 0.15),
    "green": (0.15, 0.75, 0.20),
    "blue": (0.20, 0.30, 0.95),
    "yellow": (0.95, 0.85, 0.15),
    "purple": (0.75, 0.20, 0.85),
    "cyan": (0.15, 0.85, 0.90),
}
# The eye is an off-centre white disc that makes the rotation of round sprites visible.
EYE_U, EYE_V, EYE_RADIUS = 0.45, 0.0, 0.2
# Species stay inside the unit circle; the deformation adds at most this fraction of the radius.
DEFORMATION = 0.14


def _box(u: Plane, v: Plane, half_u: float, half_v: float) -> Plane:
    return np.maximum(np.abs(u) - np.float32(half_u), np.abs(v) - np.float32(half_v))


def _disc(u: Plane, v: Plane, radius: float) -> Plane:
    return np.sqrt(u * u + v * v) - np.float32(radius)


def _star(u: Plane, v: Plane) -> Plane:
    wedge = np.float32(2 * np.pi / 5)
    turn = np.arctan2(v, u) / wedge
    angle = np.abs(turn - np.round(turn)) * wedge
    radius = np.sqrt(u * u + v * v)
    tip, notch = 0.98, 0.42
    inner_x, inner_y = notch * np.cos(np.pi / 5), notch * np.sin(np.pi / 5)
    length = np.hypot(tip - inner_x, inner_y)
    normal_x, normal_y = np.float32(inner_y / length), np.float32((tip - inner_x) / length)
    return radius * (np.cos(angle) * normal_x + np.sin(angle) * normal_y) - normal_x * np.float32(tip)


def _triangle(u: Plane, v: Plane) -> Plane:
    return np.maximum(np.abs(v) * np.float32(0.866) - u * np.float32(0.5), u) - np.float32(0.48)


_DISTANCE: dict[str, Callable[[Plane, Plane], Plane]] = {
    "disc": lambda u, v: _disc(u, v, 0.85),
    "square": lambda u, v: _box(u, v, 0.68, 0.68),
    "triangle": _triangle,
    "star": _star,
    "cross": lambda u, v: np.minimum(_box(u, v, 0.9, 0.27), _box(u, v, 0.27, 0.9)),
    "ring": lambda u, v: np.abs(_disc(u, v, 0.7)) - np.float32(0.2),
    "bar": lambda u, v: _box(u, v, 0.95, 0.28),
    "crescent": lambda u, v: np.maximum(_disc(u, v, 0.95), -_disc(u - np.float32(0.5), v, 0.7)),
    "ell": lambda u, v: np.minimum(
        _box(u + np.float32(0.35), v, 0.22, 0.75), _box(u, v - np.float32(0.53), 0.57, 0.22)
    ),
    "dumbbell": lambda u, v: np.minimum(_disc(np.abs(u) - np.float32(0.58), v, 0.38), _box(u, v, 0.58, 0.14)),
}


@dataclasses.dataclass(frozen=True)
class Sprite:
    """Appearance of one sprite: species, colour and deformed outline.

    Args:
        species: one of prismlab.data.world.truth.SPECIES.
        colour: one of prismlab.data.world.truth.COLOURS.
        outline: float32 [4], second and third Fourier coefficients (cos, sin, cos, sin) of the radius.
    """

    species: str
    colour: str
    outline: Float[np.ndarray, "4"]


@dataclasses.dataclass(frozen=True)
class Poses:
    """Pose of a sprite (centre, angle, radius) in every frame.

    Args:
        x: float32 [t], horizontal centre in [0, 1), with wrap-around.
        y: float32 [t], vertical centre in [0, 1), downwards, with wrap-around.
        angle: float32 [t], radians, clockwise on the screen.
        radius: float32 [t], fraction of the frame size.
    """

    x: Float[np.ndarray, " t"]
    y: Float[np.ndarray, " t"]
    angle: Float[np.ndarray, " t"]
    radius: Float[np.ndarray, " t"]

    def reversed(self) -> "Poses":
        """Return the poses in reverse temporal order."""
        return Poses(self.x[::-1], self.y[::-1], self.angle[::-1], self.radius[::-1])


def distance(sprite: Sprite, u: Plane, v: Plane) -> Plane:
    """Return the signed distance to a sprite's deformed outline, in units of its radius (negative inside).

    Args:
        sprite: species and outline.
        u: float32 [t, h, w], first coordinate inside the sprite.
        v: float32 [t, h, w], second coordinate.

    Returns:
        float32 [t, h, w].
    """
    # cos(k a), sin(k a) by angle addition, to avoid trigonometric functions per pixel.
    square_u, square_v = u * u, v * v
    square = square_u + square_v + np.float32(1e-12)
    inverse = 1 / np.sqrt(square)
    cos_2, sin_2 = (square_u - square_v) / square, 2 * u * v / square
    cos_3, sin_3 = (cos_2 * u - sin_2 * v) * inverse, (sin_2 * u + cos_2 * v) * inverse
    a, b, c, d = sprite.outline
    shrink = 1 / (1 + a * cos_2 + b * sin_2 + c * cos_3 + d * sin_3)
    return _DISTANCE[sprite.species](u * shrink, v * shrink)


def texture(background: str, resolution: int, contrast: float) -> Float[np.ndarray, "1 h w 3"]:
    """Return a static grey background texture with a fixed phase.

    Args:
        background: one of prismlab.data.world.truth.BACKGROUNDS.
        resolution: height and width in pixels.
        contrast: difference between light and dark stripes, in [0, 1].

    Returns:
        float32 [1, resolution, resolution, 3] in [0, 1].
    """
    stripe = (np.arange(resolution) * 8 // resolution) % 2
    light = {
        "plain": np.full((resolution, resolution), 0.5),
        "vertical stripes": np.broadcast_to(stripe[None, :], (resolution, resolution)),
        "horizontal stripes": np.broadcast_to(stripe[:, None], (resolution, resolution)),
        "checks": stripe[None, :] ^ stripe[:, None],
    }[background]
    grey = (0.45 + contrast * (light - 0.5)).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(grey[None, :, :, None], (1, resolution, resolution, 3)))


def paint(canvas: Float[np.ndarray, "_ h w 3"], sprite: Sprite, poses: Poses) -> Float[np.ndarray, "t h w 3"]:
    """Draw one sprite over a canvas in every frame.

    Args:
        canvas: float32 [t or 1, h, h, 3] in [0, 1]; a single frame is broadcast over time.
        sprite: sprite to draw.
        poses: pose of the sprite in every frame.

    Returns:
        float32 [t, h, h, 3] in [0, 1].
    """
    resolution = canvas.shape[1]
    grid = (np.arange(resolution, dtype=np.float32) + np.float32(0.5)) / np.float32(resolution)
    # Distance with wrap-around; valid while a sprite is smaller than the frame.
    dx = grid[None, :] - poses.x[:, None]
    dy = grid[None, :] - poses.y[:, None]
    dx, dy = dx - np.round(dx), dy - np.round(dy)
    cos, sin = (np.cos(poses.angle) / poses.radius)[:, None], (np.sin(poses.angle) / poses.radius)[:, None]
    u = (cos * dx)[:, None, :] + (sin * dy)[:, :, None]
    v = (-sin * dx)[:, None, :] + (cos * dy)[:, :, None]
    pixels = (poses.radius * np.float32(resolution))[:, None, None]
    body = np.clip(np.float32(0.5) - distance(sprite, u, v) * pixels, 0, 1)
    white = _disc(u - np.float32(EYE_U), v - np.float32(EYE_V), EYE_RADIUS)
    eye = np.clip(np.float32(0.5) - white * pixels, 0, 1)
    kept = (1 - body) * (1 - eye)
    body *= 1 - eye
    image = np.empty((len(poses.x), resolution, resolution, 3), np.float32)
    for channel, value in enumerate(RGB[sprite.colour]):
        image[..., channel] = canvas[..., channel] * kept + body * np.float32(value) + eye
    return image


def boxes(sprite: Sprite, poses: Poses) -> Float[np.ndarray, "t 4"]:
    """Return the bounding box of a sprite in every frame, clipped at the frame border.

    Args:
        sprite: species and outline.
        poses: pose of the sprite in every frame.

    Returns:
        float32 [t, 4], (x0, y0, x1, y1) in [0, 1], of the copy that contains the centre; accurate to about
        1/30 of the radius.
    """
    grid = np.linspace(-1.2, 1.2, 73, dtype=np.float32)
    u, v = (
        np.broadcast_to(grid[None, None, :], (1, 73, 73)),
        np.broadcast_to(grid[None, :, None], (1, 73, 73)),
    )
    eye = _disc(u - np.float32(EYE_U), v - np.float32(EYE_V), EYE_RADIUS)
    inside = np.minimum(distance(sprite, u, v), eye) <= 0
    u, v = u[inside], v[inside]
    cos, sin = np.cos(poses.angle)[:, None], np.sin(poses.angle)[:, None]
    x = poses.x[:, None] + (cos * u - sin * v) * poses.radius[:, None]
    y = poses.y[:, None] + (sin * u + cos * v) * poses.radius[:, None]
    sides = np.stack([x.min(1), y.min(1), x.max(1), y.max(1)], axis=1)
    return np.clip(sides, 0, 1).astype(np.float32)
