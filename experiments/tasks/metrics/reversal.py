"""Accuracy within pairs of opposite motions, which only the order of the frames tells apart."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from prismlab.core import errors
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import measured

STRAIGHT = 4  # the first motions of the rendered world: right, left, down, up


@dataclasses.dataclass(frozen=True)
class Reversal:
    """Fraction of clips whose motion scores higher than its opposite; ties count as misses.

    Args:
        motions: the classes that the items must have, each motion beside its opposite: 0 and 1, 2 and 3, and
            so on; for the rendered world `truth.MOTIONS`.
    """

    motions: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name in tables."""
        return "reversal"

    def __call__(self, scores: Float[np.ndarray, "n c"], found: items.ItemSet) -> measured.Measured:
        """Return the accuracy.

        Raises:
            UserError: the items have other classes.
        """
        if found.classes != self.motions:
            raise errors.UserError(
                f"{found.name}: reversal expected the classes {self.motions}, found {found.classes}; "
                "choose another metric"
            )
        rows, right = np.arange(len(found)), found.index_targets()
        ahead = (scores[rows, right] > scores[rows, right ^ 1]).astype(np.float64)
        return measured.Measured(float(ahead.mean()), 0.5, ahead)


def straight(found: items.ItemSet) -> Sequence[int]:
    """Return the rows of rendered clips that move right, left, down or up."""
    return np.flatnonzero(found.index_targets() < STRAIGHT).tolist()
