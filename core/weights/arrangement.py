"""How one array lies in another layout: a rearrangement and its inverse, never arithmetic."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """A rearrangement of an array's numbers; going there and back gives the same bits.

    Args:
        there: our array -> the other layout's.
        back: (the other layout's array, our shape) -> ours.
        shape: our shape -> the other layout's.
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
# w [d, h, k] of a map into heads, as the [h * k, d] matrix of a PyTorch Linear.
HEADS_IN = Arrangement(
    lambda x: x.reshape(x.shape[0], -1).T,
    lambda x, shape: x.T.reshape(shape),
    lambda shape: (math.prod(shape[1:]), shape[0]),
)
# w [d, h, k] of the map back from heads, as the [d, h * k] matrix of a PyTorch Linear.
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
