"""Which frames of a clip are seen, and which part of each frame."""

import dataclasses
import itertools

import numpy as np
from jaxtyping import Int, UInt8

from core import errors


def uniform(length: int, frames: int) -> Int[np.ndarray, " t"]:
    """Return frame indices spread evenly over the whole clip, starting at 0.

    Args:
        length: frames of the clip.
        frames: t, frames wanted, at most `length`.

    Source: official release, np.linspace(0, n, num=t, endpoint=False).
    """
    if length < frames:
        raise errors.UserError(
            f"clip has {length} frames, {frames} were asked for; ask for fewer or leave it out"
        )
    return np.linspace(0, length, num=frames, endpoint=False).astype(np.int64)


def segments(length: int, frames: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
    """Return one random frame from each of t equal segments of the clip (training).

    Args:
        length: frames of the clip.
        frames: t, frames wanted, at most `length`.
        rng: randomness of this example.

    Source: Wang et al. 2016 (temporal segment sampling).
    """
    edges = np.append(uniform(length, frames), length)
    return np.asarray([rng.integers(low, high) for low, high in itertools.pairwise(edges)])


@dataclasses.dataclass(frozen=True)
class Crop:
    """A random square crop for training, resized to the resolution; the same for all frames.

    Args:
        least: smallest share of the short side kept, in (0, 1]; 1 keeps a full centre square.
        flip: mirror half of the clips left to right; wrong wherever direction matters.
    """

    least: float = 1.0
    flip: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.least <= 1.0:
            raise ValueError(f"least must lie in (0, 1], got {self.least}")

    def __call__(
        self, video: UInt8[np.ndarray, "t h w 3"], resolution: int, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "t r r 3"]:
        """Return the cropped, resized and perhaps mirrored clip.

        Args:
            video: uint8 [t, h, w, 3].
            resolution: side of the result in pixels.
            rng: randomness of this example.
        """
        height, width = video.shape[1:3]
        scale, down, right = rng.uniform(self.least, 1.0), rng.uniform(), rng.uniform()
        mirrored = self.flip and rng.uniform() < 0.5
        side = max(1, round(min(height, width) * scale))
        if self.least == 1.0:
            down = right = 0.5
        top, left = int((height - side) * down), int((width - side) * right)
        video = resize(video[:, top : top + side, left : left + side], resolution)
        return video[:, :, ::-1] if mirrored else video


def centre(video: UInt8[np.ndarray, "t h w 3"], resolution: int) -> UInt8[np.ndarray, "t r r 3"]:
    """Return the centre square of each frame at a resolution (evaluation)."""
    height, width = video.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(video[:, top : top + side, left : left + side], resolution)


def resize(video: UInt8[np.ndarray, "t s s 3"], resolution: int) -> UInt8[np.ndarray, "t r r 3"]:
    """Resize square frames with Pillow's antialiased bilinear filter; the identity at equal size."""
    if video.shape[1] == resolution:
        return video
    from PIL import Image  # loaded only where a clip really changes size

    frames = [
        Image.fromarray(frame).resize((resolution, resolution), Image.Resampling.BILINEAR) for frame in video
    ]
    return np.stack([np.asarray(frame) for frame in frames])
