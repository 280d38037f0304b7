"""What worlds of long clips and of several sprites share: random streams, sprites, poses, pixel noise."""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from prismlab.data.world import sprites, truth, world

STILL = -1  # index of no motion


def stream(look: world.World, purpose: str, index: int) -> np.random.Generator:
    """Return the random stream of one purpose for clip `index`, fixed by the seed and the split of `look`."""
    name = f"{look.seed}/{look.split}/{purpose}/{index}"
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))


def sprite(look: world.World, rng: np.random.Generator) -> sprites.Sprite:
    """Draw the appearance of a sprite."""
    species = truth.SPECIES[int(rng.integers(len(truth.SPECIES)))]
    colour = truth.COLOURS[int(rng.integers(len(truth.COLOURS)))]
    largest = look.deformation * sprites.DEFORMATION / 4
    return sprites.Sprite(species, colour, rng.uniform(-largest, largest, 4).astype(np.float32))


def poses(
    look: world.World,
    start: Float[np.ndarray, "4"],
    motions: Sequence[int] | Int[np.ndarray, " t"],
) -> sprites.Poses:
    """Return the poses of a sprite that moves as fast as those of `look`.

    Args:
        look: settings of speed and size.
        start: pose in the first frame (x, y, angle, log-radius), each in [0, 1).
        motions: index into `truth.MOTIONS` of the change from the frame before, or `STILL`, for each frame;
            the first is ignored.
    """
    step = np.array([look.travel, look.travel, look.turn, look.growth]) / (look.frames - 1)
    steps = np.zeros((len(motions), 4))
    for frame, motion in enumerate(motions):
        if frame and motion != STILL:
            steps[frame, motion // 2] = step[motion // 2] * (1 - 2 * (motion % 2))
    x, y, angle, scale = (((start + steps.cumsum(0)) % 1).T).astype(np.float32)
    radius = np.float32(look.smallest) * np.float32(look.largest / look.smallest) ** scale
    return sprites.Poses(x, y, angle * np.float32(2 * np.pi), radius)


def noisy(
    look: world.World, image: Float[np.ndarray, "t h w 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "t h w 3"]:
    """Return frames in [0, 1] as 8-bit pixels with the pixel noise of `look`."""
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(look.pixel_noise)
    return np.clip(255 * (image + noise) + 0.5, 0, 255).astype(np.uint8)
