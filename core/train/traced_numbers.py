"""Numbers of a stage that are arguments of its compiled step and not constants in it.

Stages that differ only in these numbers share one program: learning rates and their schedule, weight decay,
the bound on the gradient norm, and the weights of the objectives.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import optax

from prismlab.core import trees
from prismlab.core.train import learner

Values = Mapping[str, Any]  # name -> float or traced scalar


@runtime_checkable
class Transformation(Protocol):
    """What the step needs of an optimizer: `optax.GradientTransformation` and `Numbered` have it."""

    @property
    def init(self) -> Callable[..., Any]:
        """Parameters -> initial state."""
        ...

    @property
    def update(self) -> Callable[..., Any]:
        """Gradients, state, parameters -> updates, next state."""
        ...


@runtime_checkable
class Made(Protocol):
    """An optimizer without its numbers, compared by value: equal ones share a program."""

    def transformation(self, values: Values) -> optax.GradientTransformation:
        """Return the optax transformation with these numbers."""
        ...


class Numbered(eqx.Module):
    """An optax transformation whose numbers are leaves, so that they can be traced.

    Args:
        values: name -> number.
        like: the optimizer without them; hashable.
    """

    values: dict[str, float]
    like: Made = eqx.field(static=True)

    def init(self, params: Any) -> Any:
        """Return the initial state, whose structure does not depend on the numbers."""
        return self.like.transformation(self.values).init(params)

    def update(self, updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        """Return the updates and the next state."""
        stepped: tuple[Any, Any] = self.like.transformation(self.values).update(updates, state, params)
        return stepped


def is_number(leaf: Any) -> bool:
    """Return whether a leaf of an optimizer is a number that may become an argument."""
    return isinstance(leaf, float)


def weights(tree: learner.Learner) -> dict[str, float]:
    """Return objective -> weight, for the weights that are plain numbers (a `schedules.Ramp` is none)."""
    found = {name: each.weight for name, each in tree.objectives.items()}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def with_weights(tree: learner.Learner, given: Values) -> learner.Learner:
    """Return a learner with other weights of its objectives.

    Args:
        tree: a learner, or a part of it.
        given: objective -> weight, a number or a traced scalar.
    """
    changed: learner.Learner = trees.replace(
        tree, {f"objectives/{name}/weight": value for name, value in given.items()}
    )
    return changed


class Static:
    """A tree of leaves that are no arrays, hashed and compared by value: a key of compiled programs.

    Args:
        tree: the tree.
    """

    def __init__(self, tree: Any):
        self._leaves, self._structure = jax.tree.flatten(tree)

    @property
    def tree(self) -> Any:
        """The tree."""
        return jax.tree.unflatten(self._structure, self._leaves)

    def __hash__(self) -> int:
        return hash((self._structure, tuple(self._leaves)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Static) or not bool(self._structure == other._structure):  # type: ignore[operator]
            return False
        # 1 == 1.0 == True, but they are compiled to different programs.
        pairs = zip(self._leaves, other._leaves, strict=True)
        return all(a is b or (type(a) is type(b) and bool(a == b)) for a, b in pairs)
