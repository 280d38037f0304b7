"""PRNG keys folded by name, so that adding a consumer never changes the random numbers of the others."""

import hashlib

import jax
from jaxtyping import Array, PRNGKeyArray

from prismlab.core import errors


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


def check_seed(seed: int) -> None:
    """Raise UserError for a seed outside [0, 2**32): JAX keeps 32 bits, so that 2**32 would equal 0."""
    if not 0 <= seed < 2**32:
        raise errors.UserError(f"seed must be an integer from 0 to {2**32 - 1}, got {seed}")


def seeded(seed: int, *names: str | int | Array) -> PRNGKeyArray:
    """Return the key of an experiment seed, folded with names.

    Args:
        seed: in [0, 2**32).
        names: see `fold`.

    Raises:
        UserError: the seed is out of range.
    """
    check_seed(seed)
    return fold(jax.random.key(seed), *names)
