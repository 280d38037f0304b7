"""Gradient accumulation that is exact also for contrastive losses (GradCache).

Per-example losses: the totals of the parts are divided by the counts of the whole batch, so a part with more
padding examples weighs less. Losses that couple pooled vectors (contrastive): a first pass computes all
vectors, then the loss of the whole batch is differentiated with respect to them, and a second pass encodes
each part again and backpropagates these gradients to the parameters. Random draws depend on the position of
an example in the batch, so parts draw the same values as the whole batch.

Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup".
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors, types
from prismlab.core.parallel import mesh
from prismlab.core.train import learner, metrics, objective, schedules

Named = dict[str, metrics.Mean]
Vectors = list[Float[Array, "b d"]]  # one array per view


def check(tree: learner.Learner, batch_size: int, parts: int) -> None:
    """Raise an error if a learner or batch size cannot be accumulated.

    Args:
        tree: the learner.
        batch_size: global batch size.
        parts: recipe.Stage.accumulate.

    Raises:
        UserError: the batch size is not divisible, or an objective couples tokens across examples.
    """
    if parts == 1:
        return
    if batch_size % parts:
        fits = " or ".join(map(str, mesh.nearest(parts, batch_size)))
        raise errors.UserError(
            f"recipe.Stage.accumulate={parts} does not divide batch_size={batch_size}; use {fits}"
        )
    for name, each in tree.objectives.items():
        if each.coupling() == "tokens":
            raise errors.UserError(
                f"objective {name!r} couples the tokens of all examples (whiten_targets), which cannot be "
                f"accumulated over {parts} parts; set recipe.Stage.accumulate=1 or whiten_targets=False"
            )


def gradients(
    moving: learner.Learner,
    still: learner.Learner,
    host: Any,
    scaled: Any,
    teacher: learner.Towers | None,
    *,
    parts: int,
    key: PRNGKeyArray,
    step: Int[Array, ""],
) -> tuple[Float[Array, ""], Named, learner.Learner, dict[str, dict[str, Array]]]:
    """Compute loss, metrics, gradient and `Learner.observed` of a batch, encoding one part at a time.

    Args:
        moving: the trainable part of the learner; None elsewhere.
        still: the rest of the learner.
        host: the global batch from the loader.
        scaled: host batch -> types.Batch.
        teacher: frozen towers, or None.
        parts: number of parts; must divide the batch.
        key: randomness of this step.
        step: number of this step, from 0.
    """
    size = host.weight.shape[0]

    # Part k holds rows k, k + parts, ..., so the sharded axis stays first and every device has rows of it.
    def dealt(x: Array | np.ndarray) -> Array:
        return jnp.asarray(x).reshape(size // parts, parts, *x.shape[1:]).swapaxes(0, 1)

    def collected(x: Array) -> Array:
        return x.swapaxes(0, 1).reshape(size, *x.shape[2:])

    dealt_host, dealt_index = jax.tree.map(dealt, host), dealt(jnp.arange(size, dtype=jnp.int32))
    joined: Mapping[str, objective.AbstractObjective] = {
        name: each for name, each in still.objectives.items() if each.coupling() == "pooled"
    }
    vectors_of = sorted({view for each in joined.values() for view in each.views()}, key=repr)

    def part_of(host: Any, index: Array) -> types.Batch:
        batch = scaled(jax.tree.map(mesh.held, host))
        return types.Batch(batch.video, batch.text_ids, batch.text_paddings, batch.weight, index)

    def alone(tree: learner.Learner) -> learner.Learner:
        rest = {name: each for name, each in tree.objectives.items() if name not in joined}
        return learner.Learner(tree.towers, rest)

    def one_pass(tree: learner.Learner, batch: types.Batch) -> tuple[Named, Vectors, dict[str, Any]]:
        # Views used by both kinds of losses are encoded once.
        seen = tree.seen(batch, teacher, key=key)
        _, named = alone(tree).losses(seen, batch, key=key, step=step)
        return named, [objective.pooled(seen, view) for view in vectors_of], tree.observed(seen, batch)

    # First pass, no gradient: counts and pooled vectors. XLA removes towers that only the counts would need.
    def first(_: None, part: tuple[Any, Array]) -> tuple[None, tuple[dict[str, Array], Vectors, Any]]:
        named, vectors, observed = one_pass(eqx.combine(moving, still), part_of(*part))
        counts = {name: mean.count for name, mean in named.items()}
        return None, (counts, vectors, observed)

    _, (counted, kept, parted_observed) = jax.lax.scan(first, None, (dealt_host, dealt_index))
    observed = jax.tree.map(lambda each: mesh.held(collected(each)), parted_observed)
    counts = {name: jnp.sum(each) for name, each in counted.items()}
    vectors = [mesh.held(collected(each)) for each in kept]

    # Pooled losses of the whole batch, from the vectors alone, without the video.
    whole = scaled(host)

    def together(moving: learner.Learner, vectors: Vectors) -> tuple[Array, Named]:
        tree = eqx.combine(moving, still)
        seen = {view: types.Encoded(None, each) for view, each in zip(vectors_of, vectors)}
        return learner.Learner({}, {name: tree.objectives[name] for name in joined}).losses(
            seen, whole, key=key, step=step
        )

    (loss, named), (gradient, slopes) = jax.value_and_grad(together, argnums=(0, 1), has_aux=True)(
        moving, vectors
    )

    # Second pass: the per-example losses of each part, plus its vectors times their gradients.
    def second(carry: tuple[Any, Named], part: tuple[Any, Array, Vectors]) -> tuple[tuple[Any, Named], None]:
        total, named = carry
        host, index, slopes = part

        def share(moving: learner.Learner) -> tuple[Array, Named]:
            tree = eqx.combine(moving, still)
            own, vectors, _ = one_pass(tree, part_of(host, index))
            loss = jnp.zeros(())
            for name, each in alone(tree).objectives.items():
                count = counts[f"loss/{name}"]
                factor = schedules.value(each.weight, step)
                loss += factor * own[f"loss/{name}"].total / jnp.where(count > 0, count, 1.0)
            for vector, slope in zip(vectors, slopes):
                loss += jnp.sum(vector.astype(jnp.float32) * slope.astype(jnp.float32))
            return loss, own

        gradient, own = jax.grad(share, has_aux=True)(moving)
        merged = {name: named[name].merge(mean) for name, mean in own.items()}
        return (jax.tree.map(jnp.add, total, gradient), merged), None

    nothing = {name: metrics.Mean(jnp.zeros(()), jnp.zeros(())) for name in counts}
    parted = [dealt(each) for each in slopes]
    (gradient, own), _ = jax.lax.scan(second, (gradient, nothing), (dealt_host, dealt_index, parted))
    for name, each in alone(still).objectives.items():
        loss += schedules.value(each.weight, step) * own[f"loss/{name}"].value
    return loss, {**named, **own}, gradient, observed
