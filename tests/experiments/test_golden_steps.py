"""Two training steps of every stage of the small recipes give the numbers that are on record."""

import importlib.util
import json
import pathlib

import cli
import numpy as np
import pytest

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
spec = importlib.util.spec_from_file_location("make_steps", GOLDEN / "make_steps.py")
make_steps = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_steps)
RECORDED = json.loads(make_steps.FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trained():
    return {}


def test_every_recipe_has_a_record():
    assert RECORDED.keys() == make_steps.RECIPES.keys()


# The first recipe has both stages; the others, with more stages and rows, take a minute.
ALL = [
    pytest.param(name, marks=pytest.mark.long if name == "smoke.gin" else pytest.mark.slow)
    for name in make_steps.RECIPES
]


@pytest.mark.parametrize("name", ALL)
def test_the_steps_of_a_recipe_give_the_recorded_numbers(name, trained):
    found = make_steps.steps_of(name, cli.CACHE, trained)
    wanted = RECORDED[name]
    assert found.keys() == wanted.keys()
    for stage, numbers in wanted.items():
        for field in ("batches", "metrics"):
            assert len(found[stage][field]) == make_steps.STEPS
            for at, (got, expected) in enumerate(zip(found[stage][field], numbers[field])):
                assert got.keys() == expected.keys()
                for key, value in expected.items():
                    np.testing.assert_allclose(
                        got[key], value, rtol=1e-5, atol=1e-6, err_msg=f"{stage}, step {at}: {key}"
                    )
        np.testing.assert_allclose(
            found[stage]["parameters"], numbers["parameters"], rtol=1e-5, err_msg=stage
        )
