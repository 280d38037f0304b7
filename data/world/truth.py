"""Label vocabulary of the synthetic world and the ground truth of one clip."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

SPECIES = ("disc", "square", "triangle", "star", "cross", "ring", "bar", "crescent", "ell", "dumbbell")
COLOURS = ("red", "green", "blue", "yellow", "purple", "cyan")
BACKGROUNDS = ("plain", "vertical stripes", "horizontal stripes", "checks")
# Motions come in time-reversed pairs: motion i played backwards is motion i ^ 1.
MOTIONS = ("right", "left", "down", "up", "clockwise", "counterclockwise", "growing", "shrinking")


def reversal(motion: str) -> str:
    """Return the time reversal of a motion (the motion seen when the clip is played backwards).

    Args:
        motion: one of MOTIONS.

    Returns:
        The opposite motion, e.g. "left" for "right".
    """
    return MOTIONS[MOTIONS.index(motion) ^ 1]


@dataclasses.dataclass(frozen=True)
class Truth:
    """Ground truth of one synthetic clip: labels, bounding boxes, motion segments, question-answer pairs.

    Args:
        index: index of the clip in its world.
        species: one of SPECIES.
        colour: one of COLOURS.
        background: one of BACKGROUNDS.
        motion: one of MOTIONS; the first segment's if the clip has several.
        speed: multiplier of the distance, rotation and growth per segment.
        boxes: float32 [t, 4], (x0, y0, x1, y1) in [0, 1], y downwards, one bounding box per frame. A sprite
            that crosses the border reappears on the other side; the box covers the copy that contains the
            centre, clipped at the border, and not the part that reappears.
        segments: (start in seconds, end in seconds, motion) of the consecutive actions.
        questions: ({"question": ..., "answer": ...}, ...); answers are single words or labels.
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
        """Return the ground truth as JSON-serializable values (boxes rounded to four digits)."""
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
