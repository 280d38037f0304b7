"""The trainable tree: towers and objectives by name, each distinct View encoded once a step."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, keys, types
from prismlab.core.train import masking, metrics, objective

# A tower is an eqx.Module with `inputs` and, for clips, `frames`, `patches`, `patch` and `dim`.
Towers = Mapping[str, Any]


class Learner(eqx.Module):
    """Everything that a stage trains.

    Args:
        towers: encoders by name ("video", "text").
        objectives: losses by the name that the gin file gives them.
    """

    towers: dict[str, Any]
    objectives: dict[str, objective.AbstractObjective]

    def views(self) -> list[objective.View]:
        """Return each distinct view that some objective asks for, in a stable order."""
        asked = {view for each in self.objectives.values() for view in each.views()}
        return sorted(asked, key=repr)

    def encode(
        self, view: objective.View, batch: types.Batch, teacher: Towers | None, *, key: PRNGKeyArray
    ) -> types.Encoded:
        """Encode the batch once for one view.

        Args:
            view: tower, mask and whether the teacher is meant.
            batch: the batch.
            teacher: the frozen towers, or None.
            key: randomness of this step; equal views draw equal masks whoever asks.

        Returns:
            The encoding; no gradient leaves a teacher's.
        """
        towers: Towers = (teacher or {}) if view.teacher else self.towers
        tower = towers[view.tower]
        inputs = [getattr(batch, field) for field in tower.inputs]
        if view.mask is None:
            encoded = tower(*inputs)
        else:
            # Sources may have clips of other lengths, images one frame: the batch says how many.
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

    def __call__(
        self, batch: types.Batch, teacher: Towers | None = None, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, metrics.Mean]]:
        """Return the weighted sum of the objectives' losses and every metric by name.

        Args:
            batch: the global batch.
            teacher: frozen towers for views that ask for the teacher.
            key: randomness of this step.

        Returns:
            float32 scalar loss, and metrics named "loss/objective" and "objective/part".
        """
        seen = {view: self.encode(view, batch, teacher, key=key) for view in self.views()}
        return self.losses(seen, batch, key=key)

    def losses(
        self, seen: Mapping[objective.View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, metrics.Mean]]:
        """Return the weighted sum of the objectives' losses and every metric by name.

        Args:
            seen: the encoding of every view that the objectives ask for.
            batch: the batch.
            key: randomness of this step.
        """
        loss: Float[Array, ""] = jnp.zeros(())
        named: dict[str, metrics.Mean] = {}
        for name in sorted(self.objectives):
            each = self.objectives[name]
            own = {view: seen[view] for view in each.views()}
            mean, parts = each(own, batch, key=keys.fold(key, "objective", name))
            loss = loss + each.weight * mean.value
            named[f"loss/{name}"] = mean
            named.update({f"{name}/{part}": value for part, value in parts.items()})
        return loss, named


def mask_key(view: objective.View, key: PRNGKeyArray) -> PRNGKeyArray:
    """Return the key of a view's masks.

    Args:
        view: tower and mask; teacher or student makes no difference.
        key: of the step.
    """
    return keys.fold(key, "mask", repr((view.tower, view.mask)))


def in_compute_dtype(towers: Towers | None) -> Towers | None:
    """Return frozen towers with their video parameters in the dtype that they compute in.

    Layers cast parameters to that dtype at each use, so the numbers are the same with half the memory.
    """
    dtype = getattr((towers or {}).get("video"), "dtype", "float32")
    if towers is None or dtype == "float32":
        return towers
    small = lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf
    return {**towers, "video": jax.tree.map(small, towers["video"])}


def check(learner: Learner, teacher: Towers | None) -> None:
    """Refuse a learner whose objectives ask for towers that are not there.

    Args:
        learner: towers and objectives.
        teacher: frozen towers, or None.

    Raises:
        UserError: naming the objective, the tower and what to add.
    """
    for name, each in learner.objectives.items():
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


def build(towers: Mapping, objectives: Mapping, teacher: Towers | None, *, key: PRNGKeyArray) -> Learner:
    """Build towers and objectives from their constructors, each with a key folded by its name.

    Args:
        towers: name -> constructor taking `key`.
        objectives: name -> constructor taking `dims` and `key`.
        teacher: frozen towers, for their widths, or None.
        key: initial weights; adding a name leaves every other initial weight bit-equal.

    Returns:
        The learner with its initial weights.

    Raises:
        UserError: a tower that an objective needs is missing, or a size does not fit.
    """
    built = {name: make(key=keys.fold(key, "tower", name)) for name, make in towers.items()}
    sizes = dims(built, teacher)
    made = {}
    for name, make in objectives.items():
        try:
            made[name] = make(dims=sizes, key=keys.fold(key, "objective", name))
        except ValueError as error:
            raise errors.UserError(f"objective {name!r}: {error}") from error
    learner = Learner(built, made)
    check(learner, teacher)
    return learner


def dims(towers: Towers, teacher: Towers | None) -> types.Dims:
    """Read the sizes that objectives build on from the towers."""
    if "video" not in towers:
        raise errors.UserError(f"recipe.Stage.towers needs a tower named 'video'; it holds {sorted(towers)}")
    clip = towers["video"]
    frozen = (teacher or {}).get("video", clip)
    if (frozen.frames, frozen.patches) != (clip.frames, clip.patches):
        raise errors.UserError(
            f"teacher and student must see the same tokens: the teacher has {frozen.frames} frames of "
            f"{frozen.patches} patches, the student {clip.frames} of {clip.patches}"
        )
    return types.Dims(
        frames=clip.frames,
        patches=clip.patches,
        patch_values=clip.patch**2 * 3,
        video_dim=clip.dim,
        teacher_dim=frozen.dim,
        text_dim=towers["text"].dim if "text" in towers else None,
    )
