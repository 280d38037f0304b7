"""Loss functions shared by several objectives: distances, normalization, whitening."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def normalise(x: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
    """L2-normalize vectors to unit length, in float32.

    Args:
        x: any float dtype, [..., d].

    Returns:
        float32 [..., d]; zero vectors stay zero.

    Source: official release, L2 normalization with epsilon 1e-12 inside the square root.
    """
    x = x.astype(jnp.float32)
    return x / jnp.sqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)


def cosine_distance(
    prediction: Float[Array, "*shape d"], target: Float[Array, "*shape d"]
) -> Float[Array, "*shape"]:
    """Cosine distance, 1 - cosine similarity, of each pair of vectors.

    Args:
        prediction: [..., d], any float dtype.
        target: [..., d]; the caller applies stop_gradient.

    Returns:
        float32 [...], from 0 (same direction) to 2 (opposite).

    Source: VideoPrism 2.3.2 and C.2 (cosine distance, local and global).
    """
    return 1.0 - jnp.sum(normalise(prediction) * normalise(target), axis=-1)


def standardise(x: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
    """Return vectors with mean 0 and variance 1 over the last axis, in float32 (a plain layer norm).

    Args:
        x: [..., d], any float dtype.

    Source: V-JEPA 2, app/vjepa/train.py (F.layer_norm of the targets, epsilon 1e-5).
    """
    x = x.astype(jnp.float32)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), axis=-1, keepdims=True) + 1e-5)


def absolute_error(
    prediction: Float[Array, "*shape d"], target: Float[Array, "*shape d"]
) -> Float[Array, "*shape"]:
    """Mean absolute difference over the last axis, in float32.

    Args:
        prediction: [..., d], any float dtype.
        target: [..., d]; the caller applies stop_gradient.
    """
    return jnp.mean(jnp.abs(prediction.astype(jnp.float32) - target.astype(jnp.float32)), axis=-1)


def whiten(tokens: Float[Array, "b s d"], weight: Float[Array, " b"]) -> Float[Array, "b s d"]:
    """Whiten tokens (ZCA): subtract the mean at each token index, then scale to unit covariance.

    The teacher's tokens vary in few directions, mostly those that distinguish clips, and these dominate
    the cosine distance. After whitening, directions that distinguish locations or frames count as well.
    The symmetric square root is used because it changes little between batches.

    Args:
        tokens: [b, s, d], the teacher's tokens; the caller applies stop_gradient.
        weight: float32 [b]; padding examples (weight 0) are excluded from all averages.

    Returns:
        float32 [b, s, d].

    Source: not from the paper; see experiments/records.
    """
    x, weight = tokens.astype(jnp.float32), weight / jnp.maximum(jnp.sum(weight), 1e-6)
    x = x - jnp.einsum("b,bsd->sd", weight, x)
    covariance = jnp.einsum("b,bsd,bse->de", weight, x, x) / x.shape[1]
    values, vectors = jnp.linalg.eigh(covariance)
    # Add 1e-3 of the mean variance, so that directions without variance are not amplified into noise.
    scale = jax.lax.rsqrt(jnp.maximum(values, 0.0) + 1e-3 * jnp.mean(values) + 1e-12)
    whitened: Array = x @ (vectors * scale) @ vectors.T
    return whitened
