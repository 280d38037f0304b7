"""What every objective must do; each class in the package `objectives` is found, none is named here."""

import importlib
import inspect
import pkgutil

import pytest

from prismlab import objectives
from prismlab.core.train import objective
from prismlab.experiments.kit import objective_contract

FILES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(objectives.__path__, "prismlab.objectives.")
]


class TestObjectives(objective_contract.ObjectiveContract):
    """The contract that the kit gives to users' packages too; a file without an objective is named."""

    kinds = tuple(kind for module in FILES for kind in objective_contract.found(module))
    switches = False

    @pytest.mark.long  # compiles each operation on its own
    def test_compiled_equals_eager(self, case):
        """A compiled program computes what Python does."""
        super().test_compiled_equals_eager(case)


@pytest.mark.slow
class TestSwitches(objective_contract.ObjectiveContract):
    """The contract of each objective with one of its switches turned on."""

    kinds = TestObjectives.kinds
    switches = True


def test_every_concrete_objective_is_found():
    concrete = {
        value
        for module in FILES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, objective.AbstractObjective)
    } - {objective.AbstractObjective}
    assert {kind for kind in concrete if not inspect.isabstract(kind)} == set(TestObjectives.kinds)
