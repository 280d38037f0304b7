"""Descriptions: plain, stable from process to process, and told apart exactly when values differ."""

import functools
import json
import math
import pathlib
import subprocess
import sys

import gin_parts as parts
import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.experiments.recipe import describe

ADDRESS = """
import test_describe
from prismlab.experiments.recipe import describe
print(describe.address(describe.describe(test_describe.rich())))
"""

trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def rich() -> parts.Ablation:
    stage = parts.Stage(
        3, head=parts.Head(2), objective=functools.partial(parts.Objective, weight=2.0), names=("é",)
    )
    return parts.Ablation(arms={"b": parts.Experiment((stage,)), "a": parts.Experiment(())})


def test_names_classes_and_partials():
    tree = describe.describe(rich())
    assert tree["class"] == "gin_parts.Ablation"
    assert list(tree["arms"]) == ["a", "b"]
    stage = tree["arms"]["b"]["stages"][0]
    assert stage["objective"] == {"partial of": "gin_parts.Objective", "weight": 2.0}
    assert stage["head"] == {
        "class": "gin_parts.Head",
        "width": 2,
        "rate": 0.1,
        "colour": "gin_parts.Colour.RED",
    }


def test_partial_tells_defaults_and_an_unbound_default_equals_a_bound_one():
    bound = functools.partial(parts.Objective, weight=1.0)
    assert describe.describe(functools.partial(parts.Objective)) == describe.describe(bound)


def test_an_instance_differs_from_its_class_and_from_its_partial():
    kinds = [parts.Tower(), parts.Tower, functools.partial(parts.Tower)]
    assert len({describe.address(describe.describe(each)) for each in kinds}) == 3


def test_equinox_modules_functions_and_types():
    assert describe.describe(parts.Objective(2.0, dims=1, key=2)) == {
        "class": "gin_parts.Objective",
        "weight": 2.0,
        "total": 3,
    }
    assert describe.describe(jax.nn.gelu).endswith(".gelu")
    assert describe.describe(jnp.float32).endswith("float32")
    assert describe.describe(math.inf) == {"float": "inf"}


@pytest.mark.parametrize(
    "value",
    [parts.Loose(), object(), lambda: 0, jnp.ones(2), [].append, {1: 2}, pathlib.Path("x"), {1, 2}],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_plain_description_is_refused_with_its_path(value):
    with pytest.raises(errors.UserError, match=r"^stages\[0\]\.objective: "):
        describe.describe({"stages": [{"objective": value}]})


def test_address_does_not_depend_on_order():
    assert describe.address({"a": 1, "b": 2}) == describe.address({"b": 2, "a": 1})


@pytest.mark.slow
def test_address_is_the_same_in_another_process():
    wanted = describe.address(describe.describe(rich()))
    here = pathlib.Path(__file__)
    environment = {
        "PYTHONPATH": f"{here.parent}:{here.parents[1]}",
        "PYTHONHASHSEED": "7",
        "JAX_PLATFORMS": "cpu",
    }
    got = subprocess.run(
        [sys.executable, "-c", ADDRESS], env=environment, capture_output=True, text=True, check=True
    )
    assert got.stdout.strip() == wanted
    assert len(wanted) == 16


@settings(max_examples=40, deadline=None)
@given(trees)
def test_describing_a_description_changes_nothing(tree):
    plain = describe.describe(tree)
    assert describe.address(describe.describe(plain)) == describe.address(plain)
    again = json.loads(json.dumps(plain))
    assert describe.address(again) == describe.address(plain)
    assert describe.difference(again, plain) == []


@settings(max_examples=40, deadline=None)
@given(trees, trees)
def test_difference_is_empty_exactly_when_addresses_agree(a, b):
    a, b = describe.describe(a), describe.describe(b)
    assert (describe.difference(a, b) == []) == (describe.address(a) == describe.address(b))


def test_difference_names_paths():
    old = {"stages": [{"steps": 1}, {"steps": 400, "head": {"class": "m.A", "x": 1}}], "seed": 0}
    new = {"stages": [{"steps": 1}, {"steps": 300, "head": {"class": "m.B", "y": 1}}, 5], "name": "x"}
    assert describe.difference(old, new) == [
        "stages[1].steps: 400 -> 300",
        "stages[1].head: m.A -> m.B",
        "stages[2]: absent -> 5",
        "seed: 0 -> absent",
        'name: absent -> "x"',
    ]
    assert describe.difference({"a": 1}, {"a": 1.0}) == ["a: 1 -> 1.0"]
    assert describe.difference({"a": 1}, {"a": True}) == ["a: 1 -> true"]
