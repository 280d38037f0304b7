"""Batches hold the features that were drawn, however they get to the device."""

import numpy as np
import pytest

from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import batches

ROWS = np.asarray([1, 2, 4, 5, 7])


class Passes(feature_set.InMemory):
    """Features that say their pass, row and view, and count how many rows are read."""

    def __init__(self, number: int, views: int):
        row, view = np.mgrid[:9, :views]
        super().__init__(np.stack([np.full_like(row, number), row, view], -1).astype(np.float32))
        object.__setattr__(self, "read", [])

    def take(self, rows):
        self.read.append(len(rows))
        return super().take(rows)


def all_steps(drawn: batches.Batches, steps: int):
    """Return the steps, features and rows of all chunks, and the number of chunks."""
    chunks = list(drawn.chunks(steps))
    joined = lambda read: np.concatenate([read(chunk) for chunk in chunks])
    features = joined(lambda chunk: np.asarray(chunk.pool)[chunk.at])
    return joined(lambda chunk: chunk.steps), features, joined(lambda chunk: chunk.rows), len(chunks)


@pytest.mark.parametrize(("passes", "views"), [(1, 1), (1, 3), (2, 1), (2, 3)])
def test_features_kept_on_the_device_and_handed_over_in_chunks_make_the_same_batches(
    monkeypatch, passes, views
):
    drawn = batches.Batches([Passes(number, views) for number in range(passes)], ROWS, 4, seed=3, orders=2)
    steps, features, rows, chunks = all_steps(drawn, 7)
    assert chunks == 1
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(batches, "CHUNK_BYTES", 3 * 4 * 2 * 4 * 3)  # three steps
    apart = all_steps(drawn, 7)
    assert apart[3] == 3
    for one, other in zip((steps, features, rows), apart):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(steps, np.arange(7))
    np.testing.assert_array_equal(features[..., 1], rows)
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 1 << 20)
    monkeypatch.setattr(batches, "RESIDENT_STEPS", 3)
    resident = all_steps(drawn, 7)
    assert resident[3] == 3
    for one, other in zip((steps, features, rows), resident):
        np.testing.assert_array_equal(one, other)
    assert set(rows.flat) == set(ROWS)
    assert set(features[..., 0].flat) == set(range(passes))
    assert set(features[..., 2].flat) == set(range(views))
    assert (rows[:, 0] != rows[:, 1]).any()


def test_features_are_read_once_unless_fewer_are_drawn():
    features = Passes(0, 1)
    all_steps(batches.Batches([features], ROWS, 4, seed=0), 100)
    assert sum(features.read) == 1 + len(ROWS)
    few = Passes(0, 1)
    all_steps(batches.Batches([few], ROWS, 2, seed=0), 1)
    assert sum(few.read) == 1 + 2
