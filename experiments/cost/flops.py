"""Count the FLOPs of a jaxpr; the body of a scan is multiplied by its length.

Only matrix products and convolutions are counted, with two FLOPs per multiply-add, as in published peak
numbers. The body of a Pallas kernel is multiplied by its grid. Where a program differs by platform
(`jax.lax.platform_dependent`), the branch of the given platform counts, or the cheapest if none is given.
The body of a `while` loop counts once; in this project only mask sampling has one, without matrix products.
"""

import collections
import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core as jaxpr_core

KERNEL = "pallas_call"


def products(jaxpr: Any, platform: str | None = None) -> dict[str, float]:
    """Return the FLOPs of all matrix products and convolutions by dtype.

    Args:
        jaxpr: an open or closed jaxpr, for example `jax.make_jaxpr(step)(...)`.
        platform: platform that the program is compiled for, such as "tpu"; None: the cheapest.

    Returns:
        dtype of the operands ("bfloat16", "float32") -> FLOPs.
    """
    total: dict[str, float] = collections.defaultdict(float)
    for equation, times in walk(jaxpr, platform=platform):
        if equation.primitive.name == "dot_general":
            total[_kind(equation)] += times * _product(equation)
        elif equation.primitive.name == KERNEL:
            programs = math.prod(equation.params["grid_mapping"].grid)
            for dtype, count in products(equation.params["jaxpr"], platform).items():
                total[dtype] += times * programs * count
        elif equation.primitive.name == "conv_general_dilated":
            total[_kind(equation)] += times * _convolution(equation)
    return dict(total)


def product_bytes(jaxpr: Any, platform: str | None = None) -> float:
    """Return the bytes that products, convolutions and kernels read and write, all other operations fused.

    Args:
        jaxpr: as in `products`.
        platform: as in `products`.
    """
    total = 0.0
    for equation, times in walk(jaxpr, platform=platform):
        if equation.primitive.name in ("dot_general", "conv_general_dilated", KERNEL):
            total += times * sum(size(each) for each in (*equation.invars, *equation.outvars))
    return total


def walk(jaxpr: Any, times: float = 1.0, platform: str | None = None) -> Iterator[tuple[Any, float]]:
    """Yield (equation, number of executions) for every innermost equation of a jaxpr.

    Args:
        jaxpr: an open or closed jaxpr.
        times: number of executions of the jaxpr itself.
        platform: as in `products`.
    """
    for equation in opened(jaxpr).eqns:
        inner = inside(equation, platform)
        if not inner:
            yield equation, times
        elif equation.primitive.name == "cond":
            costs = [sum(products(branch, platform).values()) for branch in inner]
            pick = max if equation.params.get("branches_platforms") is None else min
            yield from walk(inner[costs.index(pick(costs))], times, platform)
        else:
            for each in inner:
                yield from walk(each, times * runs(equation), platform)


def runs(equation: Any) -> int:
    """Return the number of executions of the body of an equation."""
    return equation.params["length"] if equation.primitive.name == "scan" else 1


def inside(equation: Any, platform: str | None = None) -> list[Any]:
    """Return the sub-jaxprs of an equation; of a choice by platform, only that of the platform, if given.

    A Pallas kernel is an innermost equation: its values are in the chip, not in device memory.
    """
    name, params = equation.primitive.name, equation.params
    if name == "cond":
        branches, named = list(params["branches"]), params.get("branches_platforms")
        if platform is None or named is None:
            return branches
        own = [place for place, names in enumerate(named) if names is not None and platform in names]
        return [branches[own[0] if own else named.index(None)]]
    if name == "while":
        return [params["body_jaxpr"]]
    if name == KERNEL:
        return []
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
