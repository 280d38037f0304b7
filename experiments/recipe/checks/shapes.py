"""Abstract learner and teacher of a stage (shapes only), built without a device."""

import equinox as eqx

from prismlab.core import keys
from prismlab.core.train import learner
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import stage_configuration
from prismlab.experiments.released import released_weights


def abstract_teacher(stage: recipe.Stage, earlier: dict[str, learner.Learner]) -> learner.Towers | None:
    """Return the towers of a stage's teacher by shape only, or None.

    Args:
        stage: the configuration.
        earlier: learners of the stages before it.
    """
    if stage.teacher is None:
        return None
    if isinstance(stage.teacher, released_weights.Released):
        return stage.teacher.abstract()
    if stage.teacher in earlier:
        return earlier[stage.teacher].towers
    # A folder: where its configuration is not known, its towers are built like this stage's own.
    like, key = stage_configuration.of_name(stage.teacher) or stage, keys.seeded(0, "init")
    return eqx.filter_eval_shape(lambda k: {name: make(key=k) for name, make in like.towers.items()}, key)


def abstract_learner(stage: recipe.Stage, earlier: dict[str, learner.Learner]) -> learner.Learner:
    """Return the learner of a stage by shape only.

    Args:
        stage: the configuration.
        earlier: learners of the stages before it.
    """
    teacher, key = abstract_teacher(stage, earlier), keys.seeded(0, "init")
    return eqx.filter_eval_shape(lambda k: learner.build(stage.towers, stage.objectives, teacher, key=k), key)
