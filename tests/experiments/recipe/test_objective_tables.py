"""Each objective has a row in the table at full scale and in its small twin."""

import functools
import importlib
import pkgutil

import pytest

from prismlab import objectives
from prismlab.core.train import objective
from prismlab.experiments.gin_strict import strict

FILES = ("ablation_objectives.gin", "objectives_small.gin")


@functools.cache
def _ablation(name):
    return strict.load(name).root


def _kinds(experiment):
    return {make.func if isinstance(make, functools.partial) else make
            for stage in experiment.stages for make in stage.objectives.values()}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_each_objective_has_a_row(name):
    shipped = {
        value
        for module in pkgutil.walk_packages(objectives.__path__, "prismlab.objectives.")
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, type) and issubclass(value, objective.AbstractObjective)
    } - {objective.AbstractObjective}
    shown = set().union(*(_kinds(each) for each in _ablation(name).experiments().values()))
    # Token shuffling has its rows in the tables of Figure 4.
    assert {kind.__name__ for kind in shipped - shown} == {"TokenShuffle"}


def test_the_twins_have_the_same_rows():
    full, small = (_ablation(name).experiments() for name in FILES)
    assert [label for label in small if label != "untrained encoder"] == list(full)
    for label, each in full.items():
        assert _kinds(each) == _kinds(small[label])
        assert [stage.encoder for stage in each.stages] == [stage.encoder for stage in small[label].stages]
