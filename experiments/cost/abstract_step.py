"""Abstract training step of a stage: state, batch and teacher as shapes and dtypes, without a device."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.interpreters import partial_eval

from prismlab.core import keys, trees
from prismlab.core.train import learner
from prismlab.core.train.steps import step
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.checks import shapes


def learners(experiment: recipe.Experiment) -> dict[str, learner.Learner]:
    """Return stage name -> abstract learner (shapes and dtypes)."""
    built: dict[str, learner.Learner] = {}
    for stage in experiment.stages:
        built[stage.name] = shapes.abstract_learner(stage, built)
    return built


def state_of(stage: recipe.Stage, built: dict[str, learner.Learner]) -> step.TrainState:
    """Return the abstract training state of a stage.

    Args:
        stage: the configuration.
        built: see `learners`.
    """
    optimizer = stage.optimizer.build(stage.steps)
    return eqx.filter_eval_shape(
        lambda tree: step.init(tree, optimizer, stage.frozen, key=keys.seeded(0, "plan")), built[stage.name]
    )


def teacher_of(stage: recipe.Stage, built: dict[str, learner.Learner]) -> Any:
    """Return the abstract teacher towers of a stage in their compute dtype, or None."""
    teacher = shapes.abstract_teacher(stage, built)
    return None if teacher is None else eqx.filter_eval_shape(learner.in_compute_dtype, teacher)


def batch_of(stage: recipe.Stage, batch_size: int) -> step.HostBatch:
    """Return an abstract batch of `batch_size` clips."""
    side, length = stage.data.resolution, stage.data.tokenizer.length
    return eqx.filter_eval_shape(
        lambda: step.HostBatch(
            jnp.zeros((batch_size, stage.data.frames, side, side, 3), jnp.uint8),
            jnp.zeros((batch_size, length), jnp.int32),
            jnp.zeros((batch_size, length), jnp.float32),
            jnp.zeros((batch_size,), jnp.float32),
        )
    )


def traced(stage: recipe.Stage, built: dict[str, learner.Learner], batch_size: int) -> Any:
    """Return the jaxpr of the forward and backward pass, without the optimizer.

    Args:
        stage: the configuration.
        built: see `learners`.
        batch_size: number of clips, global or per chip.
    """
    arrays, static = eqx.partition(built[stage.name], trees.is_array)
    teacher, teacher_static = eqx.partition(teacher_of(stage, built), trees.is_array)

    def loss(arrays: Any, batch: step.HostBatch, teacher: Any) -> Any:
        tree, towers = eqx.combine(arrays, static), eqx.combine(teacher, teacher_static)
        moving, still = eqx.partition(tree, step.trainable(tree, stage.frozen))
        scaled = step.to_device_units(batch)

        def of(moving: Any) -> Any:
            return eqx.combine(moving, still)(scaled, towers, key=keys.seeded(0, "plan"))[0]

        return jax.value_and_grad(of)(moving)

    return without_dead(jax.make_jaxpr(loss)(arrays, batch_of(stage, batch_size), teacher))


def without_dead(graph: Any) -> Any:
    """Return a jaxpr after dead code elimination, as every compiler performs it."""
    live, _ = partial_eval.dce_jaxpr(graph.jaxpr, [True] * len(graph.jaxpr.outvars), instantiate=True)
    return live


def bytes_of(tree: Any) -> float:
    """Return the total bytes of the arrays of an abstract tree."""
    return float(sum(leaf_bytes(leaf) for leaf in jax.tree.leaves(tree) if trees.is_array(leaf)))


def leaf_bytes(leaf: Any) -> float:
    """Return the bytes of one array; a PRNG key counts as 8."""
    opaque = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.extended)
    return float(leaf.size * (8 if opaque else leaf.dtype.itemsize))
