"""Evaluation interface: a task takes trained towers and returns named scores, each with its protocol."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from prismlab.experiments.recipe import task_interface

# Re-exported for authors of tasks; recipes hold tasks by this interface.
Score = task_interface.Score
Task = task_interface.Task


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
