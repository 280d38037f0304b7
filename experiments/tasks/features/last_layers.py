"""Outputs of the last temporal layers of a frozen encoder, for heads that read several layers."""

from typing import Any

import jax
from jaxtyping import Array, Float

from prismlab.core import errors


def last_layers(count: int, encoder: Any, clips: Float[Array, "b t r r 3"]) -> list[Float[Array, "b s d"]]:
    """Return the output tokens of the last temporal layers; the encoder's final norm is applied to the last.

    Args:
        count: number of layers.
        encoder: the factorised encoder.
        clips: float [b, t, r, r, 3].

    Raises:
        UserError: the temporal stack has fewer layers.
    """
    stack = encoder.temporal
    if not 1 <= count <= stack.count:
        raise errors.UserError(
            f"protocol: layers must be between 1 and {stack.count}, all temporal layers; got {count}"
        )
    spatial = encoder.features(clips)[1]
    b, t = clips.shape[:2]
    n = spatial.shape[1] // t
    x = spatial.reshape(b, t, n, -1).swapaxes(1, 2) + encoder.temporal_positions((t,)).astype(spatial.dtype)
    x = x.reshape(b * n, t, -1)
    found = []
    for index in range(stack.count):
        x = jax.tree.map(lambda leaf, index=index: leaf[index], stack.blocks)(x)
        found.append(x)
    found[-1] = encoder.temporal_norm(found[-1])
    return [each.reshape(b, n, t, -1).swapaxes(1, 2).reshape(b, t * n, -1) for each in found[-count:]]
