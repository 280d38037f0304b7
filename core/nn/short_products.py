"""The two matrix products of attention, with gradients that are fast for short rows on a CPU.

XLA's CPU backend takes its fast path for a batched product only if the contracted axis of the left factor is
its last one. The gradients for keys and values contract the queries, which are not, so thousands of tiny
products are computed one by one. Here the left factor is transposed in memory first, for rows of at most
LONGEST positions (times and equal digests: records/2026-11-29-short-attention.md). Short rows have no
forward-mode derivative (`jax.jvp`).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from prismlab.core.parallel import mesh

# Longest row, in queries or keys; longer ones keep the gradients of the plain products, and so their bits.
LONGEST = 32


def logits(query: Float[Array, "r h i k"], key: Float[Array, "r h j k"]) -> Float[Array, "r h i j"]:
    """Return the dot product of every query with every key.

    Args:
        query: [rows, heads, query positions, head width].
        key: [rows, heads, key positions, head width].
    """
    found: Array = _logits(query, key) if _short(query, key) else _plain_logits(query, key)
    return found


def mixed(weights: Float[Array, "r h i j"], value: Float[Array, "r h j k"]) -> Float[Array, "r h i k"]:
    """Return the sum of the values by weight, for every query.

    Args:
        weights: [rows, heads, query positions, key positions].
        value: [rows, heads, key positions, head width].
    """
    found: Array = _mixed(weights, value) if _short(weights, value) else _plain_mixed(weights, value)
    return found


def _short(left: Array, right: Array) -> bool:
    alike = left.dtype == right.dtype
    return mesh.platform() == "cpu" and alike and max(left.shape[2], right.shape[2]) <= LONGEST


def _plain_logits(query: Array, key: Array) -> Array:
    return jnp.einsum("rhik,rhjk->rhij", query, key)


def _plain_mixed(weights: Array, value: Array) -> Array:
    return jnp.einsum("rhij,rhjk->rhik", weights, value)


def _transposed(x: Array) -> Array:
    # Without the barrier, XLA merges the transpose into the product again.
    found: Array = jax.lax.optimization_barrier(jnp.swapaxes(x, -1, -2))
    return found


_logits, _mixed = jax.custom_vjp(_plain_logits), jax.custom_vjp(_plain_mixed)


def _logits_forward(query: Array, key: Array) -> tuple[Array, tuple[Array, Array]]:
    return _plain_logits(query, key), (query, key)


def _logits_backward(kept: tuple[Array, Array], change: Array) -> tuple[Array, Array]:
    query, key = kept
    return _plain_mixed(change, key), _plain_mixed(_transposed(change), query)


def _mixed_forward(weights: Array, value: Array) -> tuple[Array, tuple[Array, Array]]:
    return _plain_mixed(weights, value), (weights, value)


def _mixed_backward(kept: tuple[Array, Array], change: Array) -> tuple[Array, Array]:
    weights, value = kept
    return _plain_logits(change, value), _plain_mixed(_transposed(weights), change)


_logits.defvjp(_logits_forward, _logits_backward)
_mixed.defvjp(_mixed_forward, _mixed_backward)
