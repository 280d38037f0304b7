"""Frame sampling (uniform, segments, dense) and spatial crops of video clips."""

import dataclasses
import functools
import itertools

import numpy as np
from jaxtyping import Int, UInt8

from prismlab.core import errors


def uniform(length: int, frames: int) -> Int[np.ndarray, " t"]:
    """Return evenly spaced frame indices over the whole clip, starting at 0.

    Args:
        length: number of frames of the clip.
        frames: t, number of frames to sample, at most `length`.

    Source: official release, np.linspace(0, n, num=t, endpoint=False).
    """
    if length < frames:
        raise errors.UserError(
            f"expected a clip of {frames} frames or more, got {length}; request fewer frames or drop the clip"
        )
    return np.linspace(0, length, num=frames, endpoint=False).astype(np.int64)


def segments(length: int, frames: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
    """Return one random frame index from each of t equal segments of the clip (training).

    Args:
        length: number of frames of the clip.
        frames: t, number of frames to sample, at most `length`.
        rng: random generator of this example.

    Source: Wang et al. 2016 (temporal segment sampling).
    """
    return np.asarray([rng.integers(low, high) for low, high in itertools.pairwise(_edges(length, frames))])


@functools.lru_cache(maxsize=1024)  # the clips of a corpus have few distinct lengths
def _edges(length: int, frames: int) -> tuple[int, ...]:
    return (*uniform(length, frames).tolist(), length)


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Uniform sampling: evenly spaced frames over the whole clip, without randomness; see `uniform`.

    Source: VideoPrism appendix B ("frames are uniformly sampled").
    """

    def __call__(self, length: int, frames: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
        """Return the frame indices of an example; see `uniform`."""
        del rng
        return uniform(length, frames)


@dataclasses.dataclass(frozen=True)
class Segments:
    """Temporal segment sampling: one random frame from each of t equal segments; see `segments`."""

    def __call__(self, length: int, frames: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
        """Return the frame indices of an example; see `segments`."""
        return segments(length, frames, rng)


@dataclasses.dataclass(frozen=True)
class Dense:
    """Dense sampling: frames at a fixed stride from a random start; the stride is reduced for short clips.

    Args:
        stride: distance between sampled frames, 1 or more.

    Source: Feichtenhofer et al. 2019 (SlowFast, T x stride clips).
    """

    stride: int = 2

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise errors.UserError(f"expected stride of 1 or more, got {self.stride}")

    def __call__(self, length: int, frames: int, rng: np.random.Generator) -> Int[np.ndarray, " t"]:
        """Return the frame indices of an example.

        Args:
            length: number of frames of the clip.
            frames: t, number of frames to sample, at most `length`.
            rng: random generator of this example; drawn from once.
        """
        uniform(length, frames)  # raises if the clip is too short
        stride = min(self.stride, (length - 1) // max(1, frames - 1)) if frames > 1 else 1
        start = int(rng.integers(length - (frames - 1) * stride))
        return start + stride * np.arange(frames)


# Top, left, height, width of the crop in pixels; last value is 1 to flip horizontally, else 0.
Box = tuple[int, int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Crop:
    """Random square crop for training, resized to the model resolution; the same for all frames.

    Args:
        least: minimum fraction of the short side to keep, in (0, 1]; 1 is a full centre crop.
        flip: horizontal flip with probability 0.5; do not use where direction matters.
    """

    least: float = 1.0
    flip: bool = False

    def __post_init__(self) -> None:
        if not 0.0 < self.least <= 1.0:
            raise errors.UserError(f"expected least in (0, 1], got {self.least}")

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Sample the crop box.

        Args:
            height: frame height in pixels.
            width: frame width in pixels.
            rng: random generator of this example.
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
        """Crop and resize a clip; see `cut`."""
        return cut(video, box, resolution)

    def __call__(
        self, video: UInt8[np.ndarray, "t h w 3"], resolution: int, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "t r r 3"]:
        """Return the randomly cropped, resized and possibly flipped clip.

        Args:
            video: uint8 [t, h, w, 3].
            resolution: height and width of the result in pixels.
            rng: random generator of this example.
        """
        return cut(video, self.box(video.shape[1], video.shape[2], rng), resolution)


@dataclasses.dataclass(frozen=True)
class ResizedCrop:
    """Random resized crop: random area and aspect ratio, resized to a square; the same for all frames.

    Args:
        area: minimum and maximum fraction of the frame's area, in (0, 1].
        ratio: minimum and maximum aspect ratio (width / height).
        flip: see Crop.

    Source: Szegedy et al. 2015 (inception crop); ten attempts, then a centre crop, as in torchvision.
    """

    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise errors.UserError(f"expected area as two ascending fractions in (0, 1], got {self.area}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise errors.UserError(f"expected ratio as two ascending positive numbers, got {self.ratio}")

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """Sample the crop box; see `Crop.box`."""
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

    def cut(
        self, video: UInt8[np.ndarray, "t h w 3"], box: Box, resolution: int
    ) -> UInt8[np.ndarray, "t r r 3"]:
        """Crop and resize a clip; see `cut`."""
        return cut(video, box, resolution)

    def __call__(
        self, video: UInt8[np.ndarray, "t h w 3"], resolution: int, rng: np.random.Generator
    ) -> UInt8[np.ndarray, "t r r 3"]:
        """Return the randomly cropped, resized and possibly flipped clip.

        Args:
            video: uint8 [t, h, w, 3].
            resolution: height and width of the result in pixels.
            rng: random generator of this example.
        """
        return cut(video, self.box(video.shape[1], video.shape[2], rng), resolution)


def cut(video: UInt8[np.ndarray, "t h w 3"], box: Box, resolution: int) -> UInt8[np.ndarray, "t r r 3"]:
    """Crop all frames to a box, resize to a square and optionally flip horizontally.

    Args:
        video: uint8 [t, h, w, 3].
        box: top, left, height, width, and 1 to flip horizontally.
        resolution: height and width of the result in pixels.
    """
    top, left, height, width, mirrored = box
    video = resize(video[:, top : top + height, left : left + width], resolution)
    return video[:, :, ::-1] if mirrored else video


def centre(video: UInt8[np.ndarray, "t h w 3"], resolution: int) -> UInt8[np.ndarray, "t r r 3"]:
    """Centre-crop each frame to a square and resize it (evaluation, embeddings, corpus checks)."""
    return np.stack([centre_frame(frame, resolution) for frame in video])


def centre_frame(pixels: UInt8[np.ndarray, "h w 3"], resolution: int) -> UInt8[np.ndarray, "r r 3"]:
    """Centre-crop a frame to a square and resize it with Pillow's Lanczos filter; no-op for an equal size.

    Source: the demos of the public release resize with mediapy.resize_video, which uses this filter.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = pixels[top : top + side, left : left + side]
    if side == resolution:
        return np.ascontiguousarray(cut)
    from PIL import Image  # imported only if a clip is actually resized

    return np.asarray(Image.fromarray(cut).resize((resolution, resolution), Image.Resampling.LANCZOS))


def resize(video: UInt8[np.ndarray, "t h w 3"], resolution: int) -> UInt8[np.ndarray, "t r r 3"]:
    """Resize training frames to a square with Pillow's antialiased bilinear filter; no-op for equal sizes."""
    if video.shape[1:3] == (resolution, resolution):
        return video
    from PIL import Image  # imported only if a clip is actually resized

    frames = [
        Image.fromarray(frame).resize((resolution, resolution), Image.Resampling.BILINEAR) for frame in video
    ]
    return np.stack([np.asarray(frame) for frame in frames])
