"""Steps of a stage from the cost of another one, for compute-matched rows of an ablation.

recipe.Ablation.rows = {
    'stage 1 continued': {'stages': ('stage1', 'continued'), 'continued.steps': @matching.Flops()},
}
matching.Flops.stage = 'stage2'
"""

import dataclasses
from collections.abc import Mapping

from prismlab.core.train import learner
from prismlab.experiments.cost import estimate
from prismlab.experiments.recipe import describe, matching_interface, recipe
from prismlab.experiments.recipe.checks import shapes

_COUNTED: dict[str, float] = {}


@dataclasses.dataclass(frozen=True)
class Flops:
    """As many steps as have the model FLOPs of another stage, to the nearest step.

    Model FLOPs are those of forward and backward pass without rematerialization, teacher included, as
    `prismlab ablate --explain` counts them.

    Args:
        stage: name of the other stage, as the row and its scale have it; the row need not run it.
    """

    stage: str

    def match(
        self, stage: recipe.Stage, other: recipe.Stage, stages: Mapping[str, recipe.Stage]
    ) -> matching_interface.Match:
        """Return the steps of `stage`; see `matching_interface.Matching`."""
        own, theirs = of_step(stage, stages), of_step(other, stages)
        target = theirs * other.steps
        steps = max(1, round(target / own))
        return matching_interface.Match(stage.name, other.name, "FLOPs", steps, steps * own, target)


def of_step(stage: recipe.Stage, stages: Mapping[str, recipe.Stage]) -> float:
    """Return the model FLOPs of one step of a stage on the global batch, from shapes alone.

    Args:
        stage: the stage.
        stages: name -> stage, with those that are its teachers.
    """
    chain = _chain(stage, stages)
    key = describe.address([describe.describe(dataclasses.replace(each, steps=1)) for each in chain])
    if key not in _COUNTED:
        built: dict[str, learner.Learner] = {}
        for each in chain:
            built[each.name] = shapes.abstract_learner(each, built)
        _COUNTED[key] = sum(estimate.measured(stage, "none", built, stage.batch_size).products.values())
    return _COUNTED[key]


def _chain(stage: recipe.Stage, stages: Mapping[str, recipe.Stage]) -> list[recipe.Stage]:
    """Return a stage after the stages that its teacher is made of."""
    teacher = stages.get(stage.teacher) if isinstance(stage.teacher, str) else None
    return [*(_chain(teacher, stages) if teacher is not None else ()), stage]
