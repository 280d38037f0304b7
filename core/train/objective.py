"""What an objective is: the views it asks for and the loss it makes of them.

An objective owns its decoder, heads and temperature as ordinary fields. It asks for Views by value,
so two objectives that ask for equal Views share one forward pass of the tower.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Literal

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from prismlab.core import errors, types
from prismlab.core.train import masking, metrics

# Where examples of a batch meet in a loss: nowhere, in their pooled vectors alone, or in tokens or beyond.
Coupling = Literal["none", "pooled", "tokens"]


@dataclasses.dataclass(frozen=True)
class View:
    """A request for one encoding of the batch.

    Args:
        tower: name of the tower, "video" or "text" in the shipped recipes.
        mask: which tokens the tower sees; None shows all of them.
        teacher: True asks the frozen teacher, which no gradient enters.
    """

    tower: str
    mask: masking.Mask | None = None
    teacher: bool = False


def pooled(seen: Mapping[View, types.Encoded], view: View) -> Float[Array, "b d"]:
    """Return the pooled vectors of a view.

    Args:
        seen: the encodings that an objective was given.
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


class AbstractObjective(eqx.Module):
    """A loss over views of one batch, together with the parameters that only this loss needs.

    A subclass is final, is constructed as `Name(hyperparameters..., dims=Dims, key=key)`, and is
    used in a gin file as `@module.Name`. `weight` scales its loss in the sum.
    """

    weight: eqx.AbstractVar[float]

    @abc.abstractmethod
    def views(self) -> frozenset[View]:
        """Return every view that __call__ reads."""

    def coupling(self) -> Coupling:
        """Return where an example's loss depends on others of the batch; accumulation has to know."""
        return "none"

    @abc.abstractmethod
    def __call__(
        self, seen: Mapping[View, types.Encoded], batch: types.Batch, *, key: PRNGKeyArray
    ) -> tuple[metrics.Mean, dict[str, metrics.Mean]]:
        """Return the loss and further named averages.

        Args:
            seen: the encodings of exactly the views asked for.
            batch: the batch; `weight` 0 marks examples that must change nothing.
            key: randomness of this objective at this step.

        Returns:
            The loss, weighted over examples, and extra metrics by short name.
        """
