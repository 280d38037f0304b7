"""Accuracy of multiple choice, with the chance of the data set's own numbers of options."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import measured


@dataclasses.dataclass(frozen=True)
class ChoiceAccuracy:
    """Fraction of items whose right option scores higher than all others; ties count as misses."""

    @property
    def name(self) -> str:
        """Name in tables."""
        return "accuracy"

    def __call__(self, scores: Sequence[Float[np.ndarray, " o"]], found: items.ItemSet) -> measured.Measured:
        """Return the accuracy; items with one option, or with two right ones, are counted, and left out once.

        Args:
            scores: scores of the options of each item.
            found: the items; `texts` are the options, `answer` is the right one.
        """
        right = np.asarray([_right(one, item) for one, item in zip(scores, found.items, strict=True)], float)
        options = np.asarray([len(item.texts) for item in found.items])
        chance = float((1 / options).mean())
        notes: dict[str, object] = {
            "options": f"{options.min()} to {options.max()}, mean {options.mean():.2f}"
        }
        for reason, left_out in (("one option", options == 1), ("two right options", shared(found))):
            if left_out.any():
                notes[f"items with {reason}"] = int(left_out.sum())
            if left_out.any() and not left_out.all():
                notes[f"accuracy without items with {reason}"] = round(float(right[~left_out].mean()), 6)
                notes[f"chance without items with {reason}"] = round(
                    float((1 / options)[~left_out].mean()), 4
                )
        return measured.Measured(float(right.mean()), chance, right, notes)


def shared(found: items.ItemSet) -> np.ndarray:
    """Return which items offer an option that is the right answer of another item on the same clip, bool [n].

    The same clip is the same file with the same start and end; both options are right, one of them counts.
    """
    place = lambda item: (item.path, item.start, item.end) if item.path else (item.key,)
    answers: dict[tuple, set[str]] = {}
    for item in found.items:
        answers.setdefault(place(item), set()).add(item.texts[item.answer or 0])
    return np.asarray(
        [
            bool((answers[place(item)] - {item.texts[item.answer or 0]}) & set(item.texts))
            for item in found.items
        ],
        bool,
    )


def _right(scores: Float[np.ndarray, " o"], item: items.Item) -> bool:
    clean = np.where(np.isfinite(scores), scores, -np.inf)
    others = np.delete(clean, item.answer or 0)
    return bool(len(others) == 0 or clean[item.answer or 0] > others.max())
