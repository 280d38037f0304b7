"""Rows and claims that cannot be meant are named before anything is trained."""

import dataclasses

import pytest
from test_recipe import BASE

from prismlab.core import errors
from prismlab.experiments.recipe import recipe
from prismlab.experiments.tasks import task

ROWS = {"one": {"stages": ("stage1",)}, "two": {}}


@dataclasses.dataclass(frozen=True)
class Named:
    """A task that tells its metrics."""

    names: tuple[str, ...] = ("motion", "species")

    def metric_names(self):
        return self.names

    def __call__(self, towers, *, seed, cache):
        return {name: task.Score(0.5, 1, {}) for name in self.names}


def make(rows=ROWS, **fields):
    base = dataclasses.replace(BASE, tasks={"first": Named(), "second": Named(("motion",))})
    return recipe.Ablation("x", base, rows, **fields)


def test_good_claims_are_kept():
    claims = (("one", "two", "motion"), ("two", "one", "second: motion"))
    assert make(claims=claims, looks=(3, 6)).claims == claims
    joint = (("one", ("two",), "motion"),)
    assert make(claims=joint).claims == joint


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ([("on", "two", "motion")], "no row is named 'on'; did you mean 'one'"),
        ([("one", "three", "motion")], "no row is named 'three'; there are"),
        ([("one", "one", "motion")], "compared with itself"),
        ([("one", "two", "motoin")], "row 'one' has no metric 'motoin'; did you mean 'motion'"),
        ([("one", "two", "motion"), ("two", "one", "motion")], "claimed twice"),
        ([("one", (), "motion")], "compared with nothing"),
        ([("one", ("two", "thre"), "motion")], "no row is named 'thre'"),
        ([("one", ("two", "two"), "motion")], "claimed twice"),
    ],
)
def test_a_claim_that_names_nothing_is_refused(claims, words):
    with pytest.raises(errors.UserError, match=words) as caught:
        make(claims=tuple(claims))
    assert str(caught.value).startswith("recipe.Ablation.claims: (")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"one": {}, "ONE ": {"stages": ("stage1",)}}, "the labels 'one' and 'ONE ' are alike"),
        ({"one": {}, "two": {}}, r"rows\['two'\]: the row is equal to 'one'"),
        ({"one": {"stage1.steps": BASE.stages[0].steps}}, "equal to the base in all that decides a number"),
        ({"base": {}, "one": {"stage1.steps": BASE.stages[0].steps}}, "equal to 'base'"),
    ],
)
def test_rows_that_change_nothing_are_refused(rows, words):
    with pytest.raises(errors.UserError, match=words):
        make(rows)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"matters": 0.0}, "matters must be positive"), ({"looks": (6, 3)}, "ascending numbers of seeds")],
)
def test_other_settings_of_claims_are_checked(fields, words):
    with pytest.raises(errors.UserError, match=words):
        make(**fields)
