"""VideoGLUE score: one number for an encoder, from its scores under four ways of adapting it.

For each adaptation, scores are averaged within five groups of tasks and then over the groups. The score is
the mean over adaptations, each weighted with 1 / log10(trained FLOPs in billions): cheap ones count more.

Source: VideoPrism Tables 13 to 17 and E.1. (VideoGLUE v3 weighs by parameters and inference FLOPs instead.)
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from prismlab.core import errors

GROUPS: dict[str, tuple[str, ...]] = {
    "appearance": ("Kinetics-400", "Moments in Time"),
    "motion": ("Something-Something v2", "Diving48 V2"),
    "multi-label": ("Charades",),
    "temporal localisation": ("ActivityNet 1.3",),
    "spatiotemporal localisation": ("AVA 2.2", "AVA-Kinetics"),
}
# Adapters and end-to-end training are not defined for temporal localisation, which reads stored features.
MAY_LACK = "temporal localisation"


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """Scores of one way of adapting an encoder (frozen, MLAP, adapter, end to end).

    Args:
        scores: benchmark (as in `GROUPS`) -> score in percent.
        flops: FLOPs of the trained part in billions, above 1.
    """

    scores: Mapping[str, float]
    flops: float

    def __post_init__(self) -> None:
        known = {name for group in GROUPS.values() for name in group}
        required = known - set(GROUPS[MAY_LACK])
        if unknown := sorted(set(self.scores) - known):
            raise errors.UserError(f"VideoGLUE score: no benchmark {unknown[0]!r}; expected {sorted(known)}")
        if missing := sorted(required - set(self.scores)):
            raise errors.UserError(f"VideoGLUE score: {', '.join(missing)} missing; run all of VideoGLUE")
        if not self.flops > 1:
            raise errors.UserError(f"VideoGLUE score: expected more than 1 billion FLOPs, got {self.flops:g}")
        if wrong := [name for name, score in self.scores.items() if not 0 <= score <= 100]:
            raise errors.UserError(
                f"VideoGLUE score: expected percent, got {self.scores[wrong[0]]:g} for {wrong[0]}"
            )

    @property
    def weight(self) -> float:
        """Weight of this adaptation."""
        return 1.0 / math.log10(self.flops)

    @property
    def mean(self) -> float:
        """Mean over the groups of the mean within each."""
        groups = [[self.scores[name] for name in group if name in self.scores] for group in GROUPS.values()]
        return float(np.mean([np.mean(group) for group in groups if group]))


def videoglue_score(adaptations: Mapping[str, Adaptation]) -> float:
    """Return the VideoGLUE score in percent.

    Args:
        adaptations: name -> scores, at least one; comparable only between encoders with the same ones.

    Raises:
        UserError: there is no adaptation.
    """
    if not adaptations:
        raise errors.UserError("VideoGLUE score: give at least one adaptation")
    used = list(adaptations.values())
    return float(np.average([one.mean for one in used], weights=[one.weight for one in used]))
