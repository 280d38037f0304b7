"""Rows of an ablation: what a path may change, and what is refused with a word on what was meant."""

import dataclasses
import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, keys
from prismlab.core.train import optim
from prismlab.core.train.loops import loop
from prismlab.data.loader import loader, source, tokenizer
from prismlab.data.world import world
from prismlab.experiments.recipe import changes, describe, recipe
from prismlab.experiments.tasks import retrieval
from prismlab.experiments.tasks.readers import captioned_source

quick = settings(max_examples=25, deadline=None)


def tower(size: int, depth: int = 1, *, key=None):
    """Stand for a tower's constructor."""


HOME = source.Rendered(world.World(clips=4, resolution=16, frames=2))
LINE = loader.Line({"clean": HOME}, tokenizer.Tokenizer((HOME,)), frames=2, resolution=16)
STAGE1 = recipe.Stage(
    name="stage1", towers={"video": functools.partial(tower, size=8)},
    objectives={"a": functools.partial(tower)},
    data=LINE, optimizer=optim.AdamW(optim.Schedule(1e-3)), steps=4, batch_size=2,
)  # fmt: skip
STAGE2 = dataclasses.replace(STAGE1, name="stage2", init_from="stage1")
BASE = recipe.Experiment("base", (STAGE1, STAGE2))


def row(**given):
    return changes.row(BASE, "row", {path.replace("__", "."): value for path, value in given.items()})


def test_no_change_is_the_base():
    assert row() == BASE


@quick
@given(st.integers(0, 99), st.integers(1, 99), st.sampled_from(["stage1", "stage2"]))
def test_a_field_of_a_stage_changes_and_nothing_else_does(steps, batch, name):
    changed = changes.row(BASE, "row", {f"{name}.steps": steps, f"{name}.batch_size": batch})
    for before, after in zip(BASE.stages, changed.stages):
        wanted = dataclasses.replace(before, steps=steps, batch_size=batch) if before.name == name else before
        assert after == wanted
    assert BASE.stages == (STAGE1, STAGE2)


def test_paths_reach_into_dictionaries_dataclasses_and_partials():
    changed = row(
        stage2__objectives__b=tower,
        stage2__towers__video__depth=3,
        stage2__optimizer__schedule__peak=0.5,
        stage2__data__sources__clean__world__seed=7,
    ).stages[1]
    assert set(changed.objectives) == {"a", "b"}
    assert changed.towers["video"].keywords == {"size": 8, "depth": 3}
    assert changed.towers["video"].func is tower
    assert changed.optimizer.schedule.peak == 0.5
    assert changed.data.sources["clean"].world.seed == 7
    assert STAGE2.towers["video"].keywords == {"size": 8}
    assert set(STAGE2.objectives) == {"a"}


def test_paths_reach_into_a_dictionary_that_may_be_none():
    weighted = dataclasses.replace(STAGE1, data=dataclasses.replace(LINE, weights={"clean": 1.0}))
    base = recipe.Experiment("base", (weighted,))
    assert changes.row(base, "row", {"stage1.data.weights.clean": 2}).stages[0].data.weights == {"clean": 2.0}
    with pytest.raises(errors.UserError, match="expected float, got 'much'"):
        changes.row(base, "row", {"stage1.data.weights.clean": "much"})


def test_stages_are_chosen_in_the_order_asked_for():
    assert [stage.name for stage in row(stages=("stage1",)).stages] == ["stage1"]
    assert [stage.name for stage in row(stages=("stage2", "stage1")).stages] == ["stage2", "stage1"]


