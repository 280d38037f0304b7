"""The training state and the one pure step that changes it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from prismlab.core import errors, keys, trees, types
from prismlab.core.parallel import mesh as meshes
from prismlab.core.parallel import sharding
from prismlab.core.train import accumulate as accumulation
from prismlab.core.train import learner, metrics


class TrainState(eqx.Module):
    """Everything that a checkpoint holds.

    Args:
        step: int32 scalar, steps taken so far.
        learner: the trainable tree.
        opt_state: the optimizer's memory of the trainable part.
        key: the stage's key; step k uses fold(key, k), which is why a resumed run is exact.
    """

    step: Int[Array, ""]
    learner: learner.Learner
    opt_state: Any
    key: PRNGKeyArray


class HostBatch(eqx.Module):
    """What the loader hands over, on the host or on the device: Batch with the video still uint8."""

    video: UInt8[Array | np.ndarray, "b t height width 3"]
    text_ids: Int[Array | np.ndarray, "b l"]
    text_paddings: Float[Array | np.ndarray, "b l"]
    weight: Float[Array | np.ndarray, " b"]


def trainable(tree: learner.Learner, frozen: tuple[str, ...]) -> learner.Learner:
    """Return a tree of booleans: True for float arrays outside the frozen parts.

    Args:
        tree: the learner.
        frozen: parts that stay as they are, by path: "towers/video/encoder" freezes what lies under it.

    Raises:
        UserError: a path under which nothing lies.
    """
    paths = list(trees.flatten(tree))
    for part in frozen:
        if not any(path == part or path.startswith(part + "/") for path in paths):
            raise errors.UserError(
                f"recipe.Stage.frozen: nothing lies under {part!r}; paths look like {paths[0]!r}"
            )

    def moves(path: tuple, leaf: Any) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        still = any(name == part or name.startswith(part + "/") for part in frozen)
        return eqx.is_inexact_array(leaf) and not still

    return jax.tree_util.tree_map_with_path(moves, tree)


def init(
    tree: learner.Learner,
    optimizer: optax.GradientTransformation,
    frozen: tuple[str, ...],
    *,
    key: PRNGKeyArray,
) -> TrainState:
    """Return the state before the first step."""
    return TrainState(jnp.int32(0), tree, optimizer.init(eqx.filter(tree, trainable(tree, frozen))), key)


def to_device_units(batch: HostBatch) -> types.Batch:
    """Scale the host's uint8 pixels to float32 in [0, 1]."""
    words = (jnp.asarray(field) for field in (batch.text_ids, batch.text_paddings, batch.weight))
    return types.Batch(jnp.asarray(batch.video).astype(jnp.float32) / 255.0, *words)


def train_step(
    state: TrainState,
    batch: HostBatch,
    teacher: learner.Towers | None,
    optimizer: optax.GradientTransformation,
    frozen: tuple[str, ...] = (),
    accumulate: int = 1,
) -> tuple[TrainState, dict[str, metrics.Mean]]:
    """Take one step: a pure function of its arguments.

    Args:
        state: the state after `state.step` steps.
        batch: the global batch of this step.
        teacher: frozen towers; no part of the state, no gradient, no optimizer memory.
        optimizer: the transformation that init() was given.
        frozen: path prefixes of the learner that stay as they are.
        accumulate: parts in which the batch is encoded, one after the other.

    Returns:
        The next state; and the averages "loss", "gradient_norm" and those of every objective.
    """
    key = keys.fold(state.key, "step", state.step)
    moving, still = eqx.partition(state.learner, trainable(state.learner, frozen))
    if accumulate > 1:
        loss, named, gradients = accumulation.gradients(
            moving, still, batch, to_device_units, teacher, parts=accumulate, key=key
        )
    else:
        scaled = to_device_units(batch)

        def loss_of(moving: learner.Learner) -> tuple[Array, dict[str, metrics.Mean]]:
            return eqx.combine(moving, still)(scaled, teacher, key=key)

        (loss, named), gradients = jax.value_and_grad(loss_of, has_aux=True)(moving)
    updates, opt_state = optimizer.update(gradients, state.opt_state, moving)
    moved = eqx.apply_updates(moving, updates)
    one = jnp.float32(1.0)
    named = {
        "loss": metrics.Mean(loss, one),
        "gradient_norm": metrics.Mean(optax.tree.norm(gradients), one),
        **named,
    }
    return TrainState(state.step + 1, eqx.combine(moved, still), opt_state, state.key), named


def compile_step(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    frozen: tuple[str, ...],
    teacher: learner.Towers | None,
    *,
    mesh: Mesh | None = None,
    rules: sharding.Rules | None = None,
    accumulate: int = 1,
) -> Callable:
    """Return train_step as a jitted function of arrays alone, donating the old state.

    Partitioning once keeps Python out of the loop: a call sees only flat arrays. What is given may be
    shape structs (`sharding.abstract`), so that `.lower(...)` compiles for devices that are not here.

    Args:
        state: any state of this stage, perhaps abstract; only its static parts are kept.
        optimizer: the transformation that init() was given.
        frozen: path prefixes of the learner that stay as they are.
        teacher: frozen towers, perhaps abstract; only their static parts are kept.
        mesh: devices that the state stays on, as `sharding.of` says; None leaves it to the arguments.
        rules: how the state is split over them; the default ones if None.
        accumulate: parts in which the batch is encoded, one after the other.

    Returns:
        (state arrays, batch, teacher arrays) -> (state arrays, {name: Mean}); partition with eqx.is_array.
    """
    _, static = eqx.partition(state, trees.is_array)
    _, teacher_static = eqx.partition(teacher, trees.is_array)

    def step(arrays: Any, batch: HostBatch, teacher_arrays: Any) -> tuple[Any, dict[str, metrics.Mean]]:
        state = eqx.combine(arrays, static)
        frozen_towers = eqx.combine(teacher_arrays, teacher_static)
        with meshes.within(mesh):
            state, named = train_step(state, batch, frozen_towers, optimizer, frozen, accumulate)
        return eqx.filter(state, eqx.is_array), named

    if mesh is None:
        return jax.jit(step, donate_argnums=0)
    stay = (sharding.of(state, mesh, rules), meshes.whole(mesh))
    return jax.jit(step, donate_argnums=0, out_shardings=stay)
