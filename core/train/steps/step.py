"""Training state and the pure, jitted training step."""

import functools
from collections.abc import Mapping
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
from prismlab.core.train import learner, metrics, objective, objective_state, traced_numbers
from prismlab.core.train.steps import accumulate as accumulation

PROGRAMS = 8  # compiled steps that a process keeps: the distinct stages of an ablation


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
    optimizer: traced_numbers.Transformation,
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
    taught: Mapping[objective.View, types.Encoded] | None = None,
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
        taught: encodings of the teacher that are known; without effect if batches are accumulated.
    """
    if accumulate > 1:
        return accumulation.gradients(
            moving, still, batch, to_device_units, teacher, parts=accumulate, key=key, step=step
        )
    scaled = to_device_units(batch)

    def loss_of(moving: learner.Learner) -> tuple[Array, tuple[dict[str, metrics.Mean], dict[str, Any]]]:
        whole: learner.Learner = eqx.combine(moving, still)
        seen = whole.seen(scaled, teacher, key=key, known=taught)
        loss, named = whole.losses(seen, scaled, key=key, step=step)
        return loss, (named, whole.observed(seen, scaled))

    (loss, (named, observed)), gradients = jax.value_and_grad(loss_of, has_aux=True)(moving)
    return loss, named, gradients, observed


def train_step(
    state: TrainState,
    batch: HostBatch,
    teacher: learner.Towers | None,
    optimizer: traced_numbers.Transformation,
    frozen: tuple[str, ...] = (),
    accumulate: int = 1,
    weights: traced_numbers.Values | None = None,
    taught: Mapping[objective.View, types.Encoded] | None = None,
) -> tuple[TrainState, dict[str, metrics.Mean]]:
    """Take one training step (pure function).

    Args:
        state: the current state.
        batch: the global batch.
        teacher: frozen towers, without gradients or optimizer state, or None.
        optimizer: the optimizer that was passed to init().
        frozen: path prefixes of the learner that are not trained.
        accumulate: number of gradient accumulation parts.
        weights: objective -> weight in the sum, possibly traced; None for their own.
        taught: encodings of the teacher that are known, as in `loss_and_gradients`.

    Returns:
        The next state, and the metrics "loss", "gradient_norm" and those of every objective.
    """
    key = keys.fold(state.key, "step", state.step)
    moving, still = eqx.partition(state.learner, trainable(state.learner, frozen))
    weighed = traced_numbers.with_weights(still, weights) if weights else still
    loss, named, gradients, observed = loss_and_gradients(
        moving, weighed, batch, teacher, accumulate, key=key, step=state.step, taught=taught
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
    optimizer: traced_numbers.Transformation,
    frozen: tuple[str, ...],
    teacher: learner.Towers | None,
    *,
    mesh: Mesh | None = None,
    rules: sharding.Rules | None = None,
    accumulate: int = 1,
) -> "Compiled":
    """Return train_step as a jitted function of arrays only, which donates the old state.

    Arguments may hold shape structs (`sharding.abstract`), so that `.lower(...)` can compile for devices that
    are not present. Stages that differ in numbers (`traced_numbers`) and in the seed share one program.

    Args:
        state: a state of this stage, possibly abstract; only its static parts are used.
        optimizer: the optimizer that was passed to init().
        frozen: path prefixes of the learner that are not trained.
        teacher: frozen towers, possibly abstract; only their static parts are used.
        mesh: device mesh for the output shardings (`sharding.of`); None lets jit infer them.
        rules: sharding rules of the state; the defaults if None.
        accumulate: number of gradient accumulation parts.
    """
    weights = traced_numbers.weights(state.learner)
    values, fixed = eqx.partition(optimizer, traced_numbers.is_number)
    neutral = trees.replace(state, {f"learner/objectives/{name}/weight": 1.0 for name in weights})
    _, static = eqx.partition(neutral, trees.is_array)
    _, teacher_static = eqx.partition(teacher, trees.is_array)
    stay = None if mesh is None else (sharding.of(state, mesh, rules), meshes.whole(mesh))
    parts = traced_numbers.Static((static, teacher_static, fixed, tuple(frozen), accumulate, mesh, stay))
    try:
        program = _program(parts)
    except TypeError:  # a part that cannot be hashed
        program = _program.__wrapped__(parts)
    return Compiled(program, parts, (values, weights), mesh)


class Compiled:
    """A compiled training step: (state arrays, batch, teacher arrays) -> (state arrays, {name: Mean}).

    Partition the arrays with eqx.is_array.

    Args (constructor):
        program: the jitted step.
        parts: the static parts that it was made of.
        values: numbers of the optimizer and weights of the objectives.
        mesh: device mesh, or None.
    """

    def __init__(self, program: Any, parts: traced_numbers.Static, values: Any, mesh: Mesh | None):
        self.parts, self.values = parts, values
        self._program, self._mesh = program, mesh
        self._placed: Any = None

    def __call__(
        self, arrays: Any, batch: HostBatch, teacher_arrays: Any
    ) -> tuple[Any, dict[str, metrics.Mean]]:
        """Take a step; the state is donated."""
        stepped: tuple[Any, dict[str, metrics.Mean]] = self._program(
            arrays, batch, teacher_arrays, self.placed()
        )
        return stepped

    def placed(self) -> Any:
        """Return the numbers as arguments of the step."""
        if self._placed is None:
            self._placed = self.values
            if self._mesh is not None and jax.process_count() == 1:  # once, not at every step
                weak = jax.tree.map(jnp.asarray, self.values)
                self._placed = jax.device_put(weak, meshes.whole(self._mesh))
        return self._placed

    def lower(self, arrays: Any, batch: Any, teacher_arrays: Any) -> Any:
        """Lower the step for arguments that may be shape structs; see `jax.stages.Lowered`."""
        return self._program.lower(arrays, batch, teacher_arrays, self.values)


@functools.lru_cache(maxsize=PROGRAMS)
def _program(parts: traced_numbers.Static) -> Any:
    """Return the jitted step of the static parts of a stage; equal parts share it and what it compiled."""
    static, teacher_static, fixed, frozen, accumulate, mesh, stay = parts.tree

    def step(
        arrays: Any, batch: HostBatch, teacher_arrays: Any, given: Any
    ) -> tuple[Any, dict[str, metrics.Mean]]:
        state = eqx.combine(arrays, static)
        frozen_towers = eqx.combine(teacher_arrays, teacher_static)
        optimizer = eqx.combine(given[0], fixed)
        with meshes.within(mesh):
            state, named = train_step(state, batch, frozen_towers, optimizer, frozen, accumulate, given[1])
        return eqx.filter(state, eqx.is_array), named

    if stay is None:
        return jax.jit(step, donate_argnums=0)
    return jax.jit(step, donate_argnums=0, out_shardings=stay)
