"""The label words of the rendered world, and the ground truth of one clip."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

SPECIES = ("disc", "square", "triangle", "star", "cross", "ring", "bar", "crescent", "ell", "dumbbell")
COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan")
BACKGROUNDS = ("plain", "vertical stripes", "horizontal stripes", "checks")
# Neighbours are time reversals of each other: motion i played backwards is motion i ^ 1.
MOTIONS = ("right", "left", "down", "up", "clockwise", "counterclockwise", "growing", "shrinking")


def reversal(motion: str) -> str:
    """Return the motion that a clip shows when it is played backwards.

    Args:
        motion: one of MOTIONS.

    Returns:
        The other member of its pair, e.g. "left" for "right".
    """
    return MOTIONS[MOTIONS.index(motion) ^ 1]


@dataclasses.dataclass(frozen=True)
class Truth:
    """Everything that is known about one rendered clip.

    Args:
        index: number of the clip in its world.
        species: one of SPECIES.
        colour: one of COLOURS.
        background: one of BACKGROUNDS.
        motion: one of MOTIONS; of the first segment where the clip has several.
        speed: factor on the world's distance per segment.
        boxes: float32 [t, 4], (x0, y0, x1, y1) in [0, 1], y downwards, one box a frame. A sprite that
            crosses the border reappears on the other side; the box is of the copy that holds the sprite's
            centre, cut at the border, so the part that reappears lies outside it.
        segments: (start in seconds, end in seconds, motion), one action after another.
        questions: ({"question": ..., "answer": ...}, ...), answers are single words or label words.
    """

    index: int
    species: str
    colour: str
    background: str
    motion: str
    speed: float
    boxes: Float[np.ndarray, "t 4"]
    segments: tuple[tuple[float, float, str], ...]
    questions: tuple[dict[str, str], ...]

    def labels(self) -> dict[str, Any]:
        """Return the truth as plain JSON values (boxes rounded to four digits)."""
        return {
            "index": self.index,
            "species": self.species,
            "colour": self.colour,
            "background": self.background,
            "motion": self.motion,
            "speed": self.speed,
            "boxes": [[round(float(value), 4) for value in box] for box in self.boxes],
            "segments": [list(segment) for segment in self.segments],
            "questions": [dict(pair) for pair in self.questions],
        }
