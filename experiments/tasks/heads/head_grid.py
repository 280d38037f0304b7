"""Train heads for a grid of pooler size x learning rate x weight decay x seed at once.

Heads of one size are leading axes of one pytree; several sizes are several pytrees in the same program. All
heads see the same batches, or those of each seed batches of their own. A grid point is selected on held-out
training items, by its mean over seeds; test items are never used for it (`probe`).
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int64

from prismlab.core import errors, keys, weight_decay
from prismlab.core.parallel import mesh
from prismlab.core.train import optim
from prismlab.experiments.recipe import progress
from prismlab.experiments.tasks.features import feature_set
from prismlab.experiments.tasks.heads import batches
from prismlab.experiments.tasks.heads import targets as targets_module

_ADAM = optax.scale_by_adam()


@dataclasses.dataclass(frozen=True)
class Grid:
    """Hyperparameters of the heads; every combination of rate, decay and seed is trained.

    Args:
        learning_rates: peak learning rates of AdamW.
        weight_decays: weight decays.
        seeds: heads for each combination; scores are averaged over them.
        steps: optimizer steps.
        batch_size: items a step.
        warmup_steps: steps of linear warm-up, then cosine decay to 0.
        label_smoothing: in [0, 1); single-label data only.
        held_out: fraction of the training items held out to select rate and decay, in (0, 1).
        standardise: subtract the mean and divide by the deviation of each channel of the features first.
        own_order: heads of each seed see batches of their own, so that a mean over seeds varies less with the
            order of the items; every seed then reads its own features.

    Source: VideoPrism E.1 (AdamW, cosine); the grid as in V-JEPA 2, but never selected on test items.
    """

    learning_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    weight_decays: tuple[float, ...] = (1e-4,)
    seeds: int = 3
    steps: int = 600
    batch_size: int = 128
    warmup_steps: int = 0
    label_smoothing: float = 0.0
    held_out: float = 0.125
    standardise: bool = True
    own_order: bool = False

    def __post_init__(self) -> None:
        for name in ("seeds", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise errors.UserError(f"grid: {name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rates or not self.weight_decays:
            raise errors.UserError("grid: give at least one learning rate and one weight decay")
        if min(self.learning_rates) <= 0 or min(self.weight_decays) < 0:
            raise errors.UserError(
                f"grid: learning rates must be positive and weight decays not negative, got "
                f"{self.learning_rates} and {self.weight_decays}"
            )
        if not 0 < self.held_out < 1 or not 0 <= self.label_smoothing < 1:
            raise errors.UserError(
                f"grid: held_out must be in (0, 1) and label_smoothing in [0, 1), got {self.held_out} and "
                f"{self.label_smoothing}"
            )
        if not 0 <= self.warmup_steps < self.steps:
            raise errors.UserError(
                f"grid: warmup_steps must be fewer than the {self.steps} steps, got {self.warmup_steps}"
            )

    def points(self) -> list[tuple[float, float]]:
        """Return (learning rate, weight decay) of each grid point."""
        return list(itertools.product(self.learning_rates, self.weight_decays))


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Trained heads of a grid.

    Args:
        heads: a pytree of heads with leading axis [rates * decays * seeds] for each size.
        points: (size, learning rate, weight decay) of each grid point; the size is an index of `heads`.
        seeds: heads of each point.
        targets: what they were trained on.
        shift, scale: standardisation of the features, [d] each.
    """

    heads: list[Any]
    points: list[tuple[int, float, float]]
    seeds: int
    targets: targets_module.Targets
    shift: Float32[np.ndarray, " d"]
    scale: Float32[np.ndarray, " d"]

    def outputs(self, features: feature_set.FeatureSet, batch_size: int) -> Float32[np.ndarray, "p k n c"]:
        """Return probabilities of each grid point and seed, averaged over the views of an item."""
        parts = []
        starts = range(0, len(features), batch_size)
        for start in progress.counted(starts, "heads: batches of items scored", len(starts)):
            rows = np.arange(start, min(start + batch_size, len(features)))
            padded = np.concatenate([rows, np.repeat(rows[-1:], batch_size - len(rows))])
            x = jnp.asarray(features.take(padded))
            answers = _probabilities(self.heads, x, self.shift, self.scale, self.targets.bounds)
            parts.append(np.asarray(answers)[:, : len(rows)])
        found = np.concatenate(parts, axis=1)
        return found.reshape(len(self.points), self.seeds, *found.shape[1:])


