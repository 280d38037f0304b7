"""One objective in a learner with towers that compile at once, as its contract tests it."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax

from prismlab.core import types
from prismlab.core.nn import transformer_stack
from prismlab.core.train import learner, objective
from prismlab.experiments.kit import strategies

KEY = jax.random.key(3)
# Arguments of a small objective, for those that take them.
SMALL: Mapping[str, Any] = {
    "decoder": functools.partial(transformer_stack.Stack, 1, 8, 2, 16, scan=False, remat="none"),
    "pooler_heads": 2,
}
_CASES: dict[tuple[type, str], "Case"] = {}


class Case:
    """One objective in a learner with towers of clips and captions, with all that is compiled for it.

    No dataclass, because hypothesis would print its fields; it prints the objective's name.

    Args:
        kind: the class.
        switch: name of an argument that is turned on, or None.
        tree: the learner.
        teacher: frozen towers.
        score: ((learner, teacher), batch) -> ((loss, metrics), gradients).
        encode: (learner, teacher, batch) -> encodings in the order of the learner's views.
        call: (objective, encodings, batch, key) -> what the objective returns.
    """

    def __init__(
        self,
        kind: type,
        switch: str | None,
        tree: learner.Learner,
        teacher: learner.Towers,
        score: Callable[..., Any],
        encode: Callable[..., Any],
        call: Callable[..., Any],
    ):
        self.kind, self.switch, self.tree, self.teacher = kind, switch, tree, teacher
        self.score, self.encode, self.call = score, encode, call

    @property
    def own(self) -> objective.AbstractObjective:
        """The objective."""
        return self.tree.objectives["it"]

    def __repr__(self) -> str:
        return "-".join([self.kind.__name__, *filter(None, [self.switch])])


def variants(kinds: Sequence[type]) -> list[tuple[type, str | None]]:
    """Return each objective as it is, and once with each of its switches turned on."""
    listed: list[tuple[type, str | None]] = []
    for kind in kinds:
        taken = inspect.signature(kind).parameters
        off = [name for name, parameter in taken.items() if parameter.default is False]
        listed += [(kind, None), *((kind, switch) for switch in off)]
    return listed


def build(kind: type, switch: str | None = None, small: Mapping[str, Any] = SMALL) -> Case:
    """Return an objective in a learner, built and compiled once.

    Args:
        kind: the class.
        switch: name of an argument to turn on, or None.
        small: arguments that make it small; it is given those that it takes.
    """
    taken = inspect.signature(kind).parameters
    given_sizes = {name: value for name, value in small.items() if name in taken}
    if switch:
        given_sizes[switch] = True
    known = (kind, repr(given_sizes))
    if known in _CASES:
        return _CASES[known]
    teacher = {"video": strategies.QUICK["video"](key=jax.random.key(7))}
    make = functools.partial(kind, **given_sizes)
    tree = learner.build(strategies.QUICK, {"it": make}, teacher, key=jax.random.key(0))

    @eqx.filter_jit
    def score(both: Any, batch: types.Batch) -> Any:
        def total(both: Any) -> Any:
            tree, teacher = both
            return tree(batch, teacher, key=KEY)

        return eqx.filter_value_and_grad(total, has_aux=True)(both)

    @eqx.filter_jit
    def encode(tree: learner.Learner, teacher: learner.Towers, batch: types.Batch) -> Any:
        return [tree.encode(view, batch, teacher, key=KEY) for view in tree.views()]

    @eqx.filter_jit
    def call(own: Any, values: Any, batch: types.Batch, key: Any) -> Any:
        return own(dict(zip(tree.views(), values)), batch, key=key)

    return _CASES.setdefault(known, Case(kind, switch, tree, teacher, score, encode, call))
