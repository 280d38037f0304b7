"""Video augmentations after the crop: color jitter and RandAugment, identical for all frames of a clip.

They use Pillow, which is a dependency already; the maintained augmentation libraries need torch or OpenCV.
List instances in `loader.Line.augment`. Each is called as `change(video uint8 [t, r, r, 3], rng)` with the
random generator of the example.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageOps

from prismlab.core import errors

Clip = UInt8[np.ndarray, "t r r 3"]


def _each(video: Clip, change: Callable[[Image.Image], Image.Image]) -> Clip:
    return np.stack([np.asarray(change(Image.fromarray(frame))) for frame in video])


@dataclasses.dataclass(frozen=True)
class ColourJitter:
    """Color jitter: scale brightness, contrast and saturation by random factors, in random order.

    Args:
        brightness: b in [0, 1]; the factor is uniform in [1 - b, 1 + b].
        contrast: as brightness.
        saturation: as brightness.
        probability: probability to augment a clip, in [0, 1].

    Source: Chen et al. 2020 (SimCLR), without hue jitter.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    probability: float = 0.8

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if not 0 <= getattr(self, field.name) <= 1:
                raise errors.UserError(f"{field.name} must be in [0, 1], got {getattr(self, field.name)}")

    def __call__(self, video: Clip, rng: np.random.Generator) -> Clip:
        """Return the augmented clip."""
        strengths = (self.brightness, self.contrast, self.saturation)
        order, factors = rng.permutation(3), 1 + rng.uniform(-1, 1, 3) * strengths
        if rng.uniform() >= self.probability:
            return video
        enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for which in order:
            video = _each(video, _enhance(enhancers[which], float(factors[which])))
        return video


def _enhance(enhancer: Callable, factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda frame: enhancer(frame).enhance(factor)


def _affine(a: float, b: float, c: float, d: float, e: float, f: float) -> Callable:
    return lambda frame: frame.transform(
        frame.size, Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR, fillcolor=_GREY
    )


_GREY = (128, 128, 128)
# Name -> (strength in [0, 1], sign, frame side in pixels) -> function of one frame.
OPERATIONS: dict[str, Callable[[float, float, int], Callable[[Image.Image], Image.Image]]] = {
    "identity": lambda m, s, r: lambda frame: frame,
    "autocontrast": lambda m, s, r: ImageOps.autocontrast,
    "equalize": lambda m, s, r: ImageOps.equalize,
    "rotate": lambda m, s, r: (
        lambda frame: frame.rotate(30 * m * s, Image.Resampling.BILINEAR, fillcolor=_GREY)
    ),
    "solarize": lambda m, s, r: lambda frame: ImageOps.solarize(frame, round(256 - 256 * m)),
    "posterize": lambda m, s, r: lambda frame: ImageOps.posterize(frame, 8 - round(4 * m)),
    "colour": lambda m, s, r: lambda frame: ImageEnhance.Color(frame).enhance(1 + 0.9 * m * s),
    "contrast": lambda m, s, r: lambda frame: ImageEnhance.Contrast(frame).enhance(1 + 0.9 * m * s),
    "brightness": lambda m, s, r: lambda frame: ImageEnhance.Brightness(frame).enhance(1 + 0.9 * m * s),
    "sharpness": lambda m, s, r: lambda frame: ImageEnhance.Sharpness(frame).enhance(1 + 0.9 * m * s),
    "shear x": lambda m, s, r: _affine(1, 0.3 * m * s, 0, 0, 1, 0),
    "shear y": lambda m, s, r: _affine(1, 0, 0, 0.3 * m * s, 1, 0),
    "translate x": lambda m, s, r: _affine(1, 0, 0.45 * m * s * r, 0, 1, 0),
    "translate y": lambda m, s, r: _affine(1, 0, 0, 0, 1, 0.45 * m * s * r),
}
MOVING = ("shear x", "shear y", "translate x", "translate y", "rotate")


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """RandAugment for video: random operations at one magnitude, identical for all frames of a clip.

    Args:
        count: operations per clip.
        magnitude: mean magnitude, 0 to 10.
        deviation: standard deviation of the magnitude, which is sampled per operation.
        probability: probability to apply each operation, in [0, 1].
        geometric: include rotation, shear and translation; False if location or direction matters.

    Source: Cubuk et al. 2020; the operations and their ranges as in the variant for video of Fan et al. 2021.
    """

    count: int = 2
    magnitude: float = 9.0
    deviation: float = 0.5
    probability: float = 0.5
    geometric: bool = True

    def __post_init__(self) -> None:
        if self.count < 1:
            raise errors.UserError(f"count must be at least 1, got {self.count}")
        if not 0 <= self.magnitude <= 10:
            raise errors.UserError(f"magnitude must be in [0, 10], got {self.magnitude}")
        if self.deviation < 0 or not 0 <= self.probability <= 1:
            raise errors.UserError(
                f"deviation must be at least 0 and probability in [0, 1], got {self.deviation} and "
                f"{self.probability}"
            )

    def __call__(self, video: Clip, rng: np.random.Generator) -> Clip:
        """Return the augmented clip."""
        names = [name for name in OPERATIONS if self.geometric or name not in MOVING]
        chosen = rng.integers(len(names), size=self.count)
        strengths = np.clip(rng.normal(self.magnitude, self.deviation, self.count), 0, 10) / 10
        signs = rng.choice([-1.0, 1.0], self.count)
        done = rng.uniform(size=self.count) < self.probability
        for which, strength, sign in zip(chosen[done], strengths[done], signs[done]):
            change = OPERATIONS[names[which]](float(strength), float(sign), video.shape[1])
            video = _each(video, change)
        return video
