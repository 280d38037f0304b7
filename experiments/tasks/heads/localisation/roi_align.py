"""RoIAlign: features of a box by bilinear samples of a map, without rounding of its corners.

Source: He et al. 2017 (Mask R-CNN), with the half-pixel shift (`aligned`) of Detectron2. Samples outside the
map take the value at its border.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def roi_align(
    features: Float[Array, "h w d"], shares: Float[Array, "4"], size: int = 7, samples: int = 2
) -> Float[Array, "size size d"]:
    """Return the features of a box.

    Args:
        features: a map; cell (row, column) has its centre at ((column + .5) / w, (row + .5) / h).
        shares: box (x1, y1, x2, y2) as a share of the frame, in [0, 1].
        size: bins along a side.
        samples: samples along a side of a bin, which are averaged.
    """
    height, width = features.shape[:2]
    steps = (jnp.arange(size * samples) + 0.5) / (size * samples)
    x = _weights((shares[0] + (shares[2] - shares[0]) * steps) * width - 0.5, width)
    y = _weights((shares[1] + (shares[3] - shares[1]) * steps) * height - 0.5, height)
    x, y = (each.reshape(size, samples, -1).mean(axis=1) for each in (x, y))
    return jnp.einsum("ih,jw,hwd->ijd", y, x, features)


def _weights(places: Float[Array, " s"], cells: int) -> Float[Array, "s cells"]:
    """Return the share of each cell in linear interpolation at places, in units of cells."""
    inside = jnp.clip(places, 0.0, cells - 1.0)
    return jax.nn.relu(1.0 - jnp.abs(inside[:, None] - jnp.arange(cells)))
