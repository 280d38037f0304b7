"""Estimate the peak memory of a jaxpr by liveness analysis.

Used for hardware without ahead-of-time compilation. A value is live from its definition to its last use;
an elementwise value with only elementwise consumers is assumed to be fused.
"""

from typing import Any

from prismlab.experiments.cost import flops

# Primitives that a compiler fuses into their consumers.
FUSED = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "max",
        "min",
        "neg",
        "exp",
        "log",
        "tanh",
        "erf",
        "rsqrt",
        "sqrt",
        "integer_pow",
        "pow",
        "square",
        "select_n",
        "convert_element_type",
        "broadcast_in_dim",
        "reshape",
        "squeeze",
        "expand_dims",
        "transpose",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and",
        "or",
        "not",
        "iota",
        "copy",
        "sign",
        "logistic",
        "stop_gradient",
        "exp2",
        "log1p",
        "abs",
        "floor",
        "is_finite",
        "cumsum",
        "random_wrap",
        "random_bits",
        "add_any",
        "pjit_id",
        "mul_any",
        "clamp",
        "rev",
        "concatenate",
        "pad",
    ]
)


def peak(jaxpr: Any, platform: str | None = None) -> float:
    """Return the peak bytes of live values, without the arguments of the jaxpr.

    Args:
        jaxpr: an open or closed jaxpr.
        platform: as in `flops.products`; None: the branch that needs most.
    """
    jaxpr = flops.opened(jaxpr)
    last: dict[Any, int] = {}
    for place, equation in enumerate(jaxpr.eqns):
        for each in equation.invars:
            if not hasattr(each, "val"):
                last[each] = place
    for each in jaxpr.outvars:
        if not hasattr(each, "val"):
            last[each] = len(jaxpr.eqns)
    users: dict[Any, list[Any]] = {}
    for equation in jaxpr.eqns:
        for each in equation.invars:
            if not hasattr(each, "val"):
                users.setdefault(each, []).append(equation)
    outside = set(map(id, jaxpr.invars)) | set(map(id, jaxpr.constvars))
    alive: dict[Any, int] = {}
    now = most = 0.0
    for place, equation in enumerate(jaxpr.eqns):
        inner = max((peak(each, platform) for each in flops.inside(equation, platform)), default=0.0)
        for each in equation.outvars:
            if each not in last or id(each) in outside:
                continue
            fused = equation.primitive.name in FUSED and all(
                user.primitive.name in FUSED or user.primitive.name.startswith("reduce")
                for user in users.get(each, [])
            )
            alive[each] = 0 if fused and last[each] < len(jaxpr.eqns) else flops.size(each)
            now += alive[each]
        most = max(most, now + inner)
        for each in {one for one in equation.invars if not hasattr(one, "val")}:
            if last.get(each) == place:
                now -= alive.pop(each, 0)
    return most
