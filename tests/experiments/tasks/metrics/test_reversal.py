"""Accuracy within pairs of opposite motions."""

import dataclasses

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.world import truth
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.metrics import reversal

FOUND = items.ItemSet("w", tuple(items.Item(str(n), labels=(n,)) for n in range(8)), truth.MOTIONS, load=None)


def test_a_motion_is_compared_with_its_opposite_alone():
    scores = np.zeros((8, 8))
    scores[np.arange(8), (np.arange(8) + 2) % 8] = 9  # a motion of another pair does not matter
    scores[[0, 3, 5], [0, 3, 5]] = 1
    scores[[1, 6], [0, 7]] = 1
    made = reversal.Reversal(truth.MOTIONS)(scores, FOUND)
    assert made.outcomes.tolist() == [1, 0, 0, 1, 0, 1, 0, 0]  # ties are misses
    assert (made.value, made.chance) == (3 / 8, 0.5)
    assert reversal.straight(FOUND) == [0, 1, 2, 3]
    assert all(truth.reversal(name) == truth.MOTIONS[n ^ 1] for n, name in enumerate(truth.MOTIONS))


def test_other_classes_are_refused():
    other = dataclasses.replace(FOUND, classes=tuple("abcdefgh"))
    with pytest.raises(errors.UserError, match=r"expected the classes \('right', .* found \('a', "):
        reversal.Reversal(truth.MOTIONS)(np.zeros((8, 8)), other)
