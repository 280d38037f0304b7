"""What an evaluation is: frozen towers in, named scores out, each with the protocol that made it."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Score:
    """One number and how it came about.

    Args:
        value: the number, an accuracy in [0, 1] in the shipped tasks.
        n: test items it is an average of.
        protocol: pooling, frames, views, train clips per class, chance, and whatever else matters.
    """

    value: float
    n: int
    protocol: Mapping[str, Any]


class Task(Protocol):
    """One evaluation; a frozen dataclass with plain fields."""

    def __call__(
        self, towers: Mapping[str, eqx.Module], *, seed: int, cache: pathlib.Path
    ) -> dict[str, Score]:
        """Evaluate the towers of a stage.

        Args:
            towers: frozen encoders by name.
            seed: the experiment's seed.
            cache: directory shared by runs.

        Returns:
            Scores by metric name; {} when the towers lack what the task needs.
        """
        ...


def encode_all(tower: Any, videos: np.ndarray, batch_size: int, read: Callable[[Any], Any]) -> np.ndarray:
    """Encode clips in batches and keep what is read from each encoding.

    Args:
        tower: a video tower.
        videos: uint8 [c, t, height, width, 3].
        batch_size: clips at a time; the last batch is padded, so one program serves all.
        read: Encoded -> array with the batch first.

    Returns:
        [c, ...] on the host.
    """
    arrays, static = eqx.partition(tower, eqx.is_array)

    @jax.jit
    def encode(arrays: Any, videos: Any) -> Any:
        return read(eqx.combine(arrays, static)(videos.astype(jnp.float32) / 255.0))

    parts = []
    for start in range(0, len(videos), batch_size):
        piece = videos[start : start + batch_size]
        missing = batch_size - len(piece)
        padded = np.concatenate([piece, np.repeat(piece[-1:], missing, 0)]) if missing else piece
        parts.append(np.asarray(encode(arrays, padded))[: len(piece)])
    return np.concatenate(parts)
