"""The initial state of a stage: weights of other stages, and no weights drawn where all are replaced."""

import dataclasses
import functools
import types

import cli
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors, keys, trees
from prismlab.core.train import learner, objective, objective_state, schedules
from prismlab.core.train.checkpoints import checkpoint
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.run import initial_state
from prismlab.objectives import latent


class Tower(eqx.Module):
    """A tower that notes whether its weights were drawn or only their shapes taken."""

    weight: jax.Array

    def __init__(self, drawn: list[str], name: str, *, key):
        if not isinstance(key, jax.core.Tracer):
            drawn.append(name)
        self.weight = jax.random.normal(key, (3,))


class Late(objective.AbstractObjective):
    """An objective whose state has its shape only once the stage starts."""

    weight: schedules.Number
    past: jax.Array = eqx.field(metadata=objective_state.STATE)

    def __init__(self, *, dims, key):
        del dims, key
        self.weight, self.past = 1.0, jnp.zeros(0)

    def started(self, towers):
        return eqx.tree_at(lambda own: own.past, self, jnp.zeros(3))

    def views(self):
        return frozenset()

    def __call__(self, seen, batch, *, key):
        raise NotImplementedError


def stage(drawn: list[str]) -> types.SimpleNamespace:
    names = ("a", "b")
    return types.SimpleNamespace(towers={name: functools.partial(Tower, drawn, name) for name in names})


def test_weights_are_drawn_only_of_towers_that_keep_some():
    drawn: list[str] = []
    arrays = {"towers/a/weight": np.arange(3, dtype=np.float32)}
    found = initial_state.towers(stage(drawn), 5, arrays, "there")
    assert drawn == ["b"]
    assert found["a"].weight.tolist() == [0, 1, 2]
    key = keys.fold(keys.seeded(5, "init"), "tower", "b")
    assert found["b"].weight.tolist() == jax.random.normal(key, (3,)).tolist()


def test_weights_of_another_shape_are_refused():
    with pytest.raises(errors.UserError, match=r"there has other shapes: towers/a/weight: expected \(3,\)"):
        initial_state.towers(stage([]), 0, {"towers/a/weight": np.ones(4, np.float32)}, "there")


@pytest.mark.parametrize("everything", [False, True], ids=["towers", "towers and objectives"])
@pytest.mark.parametrize("stateful", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_learner_with_given_weights_equals_one_whose_weights_are_replaced(stateful, everything):
    first = strict.load(cli.QUICK).root.stages[1]
    if stateful:
        first = dataclasses.replace(first, objectives={"latent": latent.LatentPrediction}, teacher=None)
    key = keys.seeded(1, "init")
    teacher = None if stateful else {n: make(key=keys.fold(key, n)) for n, make in first.towers.items()}
    plain = learner.build(first.towers, first.objectives, teacher, key=key)
    under = "" if everything else "towers/"
    flat = trees.flatten(plain)
    arrays = {path: np.asarray(leaf) + 1 for path, leaf in flat.items() if path.startswith(under)}
    found, taken = initial_state.build(first, 1, teacher, arrays)
    wanted, _ = checkpoint.adopt(checkpoint.adopt(plain, arrays, "x")[0].started(), arrays, "x")
    assert taken == len(arrays)
    assert trees.digest(trees.flatten(found)) == trees.digest(trees.flatten(wanted))


def test_state_of_the_parent_is_taken_where_it_has_its_shape_only_at_the_start():
    first = dataclasses.replace(
        strict.load(cli.QUICK).root.stages[1], objectives={"late": Late}, teacher=None
    )
    towers = learner.build(first.towers, first.objectives, None, key=keys.seeded(1, "init"))
    arrays = {path: np.asarray(leaf) for path, leaf in trees.flatten(towers).items()}
    arrays["objectives/late/past"] = np.arange(3, dtype=np.float32)
    found, taken = initial_state.build(first, 1, None, arrays)
    assert found.objectives["late"].past.tolist() == [0, 1, 2]
    assert taken == len(arrays)
