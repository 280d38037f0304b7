"""State in which a stage starts: towers, objectives and optimizer, from keys and weights of other stages."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PRNGKeyArray

from prismlab.core import keys, trees
from prismlab.core.train import learner, traced_numbers
from prismlab.core.train.checkpoints import checkpoint
from prismlab.core.train.steps import step


def towers(stage: Any, seed: int, arrays: dict[str, np.ndarray], source: str) -> learner.Towers:
    """Return the towers of a stage with the weights of a checkpoint.

    Args:
        stage: the configuration of the stage (recipe.Stage) that the towers are built like.
        seed: the experiment's seed.
        arrays: path -> array, from `checkpoint.read_learner`.
        source: name of the arrays in error messages.

    Raises:
        UserError: the arrays do not fit.
    """
    key = keys.seeded(seed, "init")
    towers = _without_weights_of(arrays, stage.towers)
    built = {name: make(key=keys.fold(key, "tower", name)) for name, make in towers.items()}
    return checkpoint.adopt({"towers": built}, arrays, source)[0]["towers"]


def build(
    stage: Any, seed: int, teacher: learner.Towers | None, arrays: dict[str, np.ndarray] | None
) -> tuple[learner.Learner, int]:
    """Return the learner of a stage with its initial weights.

    Args:
        stage: the configuration (recipe.Stage).
        seed: the experiment's seed.
        teacher: frozen towers, or None.
        arrays: path -> array of `init_from`, or None.

    Returns:
        The learner, and the number of arrays taken from `init_from`.

    Raises:
        UserError: the arrays do not fit.
    """
    key = keys.seeded(seed, "init")
    if arrays is None:
        return learner.build(stage.towers, stage.objectives, teacher, key=key), 0
    source = f"init_from {str(stage.init_from)!r}"
    towers = _without_weights_of(arrays, stage.towers)
    made = learner.build(towers, stage.objectives, teacher, key=key, started=False)
    of_towers = {path: array for path, array in arrays.items() if path.startswith("towers/")}
    tree, taken = checkpoint.adopt(made, of_towers, source)
    tree = tree.started()  # state begins with the adopted towers, unless the parent has it
    if len(of_towers) < len(arrays):
        tree, taken = checkpoint.adopt(tree, arrays, source)
    return tree, taken


def _without_weights_of(
    arrays: Mapping[str, np.ndarray], towers: Mapping[str, Callable[..., Any]]
) -> dict[str, Callable[..., Any]]:
    """Return constructors of towers that draw no weights if `arrays` replaces all of them.

    Such a tower has shapes in place of arrays. Drawing the weights of a small tower takes seconds, because
    each shape is a program to compile.
    """

    def constructor(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(make)
        def made(*, key: PRNGKeyArray) -> Any:
            if not any(path.startswith(f"towers/{name}/") for path in arrays):
                return make(key=key)
            shapes = eqx.filter_eval_shape(make, key=key)
            replaced = all(f"towers/{name}/{path}" in arrays for path in trees.flatten(shapes))
            return shapes if replaced else make(key=key)

        return made

    return {name: constructor(name, make) for name, make in towers.items()}


def state(
    stage: Any, seed: int, position: int, built: learner.Learner, optimizer: traced_numbers.Transformation
) -> step.TrainState:
    """Return the state before the first step.

    Args:
        stage: the configuration (recipe.Stage).
        seed: the experiment's seed.
        position: see `stages.Planned`; masks and other randomness of the steps depend on it.
        built: the learner.
        optimizer: the gradient transformation.
    """
    return step.init(built, optimizer, stage.frozen, key=keys.seeded(seed, "train", position))
