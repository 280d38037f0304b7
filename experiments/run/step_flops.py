"""How many operations a training step needs, so that a run can tell its MFU."""

from typing import Any

import jax

from prismlab.core.train import learner, telemetry
from prismlab.experiments.cost import estimate
from prismlab.experiments.recipe import shapes


def of_step(planned: Any) -> float | None:
    """Return the model's operations in one step of the whole batch, without what is computed twice.

    Args:
        planned: an `stages.Planned`.

    Returns:
        A number of operations, or None on a device without a published peak, where nobody asks.
    """
    if telemetry.peak_of(jax.local_devices()[0]) is None:
        return None
    stage = planned.stage
    return sum(estimate.fewest(stage, learners(planned), stage.batch_size).values())


def learners(planned: Any) -> dict[str, learner.Learner]:
    """Return by shape, and by stage, the learners of a stage and of those it starts or learns from.

    Args:
        planned: an `stages.Planned`.
    """
    built: dict[str, learner.Learner] = {}
    for parent in (planned.init_from, planned.teacher):
        if hasattr(parent, "stage"):  # planned here too; folders and released weights know their own shapes
            built |= learners(parent)
    return {**built, planned.stage.name: shapes.abstract_learner(planned.stage, built)}
