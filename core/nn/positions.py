"""Position embeddings: learnable tables with interpolation (video) and fixed sinusoids (text)."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, weight_decay
from prismlab.core.nn import layers


class PositionTable(eqx.Module):
    """Learnable position embedding over time (1D) or space (2D), interpolated to other lengths.

    One frame gets the interpolated temporal embedding, as in the public release; the paper crops the table.

    Source: VideoPrism appendix B (learnable, decoupled in space and time, interpolated to other lengths).
    """

    table: Float[Array, "positions d"] = eqx.field(metadata=weight_decay.UNDECAYED)
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, shape: tuple[int, ...], dim: int, *, std: float | None = None, key: PRNGKeyArray):
        """Initialize the table.

        Args:
            shape: (frames,) or (rows, columns).
            dim: width of the tokens.
            std: standard deviation of the initial values; None means LeCun normal, 1 / sqrt(positions).
            key: a typed JAX key.
        """
        count = math.prod(shape)
        if std is None:
            self.table = layers.lecun_normal(key, (count, dim), count)
        else:
            self.table = std * jax.random.normal(key, (count, dim))
        self.shape = shape

    def __call__(self, shape: tuple[int, ...] | None = None) -> Float[Array, "positions d"]:
        """Return one vector per position, interpolated bilinearly if shape differs from the table's.

        Args:
            shape: (frames,) or (rows, columns); None means the table's own.

        Returns:
            float32 [prod(shape), d].
        """
        if shape is None or shape == self.shape:
            return self.table
        if len(shape) != len(self.shape):
            raise errors.UserError(f"a position table of shape {self.shape} cannot give positions {shape}")
        dim = self.table.shape[-1]
        plane = self.table.reshape(*self.shape, dim)
        stretched: Array = jax.image.resize(plane, (*shape, dim), method="bilinear")
        return stretched.reshape(-1, dim)


def sinusoids(length: int, dim: int, last_included: bool = True) -> Float[Array, "length d"]:
    """Sinusoidal position embedding of the text tower: all sines, then all cosines.

    Args:
        length: number of positions.
        dim: width; if odd, the last value is zero.
        last_included: True includes the longest wavelength, as in the release; False ends one step
            before it, as in transformers.

    Returns:
        float32 [length, dim], wavelengths from 2π to 2π * 10,000 in geometric steps.

    Source: public release, encoders.py.
    """
    scales = dim // 2
    step = math.log(10_000.0) / max(scales - last_included, 1)
    frequencies = jnp.exp(-step * jnp.arange(scales, dtype=jnp.float32))
    angles = jnp.arange(length, dtype=jnp.float32)[:, None] * frequencies[None, :]
    waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return jnp.pad(waves, ((0, 0), (0, dim % 2)))
