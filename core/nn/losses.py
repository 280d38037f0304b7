"""Pure loss functions that more than one objective uses."""

import jax
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


def whiten(tokens: Float[Array, "b s d"], weight: Float[Array, " b"]) -> Float[Array, "b s d"]:
    """Subtract each place's mean token and rotate-scale the rest to unit covariance over the batch.

    A teacher's tokens vary in few directions, mostly those that tell one clip from another; the plain
    cosine is won by these. Whitened, the directions that tell one place or moment from another count too.
    The symmetric root is used, which moves little from batch to batch.

    Args:
        tokens: [b, s, d], the teacher's tokens; the caller stops their gradient.
        weight: float32 [b]; examples of weight 0 enter no average.

    Returns:
        float32 [b, s, d].

    Source: ours, not the paper's; see experiments/records.
    """
    x, weight = tokens.astype(jnp.float32), weight / jnp.maximum(jnp.sum(weight), 1e-6)
    x = x - jnp.einsum("b,bsd->sd", weight, x)
    covariance = jnp.einsum("b,bsd,bse->de", weight, x, x) / x.shape[1]
    values, vectors = jnp.linalg.eigh(covariance)
    # A thousandth of the mean variance is added, so that empty directions do not turn into noise.
    scale = jax.lax.rsqrt(jnp.maximum(values, 0.0) + 1e-3 * jnp.mean(values) + 1e-12)
    return x @ (vectors * scale) @ vectors.T
