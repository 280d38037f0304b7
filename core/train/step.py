"""Training state and the pure, jitted training step."""

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
from prismlab.core.train import learner, metrics, objective_state


class TrainState(eqx.Module):
    """Training state: everything stored in a checkpoint.

    Args:
        step: int32 scalar, number of steps taken.
        learner: the trainable tree.
        opt_state: optimizer state of the trainable part.
        key: PRNG key of the stage; step k uses fold(key, "step", k), so a resumed run is exact.
    """

    step: Int[Array, ""]
    learner: learner.Learner
    opt_state: Any
    key: PRNGKeyArray


class HostBatch(eqx.Module):
    """Batch as produced by the loader, on host or device, with uint8 video."""

    video: UInt8[Array | np.ndarray, "b t height width 3"]
    text_ids: Int[Array | np.ndarray, "b l"]
    text_paddings: Float[Array | np.ndarray, "b l"]
    weight: Float[Array | np.ndarray, " b"]


def trainable(tree: learner.Learner, frozen: tuple[str, ...]) -> learner.Learner:
    """Return a tree of booleans: True for float arrays outside the frozen parts and the state of objectives.

    Args:
        tree: the learner.
        frozen: path prefixes that are not trained: "towers/video/encoder" freezes everything below it.

    Raises:
        UserError: a prefix that matches no path.
    """
    paths = list(trees.flatten(tree))
    for part in frozen:
        if not any(path == part or path.startswith(part + "/") for path in paths):
            raise errors.UserError(
                f"recipe.Stage.frozen: no parameter lies under {part!r}; paths look like {paths[0]!r}"
            )

    def moves(path: tuple[Any, ...], leaf: Any, state: bool) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        still = any(name == part or name.startswith(part + "/") for part in frozen)
        return eqx.is_inexact_array(leaf) and not still and not state

    wanted: learner.Learner = jax.tree_util.tree_map_with_path(moves, tree, objective_state.mask(tree))
    return wanted


def init(
    tree: learner.Learner,
    optimizer: optax.GradientTransformation,
    frozen: tuple[str, ...],
    *,
    key: PRNGKeyArray,
) -> TrainState:
    """Return the initial training state."""
    return TrainState(jnp.int32(0), tree, optimizer.init(eqx.filter(tree, trainable(tree, frozen))), key)


def to_device_units(batch: HostBatch) -> types.Batch:
    """Convert a host batch to a device batch: uint8 pixels to float32 in [0, 1]."""
    words = (jnp.asarray(field) for field in (batch.text_ids, batch.text_paddings, batch.weight))
    return types.Batch(jnp.asarray(batch.video).astype(jnp.float32) / 255.0, *words)


def loss_and_gradients(
    moving: learner.Learner,
    still: learner.Learner,
    batch: HostBatch,
    teacher: learner.Towers | None,
    accumulate: int,
    *,
    key: PRNGKeyArray,
    step: Int[Array, ""],
) -> tuple[Float[Array, ""], dict[str, metrics.Mean], learner.Learner, dict[str, dict[str, Array]]]:
    """Return loss and metrics of the global batch, the gradient of `moving`, and `Learner.observed`.

    Args:
        moving: the trainable part of the learner; None elsewhere.
        still: the rest of the learner.
        batch: the global batch.
        teacher: frozen towers, or None.
        accumulate: number of gradient accumulation parts.
        key: randomness of this step.
        step: number of this step, from 0.
    """
    if accumulate > 1:
        return accumulation.gradients(
            moving, still, batch, to_device_units, teacher, parts=accumulate, key=key, step=step
        )
    scaled = to_device_units(batch)

    def loss_of(moving: learner.Learner) -> tuple[Array, tuple[dict[str, metrics.Mean], dict[str, Any]]]:
        whole: learner.Learner = eqx.combine(moving, still)
        seen = whole.seen(scaled, teacher, key=key)
        loss, named = whole.losses(seen, scaled, key=key, step=step)
        return loss, (named, whole.observed(seen, scaled))

    (loss, (named, observed)), gradients = jax.value_and_grad(loss_of, has_aux=True)(moving)
    return loss, named, gradients, observed


def train_step(
    state: TrainState,
    batch: HostBatch,
    teacher: learner.Towers | None,
    optimizer: optax.GradientTransformation,
    frozen: tuple[str, ...] = (),
    accumulate: int = 1,
) -> tuple[TrainState, dict[str, metrics.Mean]]:
    """Take one training step (pure function).

    Args:
        state: the current state.
        batch: the global batch.
        teacher: frozen towers, without gradients or optimizer state, or None.
        optimizer: the optimizer that was passed to init().
        frozen: path prefixes of the learner that are not trained.
        accumulate: number of gradient accumulation parts.

    Returns:
        The next state, and the metrics "loss", "gradient_norm" and those of every objective.
    """
    key = keys.fold(state.key, "step", state.step)
    moving, still = eqx.partition(state.learner, trainable(state.learner, frozen))
    loss, named, gradients, observed = loss_and_gradients(
        moving, still, batch, teacher, accumulate, key=key, step=state.step
    )
    updates, opt_state = optimizer.update(gradients, state.opt_state, moving)
    moved = eqx.apply_updates(moving, updates)
    one = jnp.float32(1.0)
    named = {
        "loss": metrics.Mean(loss, one),
        "gradient_norm": metrics.Mean(optax.tree.norm(gradients), one),
        **named,
    }
    updated: learner.Learner = eqx.combine(moved, still)
    following = state.step + 1
    after = updated.projected().advanced(observed, jnp.asarray(batch.weight), state.step)
    return TrainState(following, after, opt_state, state.key), named


def compile_step(
    state: TrainState,
    optimizer: optax.GradientTransformation,
    frozen: tuple[str, ...],
    teacher: learner.Towers | None,
    *,
    mesh: Mesh | None = None,
    rules: sharding.Rules | None = None,
    accumulate: int = 1,
) -> Callable[[Any, HostBatch, Any], tuple[Any, dict[str, metrics.Mean]]]:
    """Return train_step as a jitted function of arrays only, which donates the old state.

    Static parts are partitioned off once, which keeps the Python overhead per call low. Arguments may hold
    shape structs (`sharding.abstract`), so that `.lower(...)` can compile for devices that are not present.

    Args:
        state: a state of this stage, possibly abstract; only its static parts are used.
        optimizer: the optimizer that was passed to init().
        frozen: path prefixes of the learner that are not trained.
        teacher: frozen towers, possibly abstract; only their static parts are used.
        mesh: device mesh for the output shardings (`sharding.of`); None lets jit infer them.
        rules: sharding rules of the state; the defaults if None.
        accumulate: number of gradient accumulation parts.

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
