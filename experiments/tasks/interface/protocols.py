"""Protocol of an evaluation: every setting that changes a number, with a short hash printed beside it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.experiments.recipe import describe

POOLINGS = ("attention", "frames", "quarters", "mean", "tower")
CROPS = ("centre", "three", "whole")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How clips are shown to the encoder and how its outputs are used.

    Args:
        frames: t, frames of a view.
        resolution: side of a frame in pixels.
        stride: frames between two sampled frames, counted at the video's own rate; None spreads the frames
            evenly over the whole clip.
        clips: views along time, spread evenly over the clip; more than one only with a stride.
        crop: "centre" (one square), "three" (left or top, centre, right or bottom) or "whole" (the whole
            frame, resized to a square, so that boxes stay where they are).
        layers: output layers of the encoder that a head reads; 1 is the last.
        pooling: "attention" (the head's own pooler over all tokens), "frames" (the same over the mean of the
            tokens of each frame), "quarters" (the same over the means of the four quarters of each frame,
            beside each other in one vector), "mean" (of the tokens) or "tower" (the pooled vector of the
            tower, as trained contrastively).
        passes: passes over the training clips; the first is the clip as it is, further ones are augmented,
            and a head draws one of them for each clip of a batch.
        augment: augmentations of the further passes, such as `augment.RandAugment`, applied in this order.

    Outputs of several views are averaged as probabilities (softmax or sigmoid), not as logits.

    Source: VideoPrism E.1; the averaging rule of VideoGLUE (video_classification.py, inference_step).
    """

    frames: int = 16
    resolution: int = 288
    stride: int | None = None
    clips: int = 1
    crop: str = "centre"
    layers: int = 1
    pooling: str = "attention"
    passes: int = 1
    augment: Sequence[Callable[..., Any]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "augment", tuple(self.augment))
        for name in ("frames", "resolution", "clips", "layers", "passes"):
            if getattr(self, name) < 1:
                raise errors.UserError(f"protocol: {name} must be at least 1, got {getattr(self, name)}")
        if self.stride is not None and self.stride < 1:
            raise errors.UserError(f"protocol: stride must be at least 1 or None, got {self.stride}")
        if self.crop not in CROPS or self.pooling not in POOLINGS:
            raise errors.UserError(
                f"protocol: crop must be one of {CROPS} and pooling one of {POOLINGS}, got {self.crop!r} and "
                f"{self.pooling!r}"
            )
        if self.clips > 1 and self.stride is None:
            raise errors.UserError(
                f"protocol: {self.clips} views along time need a stride; set stride, or clips=1"
            )

        if (self.passes > 1) != bool(self.augment):
            raise errors.UserError(
                f"protocol: expected augment with two or more passes and none with one, got {self.passes} "
                f"passes and {len(self.augment)} augmentations"
            )

    @property
    def views(self) -> int:
        """Number of views whose outputs are averaged."""
        return self.clips * (3 if self.crop == "three" else 1)

    def digest(self) -> str:
        """Return 8 hex digits that identify the protocol."""
        return describe.address(describe.describe(self))[:8]

    def summary(self) -> str:
        """Return the protocol in one line, for tables."""
        spread = "evenly spread" if self.stride is None else f"stride {self.stride}"
        return (
            f"{self.frames} frames {spread}, {self.resolution} px, {self.clips}x{self.views // self.clips} "
            f"views, {self.pooling} pooling [{self.digest()}]"
        )
