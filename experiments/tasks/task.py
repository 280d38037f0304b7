"""Evaluation interface: a task takes trained towers and returns named scores, each with its protocol."""

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
    """A score and the protocol by which it was measured.

    Args:
        value: the score; an accuracy in [0, 1] in the shipped tasks.
        n: number of test items averaged.
        protocol: pooling, frames, views, train clips per class, chance and other relevant settings.
        outcomes: contribution of each item by head seed, and the items' names: {"keys": [n], "groups": [n],
            "outcomes": [k][n]}; None where a metric is no mean over items.
    """

    value: float
    n: int
    protocol: Mapping[str, Any]
    outcomes: Mapping[str, Any] | None = None


class Task(Protocol):
    """Interface of an evaluation; implementations are frozen dataclasses with plain fields."""

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
    """Apply a tower to clips in batches and return one output per clip.

    Args:
        tower: a video tower.
        videos: uint8 [c, t, height, width, 3].
        batch_size: clips per batch; the last batch is padded, so only one program is compiled.
        read: tower output -> array with the batch on axis 0.

    Returns:
        [c, ...] in host memory; floats are float32, because numpy sums bfloat16 in bfloat16 and statistics
        of many tokens would be wrong.
    """
    arrays, static = eqx.partition(tower, eqx.is_array)

    @jax.jit
    def encode(arrays: Any, videos: Any) -> Any:
        found = read(eqx.combine(arrays, static)(videos.astype(jnp.float32) / 255.0))
        return jax.tree.map(
            lambda x: x.astype(jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x, found
        )

    parts = []
    for start in range(0, len(videos), batch_size):
        piece = videos[start : start + batch_size]
        missing = batch_size - len(piece)
        padded = np.concatenate([piece, np.repeat(piece[-1:], missing, 0)]) if missing else piece
        parts.append(np.asarray(encode(arrays, padded))[: len(piece)])
    return np.concatenate(parts)
