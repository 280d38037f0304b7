"""Checksums of the arrays of a state: computed on the devices when it is saved, compared on restore.

The checksum of an array is the sum of its bits, as unsigned integers times odd weights that depend on the
position, modulo 2**32. It does not depend on how the array is split over devices, and changes with every
single flipped bit.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prismlab.core import errors

_UNSIGNED = {1: "uint8", 2: "uint16", 4: "uint32"}


def of(arrays: Mapping[str, Any]) -> dict[str, int]:
    """Return path -> checksum of each array.

    Args:
        arrays: path -> JAX or numpy array.
    """
    sums = {name: (_host_sum if _is_plain(value) else _sum)(value) for name, value in arrays.items()}
    return {name: int(value) for name, value in jax.device_get(sums).items()}


def check(arrays: Mapping[str, Any], expected: Mapping[str, int] | None, what: str) -> None:
    """Compare arrays with the checksums that were saved with them.

    Args:
        arrays: path -> array; other paths in `expected` are ignored.
        expected: path -> checksum; None if the checkpoint was written without.
        what: name of the checkpoint, for the message.

    Raises:
        UserError: an array has other bits than it was saved with.
    """
    if expected is None:
        return
    found = of(arrays)
    wrong = sorted(name for name in found if name in expected and found[name] != expected[name])
    if wrong:
        listed = ", ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise errors.UserError(
            f"checkpoint {what} is damaged: the content of {listed} does not match its checksum; delete that "
            "folder to fall back to the previous one"
        )


def _is_plain(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.itemsize in _UNSIGNED


def _host_sum(value: np.ndarray) -> int:
    """Return the checksum of an array of this process, which was read from a file: nothing is compiled."""
    value = np.ascontiguousarray(value).reshape(-1)
    bits = value.view(_UNSIGNED[value.dtype.itemsize]).astype(np.uint32)
    return int(np.sum(bits * (2 * np.arange(bits.size, dtype=np.uint32) + 1), dtype=np.uint32))


@jax.jit  # a program for each shape: a state has few, in every layer and in both moments of the optimizer
def _sum(value: Any) -> Any:
    value = jnp.asarray(value)
    if value.dtype == jnp.bool_:
        value = value.astype(jnp.uint8)
    if value.dtype.itemsize > 4:  # two words for each 64-bit number: one more axis
        bits = jax.lax.bitcast_convert_type(value, jnp.uint32)
    else:
        bits = jax.lax.bitcast_convert_type(value, np.dtype(_UNSIGNED[value.dtype.itemsize]))
    bits = bits.astype(jnp.uint32)
    steps: Any = np.cumprod([1, *bits.shape[:0:-1]])[::-1]
    index = functools.reduce(
        lambda total, axis: (
            total
            + jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis) * jnp.uint32(int(steps[axis]) % 2**32)
        ),
        range(bits.ndim),
        jnp.zeros(bits.shape, jnp.uint32),
    )
    return jnp.sum(bits * (2 * index + 1), dtype=jnp.uint32)
