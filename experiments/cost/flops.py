"""Count the FLOPs of a jaxpr; the body of a scan is multiplied by its length.

Only matrix products and convolutions are counted, with two FLOPs per multiply-add, as in published peak
numbers. The body of a `while` loop counts once; in this project only mask sampling has one, without
matrix products.
"""

import collections
import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core as jaxpr_core


def products(jaxpr: Any) -> dict[str, float]:
    """Return the FLOPs of all matrix products and convolutions by dtype.

    Args:
        jaxpr: an open or closed jaxpr, for example `jax.make_jaxpr(step)(...)`.

    Returns:
        dtype of the operands ("bfloat16", "float32") -> FLOPs.
    """
    total: dict[str, float] = collections.defaultdict(float)
    for equation, times in walk(jaxpr):
        if equation.primitive.name == "dot_general":
            total[_kind(equation)] += times * _product(equation)
        elif equation.primitive.name == "conv_general_dilated":
            total[_kind(equation)] += times * _convolution(equation)
    return dict(total)


def product_bytes(jaxpr: Any) -> float:
    """Return the bytes that matrix products and convolutions read and write, all other operations fused.

    Args:
        jaxpr: as in `products`.
    """
    total = 0.0
    for equation, times in walk(jaxpr):
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            total += times * sum(size(each) for each in (*equation.invars, *equation.outvars))
    return total


def walk(jaxpr: Any, times: float = 1.0) -> Iterator[tuple[Any, float]]:
    """Yield (equation, number of executions) for every innermost equation of a jaxpr.

    Args:
        jaxpr: an open or closed jaxpr.
        times: number of executions of the jaxpr itself.
    """
    for equation in opened(jaxpr).eqns:
        inner = inside(equation)
        if not inner:
            yield equation, times
        elif equation.primitive.name == "cond":  # the most expensive branch
            costs = [sum(products(branch).values()) for branch in inner]
            yield from walk(inner[costs.index(max(costs))], times)
        else:
            for each in inner:
                yield from walk(each, times * runs(equation))


def runs(equation: Any) -> int:
    """Return the number of executions of the body of an equation."""
    return equation.params["length"] if equation.primitive.name == "scan" else 1


def inside(equation: Any) -> list[Any]:
    """Return the sub-jaxprs of an equation."""
    name, params = equation.primitive.name, equation.params
    if name == "cond":
        return list(params["branches"])
    if name == "while":
        return [params["body_jaxpr"]]
    for field in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if field in params:
            return [params[field]]
    return []


def opened(jaxpr: Any) -> Any:
    """Return the open jaxpr of a closed one; an open one is returned unchanged."""
    return jaxpr.jaxpr if isinstance(jaxpr, jaxpr_core.ClosedJaxpr) else jaxpr


def size(variable: Any) -> int:
    """Return the bytes of a variable or literal; PRNG keys and other opaque values count 8 per element."""
    aval = variable.aval
    shape = getattr(aval, "shape", ())
    dtype = getattr(aval, "dtype", None)
    if dtype is None:
        return 0
    width = 8 if jax.dtypes.issubdtype(dtype, jax.dtypes.extended) else dtype.itemsize
    return math.prod(shape) * width


def _kind(equation: Any) -> str:
    return equation.invars[0].aval.dtype.name


def _product(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    shape = equation.invars[0].aval.shape
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(shape[axis] for axis in contracted)


def _convolution(equation: Any) -> float:
    kernel = equation.invars[1].aval.shape
    out_axis = equation.params["dimension_numbers"].rhs_spec[0]
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) / kernel[out_axis]
