"""Array conversions between weight formats: reshapes and transposes with their inverses."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Invertible rearrangement (reshape, transpose) of an array; the round trip is bitwise exact.

    Args:
        there: our array -> array of the other format.
        back: (array of the other format, our shape) -> our array.
        shape: our shape -> shape in the other format.
    """

    there: Callable[[Any], Any]
    back: Callable[[Any, Shape], Any]
    shape: Callable[[Shape], Shape]


def _patches_there(kernel: Any) -> Any:
    # [patch * patch * 3, d], rows in the order row, column, channel -> Conv3d's [d, 3, 1, patch, patch].
    side = math.isqrt(kernel.shape[0] // 3)
    return kernel.T.reshape(-1, 1, side, side, 3).transpose(0, 4, 1, 2, 3)


def _patches_shape(shape: Shape) -> Shape:
    side = math.isqrt(shape[0] // 3)
    return shape[1], 3, 1, side, side


SAME = Arrangement(lambda x: x, lambda x, shape: x, lambda shape: shape)
LEADING_ONE = Arrangement(lambda x: x[None], lambda x, shape: x[0], lambda shape: (1, *shape))
TRANSPOSED = Arrangement(lambda x: x.T, lambda x, shape: x.T, lambda shape: shape[::-1])
FLAT = Arrangement(
    lambda x: x.reshape(-1), lambda x, shape: x.reshape(shape), lambda shape: (math.prod(shape),)
)
# HeadsIn.w [d, h, k] -> weight [h * k, d] of a PyTorch Linear.
HEADS_IN = Arrangement(
    lambda x: x.reshape(x.shape[0], -1).T,
    lambda x, shape: x.T.reshape(shape),
    lambda shape: (math.prod(shape[1:]), shape[0]),
)
# HeadsOut.w [d, h, k] -> weight [d, h * k] of a PyTorch Linear.
HEADS_OUT = Arrangement(
    lambda x: x.reshape(x.shape[0], -1),
    lambda x, shape: x.reshape(shape),
    lambda shape: (shape[0], math.prod(shape[1:])),
)
PATCHES = Arrangement(
    _patches_there,
    lambda x, shape: x.transpose(0, 2, 3, 4, 1).reshape(shape[1], shape[0]).T,
    _patches_shape,
)