def test_tasks_may_be_replaced():
    task = retrieval.Retrieval(captioned_source.CaptionedSource(HOME), LINE.tokenizer)
    assert row(tasks={"read": task}).tasks == {"read": task}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stages": ("stage3",)}, ["stage3", "stage1", "stage2"]),
        ({"stage3.steps": 1}, ["stage3.steps", "stage1"]),
        ({"stage1": 1}, ["'stage1' cannot be changed"]),
        ({"seed": 1}, ["'seed' cannot be changed"]),
        ({"stage1.stepz": 1}, ["Stage has no field 'stepz'", "did you mean steps"]),
        ({"stage1.towers.video.detph": 1}, ["tower has no 'detph'", "did you mean depth"]),
        ({"stage1.towers.vidoe.depth": 1}, ["no entry is named 'vidoe'", "video"]),
        ({"stage1.optimizer.schedule.peek": 1}, ["Schedule has no field 'peek'", "did you mean peak"]),
        ({"stage1.steps.more": 1}, ["'more' cannot be set on 4"]),
        ({"stages": ("stage1",), "stage2.steps": 3}, ["'stage2.steps' has no effect", "stage1"]),
    ],
)
def test_what_the_base_lacks_is_refused(changes, told):
    with pytest.raises(errors.UserError) as caught:
        recipe.Ablation("x", BASE, {"my row": changes})
    assert "rows['my row']" in str(caught.value)
    for part in told:
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: recipe.Experiment("x", (STAGE1, STAGE1)), "unique names"),
        (lambda: recipe.Experiment("x", ()), "at least one stage"),
        (lambda: row(stages=()), "at least one stage"),
        (lambda: row(stages=("stage1", "stage1")), "unique names"),
        (lambda: row(stage1__name="stage2"), "unique names"),
        (lambda: row(stage1__steps=-1), "steps must be at least 0, got -1"),
        (lambda: dataclasses.replace(STAGE1, batch_size=0), "batch_size must be at least 1, got 0"),
        (lambda: loop.Settings(checkpoint_every=0), "checkpoint_every must be at least 1, got 0"),
        (lambda: loop.Settings(checkpoint_minutes=0.0), "checkpoint_minutes must be positive"),
        (lambda: loop.Settings(profile=(3, 2)), "profile must be first and last step"),
        (lambda: dataclasses.replace(STAGE1, objectives={}), "has no objectives"),
        (lambda: dataclasses.replace(STAGE1, name="Stage 1"), "may only contain"),
        (lambda: dataclasses.replace(STAGE1, name="../up"), "may only contain"),
        (lambda: recipe.Ablation("x", BASE, {}), "at least one row and one seed"),
        (lambda: recipe.Ablation("x", BASE, {"a": {}}, seeds=()), "at least one row and one seed"),
        (lambda: recipe.Ablation("x", BASE, {"a": {}}, seeds=(1, 1)), "seeds"),
        (lambda: recipe.Ablation("x", BASE, {"a": {}}, compare_with=("b",)), "compare_with"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


@dataclasses.dataclass(frozen=True)
class Rate:
    """A schedule of the user's own."""

    peak: float = 1
    others: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Own:
    """An optimizer of the user's own; `beartype` checks those of core already."""

    schedule: Rate = Rate(0.5)
    clip_norm: float | None = None

    def build(self, steps):
        raise NotImplementedError


WRONG = {
    "stage1.batch_size": (True, "expected int, got True (bool)"),
    "stage1.steps": (4.0, "expected int, got 4.0 (float)"),
    "stage1.optimizer.schedule.peak": ("1", "expected float, got '1' (str)"),
    "stage1.optimizer.weight_decay": (None, "expected float, got None"),
    "stage1.optimizer": (3, "expected Optimizer, got 3 (int)"),
    "stage1.objectives": ({"a": 3}, "got 3 (int)"),
    "stage1.objectives.a": (3, "expected "),
    "stage1.towers.video.size": ("8", "expected int, got '8' (str)"),
    "stage1.data.threads": (2.5, "expected int, got 2.5 (float)"),
    "stage1.data.sources.clean.world.clips": ("4", "expected int, got '4' (str)"),
    "stage1.frozen": ((1,), "expected tuple[str, ...], got 1 (int)"),
}


@pytest.mark.parametrize("path", WRONG)
def test_values_in_a_row_are_checked_as_bindings_are(path):
    value, said = WRONG[path]
    with pytest.raises(errors.UserError, match=r"rows\['r'\]") as caught:
        recipe.Ablation("x", BASE, {"r": {path: value}})
    assert f"{path!r}: " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: dataclasses.replace(STAGE1, steps=4.0), "recipe.Stage.steps: expected int, got 4.0"),
        (
            lambda: dataclasses.replace(STAGE1, objectives={"a": functools.partial(tower, size="8")}),
            "recipe.Stage.objectives.a.size: expected int, got '8'",
        ),
        (
            lambda: dataclasses.replace(STAGE1, optimizer=Own(Rate(True))),
            "recipe.Stage.optimizer.schedule.peak: expected float, got True",
        ),
        (lambda: recipe.Experiment("x", (STAGE1, 3)), "recipe.Experiment.stages: expected"),
        (lambda: recipe.Ablation("x", BASE, {"a": {}}, seeds=(0.5,)), "recipe.Ablation.seeds: expected"),
    ],
)
def test_values_given_in_python_are_checked_as_bindings_are(make, said):
    with pytest.raises(errors.UserError) as caught:
        make()
    assert said in str(caught.value)


def test_an_int_for_a_float_is_the_same_configuration():
    as_int = dataclasses.replace(STAGE1, optimizer=Own(Rate(3, (1, 2)), clip_norm=2))
    as_float = dataclasses.replace(STAGE1, optimizer=Own(Rate(3.0, (1.0, 2.0)), clip_norm=2.0))
    addresses = {describe.address(describe.describe(each)) for each in (as_int, as_float)}
    assert len(addresses) == 1
    assert type(as_int.optimizer.schedule.peak) is float
    assert type(row(stage1__optimizer__schedule__peak=1).stages[0].optimizer.schedule.peak) is float
    assert describe.describe(Rate()) == describe.describe(Rate(1.0))  # also for a default
    assert describe.describe(functools.partial(Rate, 1)) == describe.describe(functools.partial(Rate, 1.0))


def test_an_optimizer_of_the_users_own_is_accepted():
    assert row(stage1__optimizer=Own()).stages[0].optimizer == Own()


@pytest.mark.parametrize("task", [retrieval.Retrieval, lambda towers: {}])
def test_what_is_no_task_is_refused(task):
    with pytest.raises(errors.UserError, match="task 'read': expected a frozen dataclass with __call__"):
        recipe.Experiment("x", (STAGE1,), tasks={"read": task})


def test_an_ablation_gives_one_experiment_a_row():
    ablation = recipe.Ablation("x", BASE, {"one": {"stages": ("stage1",)}, "both": {}}, seeds=[0, 1])
    found = ablation.experiments()
    assert list(found) == ["one", "both"]
    assert found["both"] == BASE
    assert ablation.seeds == (0, 1)


@pytest.mark.parametrize("seed", [-1, 2**32, 10**20])
def test_a_seed_that_jax_would_wrap_is_refused(seed):
    with pytest.raises(errors.UserError, match="seed must be an integer from 0 to 4294967295"):
        keys.seeded(seed)
    with pytest.raises(errors.UserError, match="seed must be"):
        dataclasses.replace(BASE, seed=seed)
    with pytest.raises(errors.UserError, match="seed must be"):
        recipe.Ablation("a", BASE, {"row": {}}, seeds=(0, seed))
