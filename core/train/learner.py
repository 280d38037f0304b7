"""Learner: towers and objectives trained together; each distinct view is encoded once per step."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors, keys, types
from prismlab.core.train import masking, metrics, objective, objective_state, schedules, tower_sizes

Towers = Mapping[str, types.Tower]


class Learner(eqx.Module):
    """Trainable tree of a stage: towers and objectives.

    Args:
        towers: encoders by name ("video", "text").
        objectives: losses by their name in the gin file.
    """

    towers: dict[str, types.Tower]
    objectives: dict[str, objective.AbstractObjective]

    def views(self) -> list[objective.View]:
        """Return the distinct views requested by the objectives, in a stable order."""
        asked = {view for each in self.objectives.values() for view in each.views()}
        return sorted(asked, key=repr)

    def encode(
        self, view: objective.View, batch: types.Batch, teacher: Towers | None, *, key: PRNGKeyArray
    ) -> types.Encoded:
        """Encode the batch once for one view.

        Args:
            view: the requested view (tower, mask, student or teacher).
            batch: the batch.
            teacher: the frozen towers, or None.
            key: PRNG key of this step; equal views draw equal masks.

        Returns:
            The encoding; gradients are stopped for teacher views.
        """
        towers: Towers = (teacher or {}) if view.teacher else self.towers
        tower = towers[view.tower]
        inputs = [getattr(batch, field) for field in tower.inputs]
        if view.mask is None:
            encoded = tower(*inputs)
        elif not isinstance(tower, types.ClipTower):
            raise errors.UserError(_not_masked(view, tower))
        else:
            # Clip lengths differ between sources (images: one frame), so take the frame count from the batch.
            frames = batch.video.shape[1]
            place = masking.sample_batch(
                view.mask,
                batch.weight.shape[0],
                frames,
                tower.patches,
                key=mask_key(view, key),
                index=batch.index,
            )
            encoded = tower(*inputs, place=place, tube=view.mask.tube)
        return jax.lax.stop_gradient(encoded) if view.teacher else encoded

    def seen(
        self,
        batch: types.Batch,
        teacher: Towers | None,
        *,
        key: PRNGKeyArray,
        known: Mapping[objective.View, types.Encoded] | None = None,
    ) -> dict[objective.View, types.Encoded]:
        """Return the encodings of all requested views; arguments as of `encode`, `known` are some of them."""
        known = known or {}
        return {
            view: known[view] if view in known else self.encode(view, batch, teacher, key=key)
            for view in self.views()
        }

    def __call__(
        self,
        batch: types.Batch,
        teacher: Towers | None = None,
        *,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int = 0,
    ) -> tuple[Float[Array, ""], dict[str, metrics.Mean]]:
        """Return the weighted sum of the objectives' losses and all metrics by name.

        Args:
            batch: the global batch.
            teacher: frozen towers for teacher views.
            key: PRNG key of this step.
            step: number of this step, from 0, for weights that change.

        Returns:
            float32 scalar loss, and metrics named "loss/objective" and "objective/part".
        """
        return self.losses(self.seen(batch, teacher, key=key), batch, key=key, step=step)

    def projected(self) -> "Learner":
        """Return the learner with the parameters of all objectives inside their range."""
        return Learner(self.towers, {name: each.projected() for name, each in self.objectives.items()})

    def started(self) -> "Learner":
        """Return the learner with the state of all objectives as it is before the first step."""
        return Learner(
            self.towers, {name: each.started(self.towers) for name, each in self.objectives.items()}
        )

    def observed(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch
    ) -> dict[str, dict[str, Array]]:
        """Return what each objective's state needs of a batch, by the objective's name.

        Args:
            seen: the encodings of all requested views.
            batch: the batch, or a part of it.
        """
        found = {}
        for name in sorted(self.objectives):
            each = self.objectives[name]
            found[name] = each.observed({view: seen[view] for view in each.views()}, batch)
        return found

    def advanced(
        self,
        observed: Mapping[str, Mapping[str, Array]],
        weight: Float[Array, " b"],
        step: Int[Array, ""],
    ) -> "Learner":
        """Return the learner with the state of all objectives after a step.

        Args:
            observed: what `observed` returned for the whole batch.
            weight: float32 [b], 0.0 for padding examples.
            step: number of the step, from 0.
        """
        changed = {
            name: each.advanced(self.towers, observed[name], weight, step)
            for name, each in self.objectives.items()
        }
        return Learner(self.towers, changed)

    def losses(
        self,
        seen: Mapping[objective.View, types.Encoded],
        batch: types.Batch,
        *,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int = 0,
    ) -> tuple[Float[Array, ""], dict[str, metrics.Mean]]:
        """Return the weighted sum of the objectives' losses and all metrics by name, given the encodings.

        Args:
            seen: the encodings of all requested views.
            batch: the batch.
            key: PRNG key of this step.
            step: number of this step, from 0, for weights that change.
        """
        loss: Float[Array, ""] = jnp.zeros(())
        named: dict[str, metrics.Mean] = {}
        for name in sorted(self.objectives):
            each = objective_state.stopped(self.objectives[name])
            own = {view: seen[view] for view in each.views()}
            mean, parts = objective.loss(name, each, own, batch, key=keys.fold(key, "objective", name))
            factor = schedules.value(each.weight, step)
            loss = loss + factor * mean.value
            named[f"loss/{name}"] = mean
            if isinstance(each.weight, schedules.Ramp):
                named[f"{name}/weight"] = metrics.Mean(factor, jnp.float32(1.0))
            named.update({f"{name}/{part}": value for part, value in parts.items()})
        return loss, named


def mask_key(view: objective.View, key: PRNGKeyArray) -> PRNGKeyArray:
    """Return the PRNG key for the masks of a view.

    Args:
        view: the view; student and teacher get equal keys.
        key: PRNG key of the step.
    """
    return keys.fold(key, "mask", view.tower, masking.identity(view.mask))


def in_compute_dtype(towers: Towers | None) -> Towers | None:
    """Cast the video parameters of frozen towers to their compute dtype.

    Layers cast parameters to that dtype at each use, so results are equal and bfloat16 halves the memory.
    """
    dtype = getattr((towers or {}).get("video"), "dtype", "float32")
    if towers is None or dtype == "float32":
        return towers
    small = lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf
    return {**towers, "video": jax.tree.map(small, towers["video"])}


def check(learner: Learner, teacher: Towers | None) -> None:
    """Raise an error if an objective needs a view that no tower can give.

    Args:
        learner: towers and objectives.
        teacher: frozen towers, or None.

    Raises:
        UserError: names the objective, the missing or unsuitable tower or view, and what to change.
    """
    for name, each in learner.objectives.items():
        objective.check_views(name, each.views())
        for view in each.views():
            there = (teacher or {}) if view.teacher else learner.towers
            if view.teacher and teacher is None:
                raise errors.UserError(
                    f"objective {name!r} needs a teacher; set recipe.Stage.teacher to a stage"
                )
            if view.tower not in there:
                whose = "the teacher's towers" if view.teacher else "recipe.Stage.towers"
                raise errors.UserError(
                    f"objective {name!r} needs the tower {view.tower!r}; {whose} hold {sorted(there)}"
                )
            if view.mask is not None and not isinstance(there[view.tower], types.ClipTower):
                raise errors.UserError(f"objective {name!r}: {_not_masked(view, there[view.tower])}")


def _not_masked(view: objective.View, tower: types.Tower) -> str:
    return (
        f"a view masks the tower {view.tower!r} ({type(tower).__name__}), which has no token grid "
        "(frames, patches); remove the mask or name a tower of clips"
    )


def build(
    towers: Mapping[str, Callable[..., types.Tower]],
    objectives: Mapping[str, Callable[..., objective.AbstractObjective]],
    teacher: Towers | None,
    *,
    key: PRNGKeyArray,
    started: bool = True,
) -> Learner:
    """Build a Learner from tower and objective constructors, each with a key folded by its name.

    Args:
        towers: name -> constructor taking `key`.
        objectives: name -> constructor taking `dims` and `key`.
        teacher: frozen towers, for their widths, or None.
        key: PRNG key for initial weights; adding a name does not change the initial weights of the others.
        started: give the objectives their state, see `Learner.started`; without it, towers may have shapes
            in place of arrays, which the caller replaces.

    Returns:
        The learner with its initial weights.

    Raises:
        UserError: a tower that an objective needs is missing, or sizes are invalid.
    """
    built = {}
    for name, make_tower in towers.items():
        own = {"key": keys.fold(key, "tower", name)}
        _check_takes(make_tower, own, f"tower {name!r}", "a tower")
        built[name] = make_tower(**own)
    sizes = tower_sizes.dims(built, teacher)
    made: dict[str, objective.AbstractObjective] = {}
    for name, make in objectives.items():
        given = {"dims": sizes, "key": keys.fold(key, "objective", name)}
        _check_takes(make, given, f"objective {name!r}", "a class derived from objective.AbstractObjective")
        try:
            made[name] = make(**given)
        except ValueError as error:
            raise errors.UserError(f"objective {name!r}: {error}") from error
        if not isinstance(made[name], objective.AbstractObjective):
            raise errors.UserError(
                f"objective {name!r}: expected a class derived from objective.AbstractObjective, found "
                f"{type(made[name]).__name__}; name another one in recipe.Stage.objectives"
            )
    learner = Learner(built, made)
    check(learner, teacher)
    return learner.started() if started else learner


def _check_takes(make: Callable[..., Any], given: Mapping[str, Any], what: str, wanted: str) -> None:
    """Check that a constructor takes what it is given, before it runs with an error of its own."""
    try:
        inspect.signature(make).bind(**given)
    except TypeError as error:
        found = getattr(make, "func", make)
        name = getattr(found, "__name__", type(found).__name__)
        raise errors.UserError(
            f"{what}: expected {wanted}, which takes {' and '.join(given)}, found {name} ({error}); name "
            "another one in recipe.Stage"
        ) from error