@dataclasses.dataclass(frozen=True)
class _How:
    """What a program of `_steps` depends on besides shapes."""

    bounds: tuple[tuple[int, int], ...]
    label_smoothing: float
    warmup_steps: int
    steps: int
    in_turn: bool


@eqx.filter_jit
def _start(makes: Sequence[Any], key: Any, points: int, seeds: int, orders: int) -> tuple[Any, Any]:
    """Return new heads of each size, [orders, points * seeds / orders, ...], and the memory of Adam.

    In one program: started one by one, the operations take as long as a hundred training steps.
    """

    def of_points(x: Array) -> Array:
        tiled = jnp.tile(x, (points, *[1] * (x.ndim - 1)))
        return jnp.swapaxes(tiled.reshape(-1, orders, *x.shape[1:]), 0, 1)

    own = jax.vmap(lambda i: keys.fold(key, "head", i))(jnp.arange(seeds))
    heads = [eqx.filter_vmap(lambda key, make=make: make(key=key))(own) for make in makes]
    arrays, static = eqx.partition(heads, eqx.is_array)
    arrays = jax.tree.map(of_points, arrays)
    return eqx.combine(arrays, static), jax.vmap(_ADAM.init)(arrays)


@eqx.filter_jit
def _in_a_row(heads: Any) -> Any:
    """Return heads of several orders as [points * seeds, ...]."""
    joined = lambda x: jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:]) if eqx.is_array(x) else x
    return jax.tree.map(joined, heads)


@eqx.filter_jit
def _steps(heads: Any, memory: Any, pool: Array, read: Any, numbers: Any, mask: Any, how: _How) -> Any:
    """Return heads and memory after a chunk of steps; compiled once for data, seeds and rates of a shape.

    Heads of different orders share nothing, so on a CPU they train one order after another: a batch and the
    heads that read it then stay in the processor's cache.
    """
    shift, scale, key, rates, decays = numbers
    steps, at, y = read
    schedule = optim.Schedule(1.0, how.warmup_steps).build(how.steps)
    arrays, static = eqx.partition(heads, eqx.is_array)
    shape = pool.shape[1:]
    pool = ((pool - shift) * scale).reshape(len(pool), -1)  # once, not for every batch; long rows copy faster

    def loss_of(trained: Any, x: Array, y: Any, key: Any) -> Array:
        logits = _each(eqx.combine(trained, static), x, key).astype(jnp.float32)
        return targets_module.Targets(y, how.bounds).loss(logits, y, how.label_smoothing).sum()

    def of_order(order: Any) -> Any:
        start, at, y, rates, decays = order

        def one(carry: Any, batch: Any) -> tuple[Any, None]:
            trained, memory = carry
            step, at, y = batch
            x = pool[at].reshape(len(at), *shape)
            gradient = jax.grad(loss_of)(trained, x, y, keys.fold(key, "dropout", step))
            updates, memory = _ADAM.update(gradient, memory)

            def apply(head: Array, update: Array, decayed: bool) -> Array:
                across = lambda values: values.reshape(-1, *[1] * (head.ndim - 1))
                decay = across(decays) * head if decayed else 0.0
                return head - across(rates) * schedule(step) * (update + decay)

            return (jax.tree.map(apply, trained, updates, mask), memory), None

        return jax.lax.scan(one, start, (steps, at, y))[0]

    of_orders = (arrays, memory), jnp.swapaxes(at, 0, 1), jnp.swapaxes(y, 0, 1), rates, decays
    trained, memory = jax.lax.map(of_order, of_orders) if how.in_turn else jax.vmap(of_order)(of_orders)
    return eqx.combine(trained, static), memory


