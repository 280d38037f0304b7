"""Train heads of localisation for a few learning rates and seeds at once; held-out items select the rate.

Heads are leading axes of one pytree, see the same batches, and are trained with AdamW and a cosine schedule.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int64, PRNGKeyArray

from prismlab.core import errors, keys, weight_decay
from prismlab.core.train import optim
from prismlab.experiments.recipe import progress

# Rows of training items -> arrays of a batch, axis 0 is the item.
Batch = Callable[[Int64[np.ndarray, " b"]], tuple[Any, ...]]
_ADAM = optax.scale_by_adam()
_ENDS = 20  # steps at both ends whose losses are averaged


@dataclasses.dataclass(frozen=True)
class Training:
    """Hyperparameters of heads of localisation.

    Args:
        learning_rates: peak learning rates; every one is trained, and held-out training items select.
        weight_decay: of matrices.
        seeds: heads of each rate; scores are averaged over them.
        steps: optimizer steps.
        batch_size: items (videos, or keyframes) a step.
        warmup_steps: steps of linear warm-up, then cosine decay to 0.
        held_out: fraction of the training items held out where there are several rates, in (0, 1).
        standardise: subtract the mean and divide by the deviation of each channel of the features first.
    """

    learning_rates: tuple[float, ...] = (1e-3,)
    weight_decay: float = 1e-4
    seeds: int = 3
    steps: int = 600
    batch_size: int = 32
    warmup_steps: int = 0
    held_out: float = 0.125
    standardise: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rates", tuple(self.learning_rates))
        if min(self.seeds, self.steps, self.batch_size) < 1 or not 0 <= self.warmup_steps < self.steps:
            raise errors.UserError(
                "localisation: expected seeds, steps and batch_size of 1 or more and fewer warmup_steps than "
                f"steps, got {self.seeds}, {self.steps}, {self.batch_size} and {self.warmup_steps}"
            )
        if not self.learning_rates or min(self.learning_rates) <= 0 or self.weight_decay < 0:
            raise errors.UserError(
                "localisation: expected learning rates above 0, at least one, and a weight decay of 0 or "
                f"more, got {self.learning_rates} and {self.weight_decay}"
            )
        if not 0 < self.held_out < 1:
            raise errors.UserError(f"localisation: held_out must be in (0, 1), got {self.held_out}")


@dataclasses.dataclass(frozen=True)
class Fitted:
    """Trained heads.

    Args:
        heads: a pytree of heads with leading axis rates x seeds.
        settings: their hyperparameters.
        losses: training loss of each step, averaged over heads.
    """

    heads: Any
    settings: Training
    losses: tuple[float, ...]

    def of_rate(self, rate: int) -> list[Any]:
        """Return the heads of the rate of this index, one a seed."""
        trained, static = eqx.partition(self.heads, eqx.is_array)
        count = self.settings.seeds
        return [
            eqx.combine(jax.tree.map(lambda leaf, at=at: leaf[at], trained), static)
            for at in range(rate * count, (rate + 1) * count)
        ]

    def facts(self) -> dict[str, Any]:
        """Return what belongs beside a score."""
        first, last = np.mean(self.losses[:_ENDS]), np.mean(self.losses[-_ENDS:])
        return {
            "head seeds": self.settings.seeds,
            "training steps": self.settings.steps,
            "training loss": f"{first:.3f} -> {last:.3f}",
        }


def fit(
    make: Callable[..., Any],
    loss: Callable[..., Array],
    batch: Batch,
    rows: Int64[np.ndarray, " n"],
    settings: Training,
    *,
    seed: int,
) -> Fitted:
    """Train heads.

    Args:
        make: constructor of a head, called with `key`.
        loss: (head, *arrays of a batch, key for dropout) -> mean loss of the batch.
        batch: rows -> arrays of a batch.
        rows: rows to train on.
        settings: hyperparameters.
        seed: seed of initial weights, batches and dropout.

    Raises:
        UserError: the loss was not finite.
    """
    key = keys.seeded(seed, "localisation")
    one_seed = eqx.filter_vmap(lambda index: make(key=keys.fold(key, "head", index)))(
        jnp.arange(settings.seeds)
    )
    count = len(settings.learning_rates)
    tile = lambda leaf: jnp.tile(leaf, (count, *[1] * (leaf.ndim - 1))) if eqx.is_array(leaf) else leaf
    heads = jax.tree.map(tile, one_seed)
    single = eqx.filter(eqx.filter_eval_shape(lambda: make(key=key)), _is_shape)
    mask = weight_decay.mask(single)
    rates = jnp.repeat(jnp.asarray(settings.learning_rates), settings.seeds)
    memory, losses = _ADAM.init(eqx.filter(heads, eqx.is_array)), []
    for step in progress.counted(range(settings.steps), "heads: training steps", settings.steps):
        drawn = np.random.default_rng([seed, step]).integers(len(rows), size=settings.batch_size)
        arrays = jax.tree.map(jnp.asarray, batch(rows[drawn]))
        at = jnp.asarray(step)
        heads, memory, value = _step(heads, memory, at, arrays, key, rates, mask, loss, settings)
        losses.append(value)
    found = tuple(float(value) for value in losses)
    if not np.isfinite(found).all():
        raise errors.UserError(
            "localisation: the loss was not finite; lower localisation_fit.Training.learning_rates"
        )
    return Fitted(heads, settings, found)


@eqx.filter_jit
def _step(
    heads: Any, memory: Any, step: Array, arrays: Any, key: Any, rates: Array, mask: Any, loss: Any,
    settings: Training,
) -> tuple[Any, Any, Array]:  # fmt: skip
    """Return heads and memory after a step, and the loss; compiled once for heads, control and seeds."""
    trained, static = eqx.partition(heads, eqx.is_array)
    schedule = optim.Schedule(1.0, settings.warmup_steps).build(settings.steps)

    def total(trained: Any) -> tuple[Array, Array]:
        dropout = keys.fold(key, "dropout", step)
        each = jax.vmap(lambda one: loss(eqx.combine(one, static), *arrays, dropout))(trained)
        return each.sum(), each.mean()

    gradient, value = jax.grad(total, has_aux=True)(trained)
    updates, memory = _ADAM.update(gradient, memory)

    def apply(leaf: Array, update: Array, decayed: bool) -> Array:
        rate = rates.reshape(-1, *[1] * (leaf.ndim - 1)) * schedule(step)
        return leaf - rate * (update + (settings.weight_decay * leaf if decayed else 0.0))

    return eqx.combine(jax.tree.map(apply, trained, updates, mask), static), memory, value


def select(
    settings: Training,
    held: np.ndarray,
    train: Callable[[Int64[np.ndarray, " n"]], Fitted],
    measure: Callable[[Sequence[Any], Int64[np.ndarray, " n"]], float],
) -> tuple[list[Any], dict[str, Any]]:
    """Train on the items that are not held out and return the heads of the best rate, with facts.

    Args:
        settings: hyperparameters; with one learning rate nothing is held out.
        held: bool [n], items that are held out.
        train: rows -> trained heads.
        measure: (heads of one rate, held-out rows) -> the number by which rates are compared.

    Raises:
        UserError: several rates, and too few items to hold any out.
    """
    rates = settings.learning_rates
    if len(rates) == 1:
        fitted = train(np.arange(len(held)))
        return fitted.of_rate(0), {**fitted.facts(), "learning rate": rates[0], "train items": len(held)}
    if held.all() or not held.any():
        raise errors.UserError(
            f"localisation: {len(held)} training items leave none to train on or to hold out; give more "
            "items or one learning rate"
        )
    fitted = train(np.flatnonzero(~held))
    values = [measure(fitted.of_rate(at), np.flatnonzero(held)) for at in range(len(rates))]
    best = int(np.argmax(values))
    facts = {
        **fitted.facts(),
        "learning rate": rates[best],
        "selected on": f"{int(held.sum())} held-out training items",
        "train items": int((~held).sum()),
        "held out, by rate": {f"{rate:g}": round(value, 6) for rate, value in zip(rates, values)},
    }
    return fitted.of_rate(best), facts


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def key_or_none(key: PRNGKeyArray | None, name: str) -> PRNGKeyArray | None:
    """Return the key folded with a name, or None without one."""
    return None if key is None else keys.fold(key, name)
