"""Pure loss functions that more than one objective uses."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def normalise(x: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
    """Scale each vector to unit length, in float32.

    Args:
        x: any float dtype, [..., d].

    Returns:
        float32 [..., d]; a zero vector stays zero.

    Source: official release, L2 normalisation with 1e-12 inside the root.
    """
    x = x.astype(jnp.float32)
    return x / jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)


def cosine_distance(
    prediction: Float[Array, "*shape d"], target: Float[Array, "*shape d"]
) -> Float[Array, "*shape"]:
    """Return 1 - cosine similarity of each pair of vectors.

    Args:
        prediction: [..., d], any float dtype.
        target: [..., d]; the caller stops its gradient.

    Returns:
        float32 [...], from 0 (same direction) to 2 (opposite).

    Source: VideoPrism 2.3.2 and C.2 (cosine distance, local and global).
    """
    return 1.0 - jnp.sum(normalise(prediction) * normalise(target), axis=-1)