@eqx.filter_jit
def _probabilities(
    heads: Any, x: Array, shift: Any, scale: Any, bounds: tuple[tuple[int, int], ...]
) -> Float[Array, "g b c"]:
    """Return probabilities of all heads, averaged over the views of an item; compiled once for all splits."""
    items, views = x.shape[:2]
    logits = _each(heads, ((x - shift) * scale).reshape(items * views, *x.shape[2:]))
    found = targets_module.probabilities(logits.astype(jnp.float32), bounds)
    return found.reshape(len(logits), items, views, -1).mean(axis=2)


def _each(heads: Sequence[Any], x: Array, key: Any = None) -> Float[Array, "g b c"]:
    """Return the logits of all heads, size by size."""
    apply = eqx.filter_vmap(lambda head, one, key: head(one, key), in_axes=(eqx.if_array(0), None, None))
    return jnp.concatenate([apply(alike, x, key) for alike in heads])


def moments(
    features: feature_set.FeatureSet, rows: Int64[np.ndarray, " n"], batch_size: int
) -> tuple[Any, Any]:
    """Return mean and deviation of each channel over all views and tokens of these rows, in float64."""
    total, square, count = np.float64(0), np.float64(0), 0
    first = features.take(rows[:batch_size])
    centre = first.reshape(-1, first.shape[-1]).mean(0, dtype=np.float64)
    starts = range(0, len(rows), batch_size)
    for start in progress.counted(starts, "features: batches read for their mean and deviation", len(starts)):
        x = features.take(rows[start : start + batch_size])
        flat = x.reshape(-1, x.shape[-1])
        total = total + (flat - centre).sum(0, dtype=np.float64)
        square = square + np.square(flat - centre).sum(0, dtype=np.float64)
        count += len(flat)
    mean = total / count
    return centre + mean, np.sqrt(np.maximum(square / count - mean**2, 0.0))


def fit(
    makes: Sequence[Callable[..., Any]],
    features: feature_set.FeatureSet,
    targets: targets_module.Targets,
    rows: Int64[np.ndarray, " n"],
    grid: Grid,
    *,
    seed: int,
    augmented: Sequence[feature_set.FeatureSet] = (),
) -> Fitted:
    """Train every head of a grid.

    Args:
        makes: for each size a constructor of heads, called with `key`; a head maps features [b, ...] and a
            key to logits [b, c].
        features: training features.
        targets: labels of all rows of `features`.
        rows: rows of `features` to train on.
        grid: hyperparameters.
        seed: seed of initial weights, batches and dropout.
        augmented: the same items in further passes; each item of a batch is read from one pass at random.
    """
    points = grid.points()
    key = keys.seeded(seed, "probe")
    width = features.take(rows[:1]).shape
    shift, scale = np.zeros(width[-1], np.float32), np.ones(width[-1], np.float32)
    if grid.standardise:
        mean, deviation = moments(features, rows, grid.batch_size)
        shift, scale = mean.astype(np.float32), (1.0 / (deviation + 1e-6)).astype(np.float32)
    orders = grid.seeds if grid.own_order else 1
    heads, memory = _start(tuple(makes), key, len(points), grid.seeds, orders)
    mask = []
    for make in makes:
        single = eqx.filter_eval_shape(make, key=key)
        mask.append(
            weight_decay.mask(eqx.filter(single, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct)))
        )
    each = np.repeat(np.asarray(points, np.float32), grid.seeds, axis=0).reshape(-1, orders, 2)
    numbers = shift, scale, key, each[..., 0].T, each[..., 1].T
    in_turn = mesh.platform() == "cpu"
    how = _How(targets.bounds, grid.label_smoothing, grid.warmup_steps, grid.steps, in_turn)
    drawn = batches.Batches((features, *augmented), rows, grid.batch_size, seed, orders)
    counter = progress.Counter("heads: training steps", grid.steps)
    for chunk in drawn.chunks(grid.steps):
        read = jnp.asarray(chunk.steps), jnp.asarray(chunk.at), jnp.asarray(targets.array[chunk.rows])
        heads, memory = _steps(heads, memory, chunk.pool, read, numbers, mask, how)
        if len(chunk.steps) < grid.steps:
            jax.block_until_ready(eqx.filter(heads, eqx.is_array))
        counter.add(len(chunk.steps))
    sized = [(size, *point) for size in range(len(makes)) for point in points]
    return Fitted(_in_a_row(heads), sized, grid.seeds, targets, shift, scale)
