"""Model FLOPs of a training step, used to report MFU."""

from typing import Any

import jax

from prismlab.core.events import telemetry
from prismlab.core.train import learner
from prismlab.experiments.cost import estimate
from prismlab.experiments.recipe.checks import shapes

WORTH_STEPS = 100  # counting takes some seconds


def of_step(planned: Any) -> float | None:
    """Return the model FLOPs of one step on the global batch, excluding rematerialization.

    Args:
        planned: a `stages.Planned`.

    Returns:
        FLOPs, or None on a device without a published peak, where MFU is not reported.
    """
    if telemetry.peak_of(jax.local_devices()[0]) is None:
        return None
    return model_flops(planned)


def counted(planned: Any, known: float | None) -> float | None:
    """Return the model FLOPs of one step for a certificate, on any device.

    Args:
        planned: a `stages.Planned`.
        known: result of `of_step`.

    Returns:
        FLOPs; None for a stage of fewer than `WORTH_STEPS` steps on a device without a published peak, where
        counting would take longer than training.
    """
    return known if known is not None or not is_counted(planned) else model_flops(planned)


def is_counted(planned: Any) -> bool:
    """Return whether a stage has the steps that make counting worth its time.

    Args:
        planned: a `stages.Planned`.
    """
    return bool(planned.stage.steps >= WORTH_STEPS)


def model_flops(planned: Any) -> float:
    """Return the model FLOPs of one step on the global batch, from shapes alone.

    Args:
        planned: a `stages.Planned`.
    """
    stage = planned.stage
    return sum(estimate.fewest_of_batch(stage, learners(planned), stage.batch_size).values())


def estimated(planned: Any) -> float:
    """Return about the model FLOPs of one step in a third of the time: with the layers as they are written.

    Args:
        planned: a `stages.Planned`.
    """
    stage = planned.stage
    found = estimate.measured(stage, "none", learners(planned), stage.batch_size)
    return sum(found.products.values())


def learners(planned: Any) -> dict[str, learner.Learner]:
    """Return stage name -> abstract learner, for a stage and the planned stages it depends on.

    Args:
        planned: a `stages.Planned`.
    """
    built: dict[str, learner.Learner] = {}
    for parent in planned.parents:  # folders and released weights have their own shapes
        built |= learners(parent)
    return {**built, planned.stage.name: shapes.abstract_learner(planned.stage, built)}
