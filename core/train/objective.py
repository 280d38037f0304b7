"""Interface of training objectives: the views they request and the loss they compute.

An objective owns its decoder, heads and temperature as ordinary fields. Views compare by value, so
objectives that request equal views share one forward pass of the tower.
"""

import abc
import dataclasses
from collections.abc import Mapping, Set
from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from prismlab.core import errors, types
from prismlab.core.train import masking, metrics, schedules

# How a loss couples the examples of a batch: not at all, through pooled vectors only, or through tokens.
Coupling = Literal["none", "pooled", "tokens"]


@dataclasses.dataclass(frozen=True)
class View:
    """Request for one encoding of the batch by a tower.

    Args:
        tower: name of the tower, "video" or "text" in the shipped recipes.
        mask: policy for the visible tokens; None shows all tokens.
        teacher: True requests the frozen teacher (no gradient).
    """

    tower: str
    mask: masking.Mask | None = None
    teacher: bool = False


def pooled(seen: Mapping[View, types.Encoded], view: View) -> Float[Array, "b d"]:
    """Return the pooled vectors of a view.

    Args:
        seen: the encodings passed to an objective.
        view: one of them.

    Returns:
        float [b, d], not normalised.

    Raises:
        UserError: the tower was built without a pooler.
    """
    vectors = seen[view].pooled
    if vectors is None:
        whose = "the teacher's tower" if view.teacher else "the tower"
        raise errors.UserError(
            f"{whose} {view.tower!r} gives no pooled vector, which an objective needs; "
            "build it with use_pooler=True"
        )
    return vectors


def tokens(seen: Mapping[View, types.Encoded], view: View) -> types.Tokens:
    """Return the tokens of a view.

    Args:
        seen: the encodings passed to an objective.
        view: one of them.

    Raises:
        UserError: the tower gives no tokens.
    """
    found = seen[view].tokens
    if found is None:
        whose = "the teacher's tower" if view.teacher else "the tower"
        raise errors.UserError(
            f"{whose} {view.tower!r} gives no tokens, which an objective needs; use a tower of clips "
            "or text.TextTower"
        )
    return found


class AbstractObjective(eqx.Module):
    """Base class of objectives: a loss over views of a batch, with the parameters only this loss needs.

    Subclasses are final, are constructed as `Name(hyperparameters..., dims=Dims, key=key)`, and are
    used in gin files as `@module.Name`. `weight` scales the loss in the sum: a number, or a `schedules.Ramp`
    over the steps. In the compiled step a number is a traced scalar, so that rows that differ in it share a
    program: multiply by it, do not branch on it.

    An objective may own state that no gradient trains, in fields marked with `objective_state.STATE`:
    `started` gives it its first value, `observed` says what of a batch it needs, and `advanced` changes it
    once per step.

    What a mask hides may be a target and no part of a prediction: what is read of `batch.video` or of the
    teacher beside a masked view has its gradient stopped and meets no trained weight.
    """

    weight: eqx.AbstractVar[schedules.Number]

    @abc.abstractmethod
    def views(self) -> frozenset[View]:
        """Return all views that __call__ reads."""

    def coupling(self) -> Coupling:
        """Return how the loss couples examples of the batch, for gradient accumulation."""
        return "none"

    def check_batch(self, batch_size: int) -> None:
        """Raise UserError if the loss cannot learn from batches of this size (clips of the global batch)."""

    def projected(self) -> "AbstractObjective":
        """Return the objective with its parameters inside their range; applied after every update.

        A parameter with bounds is clamped here and not in the loss, where its gradient would be 0 outside the
        bounds, so that it could never come back.
        """
        return self

    def started(self, towers: Mapping[str, types.Tower]) -> "AbstractObjective":
        """Return the objective with its state as it is before the first step of a stage.

        Args:
            towers: the towers with their initial weights. The objective's own weights are those it was built
                with: `init_from` replaces them afterwards.
        """
        del towers
        return self

    def observed(
        self, seen: Mapping[View, types.Encoded], batch: types.Batch
    ) -> dict[str, Float[Array, "b ..."]]:
        """Return what `advanced` needs of a batch: arrays with one row for each example, by name.

        A batch that is encoded in parts is put together again, so that the state changes once per step.

        Args:
            seen: the encodings of the requested views.
            batch: the batch, or a part of it.
        """
        del seen, batch
        return {}

    def advanced(
        self,
        towers: Mapping[str, types.Tower],
        observed: Mapping[str, Any],
        weight: Float[Array, " b"],
        step: Int[Array, ""],
    ) -> "AbstractObjective":
        """Return the objective with its state after a step; applied once per step, after `projected`.

        Args:
            towers: the trained towers after the update of this step.
            observed: what `observed` returned for the whole batch.
            weight: float32 [b], 0.0 for padding examples.
            step: number of the step, from 0.
        """
        del towers, observed, weight, step
        return self

    @abc.abstractmethod
    def __call__(
        self, seen: Mapping[View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Compute the loss and further metrics.

        Args:
            seen: the encodings of exactly the requested views.
            batch: the batch; `weight` 0 marks padding examples, which must not affect the result.
            key: randomness of this objective at this step.

        Returns:
            The loss, a weighted mean over examples, and extra metrics by short name.
        """


def check_views(name: str, views: Any) -> None:
    """Check that what an objective requests are views.

    Args:
        name: name of the objective.
        views: what its `views()` returned.

    Raises:
        UserError: it is no set of `View`.
    """
    if not isinstance(views, Set) or not all(isinstance(view, View) for view in views):
        raise errors.UserError(
            f"objective {name!r}: views() must return a frozenset of objective.View, got {views!r}; the "
            "intact clip is objective.View('video')"
        )


def loss(
    name: str,
    own: AbstractObjective,
    seen: Mapping[View, types.Encoded],
    batch: types.Batch,
    *,
    key: PRNGKeyArray,
) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
    """Return the loss and further metrics of an objective; arguments as of its `__call__`.

    Args:
        name: name of the objective.
        own: the objective.
        seen: the encodings of exactly the requested views.
        batch: the batch.
        key: randomness of this objective at this step.

    Raises:
        UserError: it reads a view that it does not request.
    """
    try:
        return own(seen, batch, key=key)
    except KeyError as error:
        view = error.args[0] if error.args else None
        if not isinstance(view, View):
            raise
        raise errors.UserError(
            f"objective {name!r} reads {view}, which its views() does not request; it requests "
            f"{sorted(seen, key=repr)}"
        ) from error
