"""Batches of features: which items, views and passes each step reads, and how they get to the device."""

import dataclasses
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int64

from prismlab.experiments.tasks.features import feature_set

# Features of at most RESIDENT_BYTES are handed to the device once, and batches are gathered there from a
# standardised copy. Of larger ones, the batches of several steps are handed over at a time, CHUNK_BYTES in
# all.
RESIDENT_BYTES = 512 << 20
CHUNK_BYTES = 64 << 20
# Of features on the device, this many steps are taken between two reports of progress.
RESIDENT_STEPS = 2000


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Steps of training, and what they read.

    Args:
        steps: int64 [s], their numbers.
        pool: float32 [p, ...], features of single views, on the device.
        at: int64 [s, orders, b], the features of each batch in the pool.
        rows: int64 [s, orders, b], the items of each batch.
    """

    steps: Int64[np.ndarray, " s"]
    pool: Float32[Array, "p ..."]
    at: Int64[np.ndarray, "s o b"]
    rows: Int64[np.ndarray, "s o b"]


@dataclasses.dataclass(frozen=True)
class Batches:
    """Batches of training items, each item in a view and a pass drawn at random.

    Args:
        passes: features of the same items, as they are and in further passes.
        rows: int64 [m], rows to draw from.
        batch_size: items a step.
        seed: seed of the draws.
        orders: batches of a step, each drawn by itself.
    """

    passes: Sequence[feature_set.FeatureSet]
    rows: Int64[np.ndarray, " m"]
    batch_size: int
    seed: int
    orders: int = 1

    def chunks(self, steps: int) -> Iterator[Chunk]:
        """Yield all steps, in chunks; a batch is a pure function of seed, step and order.

        Args:
            steps: number of steps in all.
        """
        _, views, *shape = self.passes[0].take(self.rows[:1]).shape
        a_view = 4 * int(np.prod(shape))
        everything = len(self.passes) * len(self.rows) * views * a_view
        if everything <= RESIDENT_BYTES and len(self.rows) <= steps * self.orders * self.batch_size:
            row, view, number = self._draw(views, np.arange(steps))
            read = [each.take(self.rows).reshape(-1, *shape) for each in self.passes]
            place = np.zeros(len(self.passes[0]), np.int64)
            place[self.rows] = np.arange(len(self.rows))
            at = (number * len(self.rows) + place[row]) * views + view
            resident = jnp.asarray(read[0] if len(read) == 1 else np.concatenate(read))
            for start in range(0, steps, RESIDENT_STEPS):
                part = slice(start, start + RESIDENT_STEPS)
                yield Chunk(np.arange(steps)[part], resident, at[part], row[part])
            return
        chunk = max(1, CHUNK_BYTES // max(1, a_view * self.orders * self.batch_size))
        for start in range(0, steps, chunk):
            numbers = np.arange(start, min(start + chunk, steps))
            row, view, number = self._draw(views, numbers)
            taken = self._read(row.reshape(-1), number.reshape(-1))
            # One view needs no choice, which would be a copy.
            pool = taken[:, 0] if views == 1 else taken[np.arange(len(taken)), view.reshape(-1)]
            yield Chunk(numbers, jnp.asarray(pool), np.arange(row.size).reshape(row.shape), row)

    def _draw(self, views: int, steps: Int64[np.ndarray, " s"]) -> list[Int64[np.ndarray, "s o b"]]:
        """Return row, view and pass of each item of the batches of some steps."""
        found = np.zeros((3, len(steps), self.orders, self.batch_size), np.int64)
        for place, step in enumerate(steps.tolist()):
            for order in range(self.orders):
                found[:2, place, order] = drawn(self.rows, views, self.batch_size, self.seed, step, order)
                if len(self.passes) > 1:
                    rng = np.random.default_rng([self.seed, step, order, 1])
                    found[2, place, order] = rng.integers(len(self.passes), size=self.batch_size)
        return list(found)

    def _read(self, rows: np.ndarray, numbers: np.ndarray) -> Float32[np.ndarray, "n v ..."]:
        """Return the features of rows, each in its pass."""
        if len(self.passes) == 1:
            return self.passes[0].take(rows)
        parts = {number: np.flatnonzero(numbers == number) for number in np.unique(numbers).tolist()}
        read = np.concatenate([self.passes[number].take(rows[places]) for number, places in parts.items()])
        return read[np.argsort(np.concatenate(list(parts.values())))]


def drawn(rows: np.ndarray, views: int, batch_size: int, seed: int, step: int, order: int = 0) -> np.ndarray:
    """Return the row and view of each item of a batch, int64 [2, b]; a pure function of seed, step, order."""
    rng = np.random.default_rng([seed, step, *([order] if order else [])])
    return np.stack([rows[rng.integers(len(rows), size=batch_size)], rng.integers(views, size=batch_size)])
