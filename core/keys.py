"""PRNG keys folded by name, so that adding a consumer never changes the random numbers of the others."""

import hashlib

import jax
from jaxtyping import Array, PRNGKeyArray


def name_to_int(name: str) -> int:
    """Return a stable 31-bit integer hash of a name (first bytes of its sha256)."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") >> 1


def fold(key: PRNGKeyArray, *names: str | int | Array) -> PRNGKeyArray:
    """Derive a key from a key and a path of names or integers.

    Args:
        key: a typed JAX key.
        names: words or (possibly traced) non-negative integers, folded in from left to right.

    Returns:
        A key that depends only on the input key and the names, not on how many other keys were drawn.
    """
    for name in names:
        key = jax.random.fold_in(key, name_to_int(name) if isinstance(name, str) else name)
    return key


def seeded(seed: int, *names: str | int | Array) -> PRNGKeyArray:
    """Return the key of an experiment seed, folded with names."""
    return fold(jax.random.key(seed), *names)
