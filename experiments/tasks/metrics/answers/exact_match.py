"""Exact match of an answer: the top-1 accuracy of open-ended question answering."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.metrics import measured


def plain(answer: str) -> str:
    """Return an answer as it is compared: lower case, single blanks, without a period at the end."""
    return " ".join(answer.lower().split()).rstrip(" .")


@dataclasses.dataclass(frozen=True)
class ExactMatch:
    """Fraction of questions whose answer equals a reference; answers of several words must match in all."""

    @property
    def name(self) -> str:
        """Name in tables."""
        return "top-1"

    def missing(self) -> str:
        """Return "": nothing is missing."""
        return ""

    def __call__(self, said: Sequence[str], references: Sequence[texts.Reference]) -> measured.Measured:
        """Return the accuracy, and that of each type of question in the notes."""
        right = np.asarray(
            [
                plain(text) in {plain(one) for one in each.texts}
                for text, each in zip(said, references, strict=True)
            ],
            float,
        )
        return measured.Measured(float(right.mean()), None, right, by_kind(right, references))


def by_kind(outcomes: np.ndarray, references: Sequence[texts.Reference]) -> dict[str, object]:
    """Return a note with the mean of each type of question, or none if there is one type only."""
    kinds = sorted({each.kind for each in references})
    if len(kinds) < 2:
        return {}
    mean = lambda kind: float(np.mean([o for o, each in zip(outcomes, references) if each.kind == kind]))
    return {"by type": ", ".join(f"{kind or '-'} {mean(kind):.3f}" for kind in kinds)}
