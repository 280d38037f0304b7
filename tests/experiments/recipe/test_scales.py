"""Scales of an ablation: the rows at each, and what is refused."""

import dataclasses

import pytest
from test_recipe import BASE
from test_row_checks import Named

from prismlab.core import errors
from prismlab.experiments.recipe import matching_interface, recipe, row_checks

ROWS = {"one": {"stages": ("stage1",)}, "two": {"stage2.objectives": {"b": BASE.stages[0].objectives["a"]}}}
SCALES = {
    "small": {},
    "large": {"*.towers.video.size": 16, "stage2.objectives.*.size": 3, "stage1.steps": 9},
}


@dataclasses.dataclass(frozen=True)
class Twice:
    """A matching that needs no FLOPs: twice the steps of the other stage."""

    stage: str

    def match(self, stage, other, stages):
        return matching_interface.Match(stage.name, other.name, "steps", 2 * other.steps, 2.0, 2.5)


def make(rows=ROWS, scales=SCALES, **fields):
    base = dataclasses.replace(BASE, tasks={"first": Named()})
    return recipe.Ablation("x", base, rows, scales=scales, **fields)


def test_every_row_is_run_at_every_scale():
    found = make().experiments()
    assert list(found) == ["one @ small", "two @ small", "one @ large", "two @ large"]
    size = lambda label, stage: found[label].stages[stage].towers["video"].keywords["size"]
    assert [size("one @ small", 0), size("one @ large", 0), size("two @ large", 1)] == [8, 16, 16]
    # The scale reaches into the objectives that the row put there.
    assert found["two @ large"].stages[1].objectives["b"].keywords == {"size": 3}
    assert [len(each.stages) for each in found.values()] == [1, 2, 1, 2]


def test_of_equal_paths_the_row_wins_and_a_longer_one_is_applied_later():
    rows = {"one": {"stage1.steps": 2, "stage1.towers.video.size": 5}}
    found = make(rows, {"large": SCALES["large"], "whole": {"stage1.towers": BASE.stages[1].towers}})
    first = found.experiments()["one @ large"].stages[0]
    assert (first.steps, first.towers["video"].keywords["size"]) == (2, 5)
    assert found.experiments()["one @ whole"].stages[0].towers["video"].keywords["size"] == 5


def test_a_part_of_the_scales_is_run_and_claims_name_rows_at_scales():
    claims = (("two @ small", "one @ small", "motion"),)
    assert list(make(run_scales=("large",), claims=claims).experiments()) == ["one @ large", "two @ large"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"run_scales": ("larg",)}, "run_scales: no scale is named 'larg'; did you mean 'large'"),
        ({"claims": (("one @ smal", "two @ small", "motion"),)}, "'one @ smal'; did you mean 'one @ small'"),
        ({"scales": {"a": {}, "b": {"stage1.steps": 4}}}, r"scales\['b'\]: the scale is equal to 'a'"),
        ({"scales": {"a": {}, "A ": {"stage1.steps": 5}}}, "scales: the labels 'a' and 'A ' are alike"),
        ({"scales": {"a": {"stage3.steps": 4}}}, r"scales\['a'\]: 'stage3.steps' cannot be changed"),
        ({"scales": {"a": {"stage2.objectives.*.sise": 4}}}, "entry 'a': tower has no 'sise'"),
        ({"rows": {"r": {}, "r @ a": {"stage1.steps": 5}}, "scales": {"a @ a": {}, "a": {"stage1.steps": 6}}},
         "two labels 'ROW @ SCALE' are the same"),
        ({"rows": {"r": {"stage1.steps": 9}}}, "equal to the base at the scale 'large'"),
    ],
)  # fmt: skip
def test_scales_that_cannot_be_meant_are_refused(fields, words):
    with pytest.raises(errors.UserError, match=words) as caught:
        make(**fields)
    assert len(str(caught.value).splitlines()) == 1


def test_steps_are_set_by_another_stage_as_the_scale_has_it():
    rows = {"one": {"stages": ("stage2",), "stage2.init_from": None, "stage2.steps": Twice("stage1")}}
    found = make(rows)
    assert [each.stages[0].steps for each in found.experiments().values()] == [8, 18]
    (match,) = found.matches()["one @ large"]
    assert match.text == "'stage2' has 18 steps, with 2 steps against 2.5 of 'stage1' (mismatch -20 %)"
    assert list(make(rows, run_scales=("small",)).matches()) == ["one @ small"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stage2.steps": Twice("stage3")}, "matched with the stage 'stage3', but the others are"),
        ({"stage2.steps": Twice("stage2")}, "matched with the stage 'stage2', but the others are"),
        ({"stage2.steps": Twice("stage1"), "stage1.steps": Twice("stage2")}, "which is matched itself"),
        ({"stage2.steps": Twice("stage1"), "stage1.steps": 0}, "which has 0 steps"),
    ],
)
def test_a_match_with_nothing_is_refused(changes, words):
    with pytest.raises(errors.UserError, match=words) as caught:
        make({"row": changes})
    assert str(caught.value).startswith("recipe.Ablation.rows['row']: 'stage2.steps'") or "itself" in words


def test_labels_that_are_alike_are_refused_wherever_they_stand():
    with pytest.raises(errors.UserError, match="here: the labels 'a' and 'A' are alike"):
        row_checks.check_labels(["a", "b", "A"], "here")
