"""Which frames of a clip are seen, and which part of each frame."""

import dataclasses
import functools
import itertools

import numpy as np
from jaxtyping import Int, UInt8

from prismlab.core import errors


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
    return np.asarray([rng.integers(low, high) for low, high in itertools.pairwise(_edges(length, frames))])


@functools.lru_cache(maxsize=1024)  # the clips of a corpus have few lengths
def _edges(length: int, frames: int) -> tuple[int, ...]:
    return (*uniform(length, frames).tolist(), length)


@dataclasses.dataclass(frozen=True)
class Segments:
    """One random frame from each of t equal segments of the clip; see `segments`."""

    def __call__(self, length: int, frames: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
        """Return the frames of an example; arguments as in `segments`."""
        return segments(length, frames, rng)


@dataclasses.dataclass(frozen=True)
class Dense:
    """Frames at a fixed stride from a random start; a shorter clip lowers the stride as far as needed.

    Args:
        stride: frames from one to the next, 1 or more.

    Source: Feichtenhofer et al. 2019 (SlowFast, T x stride clips).
    """

    stride: int = 2

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"stride must be at least 1, got {self.stride}")

    def __call__(self, length: int, frames: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
        """Return the frames of an example.

        Args:
            length: frames of the clip.
            frames: t, frames wanted, at most `length`.
            rng: consumed once.
        """
        uniform(length, frames)  # refuses a clip that is too short
        stride = min(self.stride, (length - 1) // max(1, frames - 1)) if frames > 1 else 1
        start = int(rng.integers(length - (frames - 1) * stride))
        return start + stride * np.arange(frames)


# Top, left, height and width of what is kept, in pixels; 1 where it is mirrored left to right.
Box = tuple[int, int, int, int, int]


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

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Return the part of the frames that is kept.

        Args:
            height: of a frame in pixels.
            width: of a frame in pixels.
            rng: randomness of this example.
        """
        scale, down, right = rng.uniform(self.least, 1.0), rng.uniform(), rng.uniform()
        mirrored = self.flip and rng.uniform() < 0.5
        side = max(1, round(min(height, width) * scale))
        if self.least == 1.0:
            down = right = 0.5
        return int((height - side) * down), int((width - side) * right), side, side, int(mirrored)

    def cut(
        self, video: UInt8[np.ndarray, "t h w 3"], box: Box, resolution: int
    ) -> UInt8[np.ndarray, "t r r 3"]:
        """Return the part of a clip at a resolution; see `cut`."""
        return cut(video, box, resolution)

    def __call__(
        self, video: UInt8[np.ndarray, "t h w 3"], resolution: int, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "t r r 3"]:
        """Return the cropped, resized and perhaps mirrored clip.

        Args:
            video: uint8 [t, h, w, 3].
            resolution: side of the result in pixels.
            rng: randomness of this example.
        """
        return cut(video, self.box(video.shape[1], video.shape[2], rng), resolution)


@dataclasses.dataclass(frozen=True)
class ResizedCrop(Crop):
    """A random part of random area and shape, stretched to a square; the same for all frames.

    Args:
        area: smallest and largest share of the frame's area, in (0, 1].
        ratio: smallest and largest width / height.
        flip: as in Crop.

    Source: Szegedy et al. 2015 (inception crop), with ten tries and the centre square after them, as
        torchvision does.
    """

    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.least != 1.0:
            raise ValueError("ResizedCrop takes area, not least")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area must be two rising shares in (0, 1], got {self.area}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio must be two rising positive numbers, got {self.ratio}")

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Return the part of the frames that is kept; arguments as in Crop.box."""
        draws = rng.uniform(size=(10, 4))
        mirrored = int(self.flip and rng.uniform() < 0.5)
        for area, ratio, down, right in draws:
            size = height * width * (self.area[0] + area * (self.area[1] - self.area[0]))
            low, high = np.log(self.ratio[0]), np.log(self.ratio[1])
            shape = np.exp(low + ratio * (high - low))
            high_side, wide_side = round(float(np.sqrt(size / shape))), round(float(np.sqrt(size * shape)))
            if 0 < high_side <= height and 0 < wide_side <= width:
                top, left = int((height - high_side + 1) * down), int((width - wide_side + 1) * right)
                return top, left, high_side, wide_side, mirrored
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side, mirrored


def cut(video: UInt8[np.ndarray, "t h w 3"], box: Box, resolution: int) -> UInt8[np.ndarray, "t r r 3"]:
    """Return one part of all frames, resized and perhaps mirrored.

    Args:
        video: uint8 [t, h, w, 3].
        box: top, left, height, width and whether to mirror.
        resolution: side of the result in pixels.
    """
    top, left, height, width, mirrored = box
    video = resize(video[:, top : top + height, left : left + width], resolution)
    return video[:, :, ::-1] if mirrored else video


def centre(video: UInt8[np.ndarray, "t h w 3"], resolution: int) -> UInt8[np.ndarray, "t r r 3"]:
    """Return the centre square of each frame at a resolution (evaluation)."""
    height, width = video.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(video[:, top : top + side, left : left + side], resolution)


def resize(video: UInt8[np.ndarray, "t h w 3"], resolution: int) -> UInt8[np.ndarray, "t r r 3"]:
    """Resize frames to a square with Pillow's antialiased bilinear filter; the identity at equal size."""
    if video.shape[1:3] == (resolution, resolution):
        return video
    from PIL import Image  # loaded only where a clip really changes size

    frames = [
        Image.fromarray(frame).resize((resolution, resolution), Image.Resampling.BILINEAR) for frame in video
    ]
    return np.stack([np.asarray(frame) for frame in frames])
