"""Gradient of each objective alone: its norm, and the cosines between objectives.

Objectives of a stage share its towers. A cosine near 1 says that two of them ask for the same change, near 0
that they do not interfere, below 0 that they work against each other; the norms say which one dominates.

Source: Yu et al. 2020, "Gradient Surgery for Multi-Task Learning" (cosines of task gradients).
"""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from prismlab.core import keys, trees
from prismlab.core.parallel import mesh as meshes
from prismlab.core.train import learner, metrics
from prismlab.core.train.steps import step

NORM, COSINE = "objective_gradient_norm", "objective_gradient_cosine"
BETWEEN = " and "  # in the name of a cosine


def gradients(
    state: step.TrainState,
    batch: step.HostBatch,
    teacher: learner.Towers | None,
    frozen: tuple[str, ...] = (),
    accumulate: int = 1,
) -> dict[str, metrics.Mean]:
    """Return norms and cosines of the objectives' gradients with respect to the trained part of the towers.

    Parameters of the objectives themselves (decoders, heads) are left out: no other objective reads them.

    Args:
        state: the state before the step.
        batch: the global batch of the step.
        teacher: frozen towers, or None.
        frozen: path prefixes of the learner that are not trained.
        accumulate: number of gradient accumulation parts.

    Returns:
        "objective_gradient_norm/NAME", with the weight in the sum applied, and
        "objective_gradient_cosine/NAME and NAME" of each pair, in [-1, 1]; 0 if a gradient is 0.
    """
    key = keys.fold(state.key, "step", state.step)
    moving, still = eqx.partition(state.learner, step.trainable(state.learner, frozen))
    found = {}
    for name in sorted(state.learner.objectives):
        # Keys are folded by name, so an objective alone draws what it draws among the others.
        own, rest = (learner.Learner(each.towers, {name: each.objectives[name]}) for each in (moving, still))
        _, _, gradient, _ = step.loss_and_gradients(
            own, rest, batch, teacher, accumulate, key=key, step=state.step
        )
        found[name] = gradient.towers
    # Without a trained part in the towers there are no leaves, whose sum is a Python 0.
    norms = {name: jnp.asarray(optax.tree.norm(each), jnp.float32) for name, each in found.items()}
    named = {f"{NORM}/{name}": norm for name, norm in norms.items()}
    for one, other in itertools.combinations(found, 2):
        named[f"{COSINE}/{one}{BETWEEN}{other}"] = _cosine(
            jnp.asarray(optax.tree.vdot(found[one], found[other]), jnp.float32), norms[one] * norms[other]
        )
    return {name: metrics.Mean(value, jnp.float32(1.0)) for name, value in named.items()}


def _cosine(dot: Float[Array, ""], size: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.clip(jnp.where(size > 0, dot / jnp.where(size > 0, size, 1.0), 0.0), -1.0, 1.0)


class Measured:
    """`gradients` at every so many steps, as a program of its own, which is compiled when it is first due.

    Args (constructor):
        state: a state of the stage; only its static parts are used.
        frozen: path prefixes of the learner that are not trained.
        teacher: frozen towers; only their static parts are used.
        mesh: device mesh.
        accumulate: number of gradient accumulation parts.
        every: steps between two measurements; None never measures.
    """

    def __init__(
        self,
        state: step.TrainState,
        frozen: tuple[str, ...],
        teacher: learner.Towers | None,
        *,
        mesh: Mesh | None,
        accumulate: int,
        every: int | None,
    ):
        _, static = eqx.partition(state, trees.is_array)
        _, teacher_static = eqx.partition(teacher, trees.is_array)

        def measure(arrays: Any, batch: step.HostBatch, teacher_arrays: Any) -> dict[str, metrics.Mean]:
            state, towers = eqx.combine(arrays, static), eqx.combine(teacher_arrays, teacher_static)
            with meshes.within(mesh):
                return gradients(state, batch, towers, frozen, accumulate)

        self._every = every
        self._compiled: Callable[[Any, step.HostBatch, Any], dict[str, metrics.Mean]] = (
            jax.jit(measure) if mesh is None else jax.jit(measure, out_shardings=meshes.whole(mesh))
        )

    def at(
        self, number: int, arrays: Any, batch: step.HostBatch, teacher_arrays: Any
    ) -> dict[str, metrics.Mean]:
        """Return the measurement of a step, from the state before it; {} if none is due.

        Args:
            number: of the step, from 1.
            arrays: arrays of the state.
            batch: the step's batch.
            teacher_arrays: arrays of the teacher.
        """
        if self._every is None or number % self._every:
            return {}
        return self._compiled(arrays, batch, teacher_arrays)
