"""Exponential moving average (EMA) of towers, owned by an objective as state that no gradient trains.

Source: Tarvainen & Valpola 2017, "Mean teachers are better role models"; V-JEPA 2 (app/vjepa/train.py).
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from prismlab.core import errors, types
from prismlab.core.train import schedules

Value = TypeVar("Value")
FIELD = "average"  # name of the field in which an objective holds its MovingAverage


class MovingAverage(eqx.Module):
    """Towers whose parameters are exponential moving averages of the trained ones.

    average <- decay * average + (1 - decay) * trained, once per step, after the optimizer's update. An
    objective holds it in a field named `average`, marked with `objective_state.STATE`, and hands on `started`
    and `advanced`. `recipe.Stage.encoder` names the objective whose average later stages and evaluations
    read.

    Args:
        names: names of the towers.
        decay: share of the old average that is kept, in [0, 1]; a number or a `schedules.Ramp`.
        towers: the averages by name; none before `started`.
    """

    towers: dict[str, types.Tower]
    names: tuple[str, ...] = eqx.field(static=True)
    decay: schedules.Number

    def __init__(
        self,
        names: Iterable[str],
        decay: schedules.Number,
        towers: Mapping[str, types.Tower] | None = None,
    ):
        least, most = schedules.ends(decay)
        if not 0.0 <= least <= most <= 1.0:
            raise errors.UserError(
                f"the decay of a moving average must be in [0, 1], got {decay}; 0.998 averages over 500 steps"
            )
        self.towers, self.names, self.decay = dict(towers or {}), tuple(names), decay

    def started(self, towers: Mapping[str, types.Tower]) -> "MovingAverage":
        """Return the average that begins with a copy of the towers.

        Args:
            towers: the trained towers, with their initial weights.

        Raises:
            UserError: a tower is missing.
        """
        for name in self.names:
            if name not in towers:
                raise errors.UserError(
                    f"a moving average needs the tower {name!r}; recipe.Stage.towers hold {sorted(towers)}"
                )
        # A copy, since the step takes over the buffers of the state and must be given each one once.
        copy = lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf
        own = {name: jax.tree.map(copy, towers[name]) for name in self.names}
        return MovingAverage(self.names, self.decay, own)

    def advanced(self, towers: Mapping[str, types.Tower], step: Int[Array, ""]) -> "MovingAverage":
        """Return the average after a step.

        Args:
            towers: the trained towers after the update of the step.
            step: number of the step, from 0.
        """
        decay = schedules.value(self.decay, step)

        def moved(average: Any, trained: Any) -> Any:
            if not eqx.is_inexact_array(average):
                return average
            return (decay * average + (1.0 - decay) * trained).astype(average.dtype)

        own = {name: jax.tree.map(moved, self.towers[name], towers[name]) for name in self.names}
        return MovingAverage(self.names, self.decay, own)

    def encode(self, name: str, batch: types.Batch) -> types.Encoded:
        """Return what a tower of the average makes of the intact batch, without gradient."""
        tower = jax.lax.stop_gradient(eqx.filter(self.towers[name], eqx.is_array))
        whole: types.Tower = eqx.combine(tower, self.towers[name])
        return jax.lax.stop_gradient(whole(*(getattr(batch, field) for field in whole.inputs)))


def read(towers: Mapping[str, types.Tower], objectives: Mapping[str, Any], name: str | None) -> Any:
    """Return the towers that later stages and evaluations read, by name.

    Args:
        towers: the trained towers.
        objectives: the objectives by name.
        name: `recipe.Stage.encoder`: an objective with a moving average, or None for the trained towers.

    Raises:
        UserError: no objective has that name, or it holds no moving average.
    """
    if name is None:
        return dict(towers)
    own = getattr(objectives.get(name), FIELD, None)
    if not isinstance(own, MovingAverage):
        able = sorted(
            each for each in objectives if isinstance(getattr(objectives[each], FIELD, None), MovingAverage)
        )
        raise errors.UserError(
            f"recipe.Stage.encoder={name!r} names no objective with a moving average; expected one of "
            f"{able}, or None for the trained towers"
        )
    return {**towers, **own.towers}


def read_arrays(arrays: Mapping[str, Value], name: str | None) -> dict[str, Value]:
    """Return the arrays of a learner with those of a moving average in the place of the trained towers'.

    Args:
        arrays: path -> array of a learner.
        name: `recipe.Stage.encoder` of the stage that trained it.
    """
    if name is None:
        return dict(arrays)
    under = f"objectives/{name}/{FIELD}/"
    return {
        **arrays,
        **{path.removeprefix(under): array for path, array in arrays.items() if path.startswith(under)},
    }
