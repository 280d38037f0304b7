"""Rows are paired: what is random depends on the seed and on names that rows share, not on a stage's name."""

import dataclasses
import functools
import shutil

import cli
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from user_lab import ROWS, ablation, finish, told

from prismlab.core import trees
from prismlab.core.train.loops import loop
from prismlab.data.loader import loader
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.launch import units
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.results import step_picture
from prismlab.experiments.run import engine
from prismlab.experiments.store import store

BASE = strict.load(cli.QUICK).root
FIRST, SECOND = BASE.stages
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=12)


def chain(*found: recipe.Stage) -> list[stages.Planned]:
    return stages.plan(recipe.Experiment("x", found), 3)


def four(a: str, b: str, c: str, d: str) -> list[stages.Planned]:
    """A first stage, one after it, one after both, and one that only has a teacher."""
    return chain(
        dataclasses.replace(FIRST, name=a),
        dataclasses.replace(SECOND, name=b, init_from=a, teacher=a),
        dataclasses.replace(FIRST, name=c, init_from={"towers/video": b, "towers/text": a}),
        dataclasses.replace(SECOND, name=d, init_from=None, teacher=c),
    )


@functools.cache
def usual() -> list[str]:
    return [each.address for each in four("stage1", "stage2", "third", "fourth")]


@settings(max_examples=30, deadline=None)
@given(st.lists(NAMES, min_size=4, max_size=4, unique=True))
def test_no_name_of_a_stage_is_in_an_address_or_a_position(names):
    found = four(*names)
    assert [each.position for each in found] == [0, 1, 2, 0]
    assert [each.inputs["position"] for each in found] == [0, 1, 2, 0]
    assert [each.address for each in found] == usual()


class Begun(Exception):
    """Carries what a stage starts with out of the engine, which trains no step."""


@pytest.fixture
def begin(whole, tmp_path, monkeypatch):
    """Return a function that begins a stage after the trained stage 1: its state, batch sums, and masks."""

    def caught(state, batches, training, *rest, **more):
        raise Begun(state, [loader.checksum(next(batches)) for _ in range(2)])

    monkeypatch.setattr(loop, "run", caught)
    shutil.copytree(next(whole.glob("stages/stage1-*")), tmp_path / "parent")

    def begun(stage: recipe.Stage):
        planned = chain(stage)[0]
        with pytest.raises(Begun) as found:
            engine.Engine(tmp_path / "w", cli.CACHE, console.make_console()).train(planned)
        state, sums = found.value.args
        masks = step_picture.masks_of(
            state.learner.views(), position=planned.position, seed=3, step=1, batch=4, frames=2, patches=4
        )
        return jax.random.key_data(state.key), sums, trees.flatten(state.learner), masks

    return begun


@pytest.mark.parametrize(
    "follows",
    [
        pytest.param(False, id="stage1 and joint", marks=pytest.mark.long),
        pytest.param(True, id="stage2 and continued"),
    ],
)
def test_stages_of_other_names_and_objectives_are_paired(begin, tmp_path, follows):
    parent = str(tmp_path / "parent") if follows else None
    both = {**FIRST.objectives, "local": SECOND.objectives["local"]}
    one = dataclasses.replace(
        FIRST, name="one", init_from=parent, objectives=both, teacher=str(tmp_path / "parent")
    )
    other = dataclasses.replace(one, name="other", objectives={"local": both["local"]}, steps=6)
    (key, sums, arrays, masks), (key_b, sums_b, arrays_b, masks_b) = begin(one), begin(other)
    np.testing.assert_array_equal(key, key_b)
    assert sums == sums_b
    shared = arrays.keys() & arrays_b.keys()
    assert {name.split("/")[0] for name in shared} == {"towers", "objectives"}
    for name in shared:
        np.testing.assert_array_equal(arrays[name], arrays_b[name], err_msg=name)
    assert masks.keys() & masks_b.keys()
    for name in masks.keys() & masks_b.keys():
        np.testing.assert_array_equal(masks[name], masks_b[name])


def test_a_later_position_has_other_batches(begin, tmp_path):
    after = dataclasses.replace(FIRST, init_from=str(tmp_path / "parent"))
    (key, sums, *_), (key_b, sums_b, *_) = begin(FIRST), begin(after)
    assert set(sums).isdisjoint(sums_b)
    assert not np.array_equal(key, key_b)


def test_a_folder_of_a_later_stage_counts_its_own_chain(whole):
    (folder,) = whole.glob("stages/stage2-*")
    assert chain(dataclasses.replace(FIRST, init_from=str(folder)))[0].position == 2


def test_a_renamed_stage_is_reused(lab, tmp_path):
    finish(tmp_path, ablation(lab))
    fields = ("stage1/recipe.Stage.name", "stage2/recipe.Stage.init_from", "stage2/recipe.Stage.teacher")
    renamed = ablation(lab, ROWS.replace("stage1", "first"), *(f"{each}='first'" for each in fields))
    assert told(tmp_path, renamed) == ["all 3 stages and 3 evaluations are reused"]
    assert all(units.is_done(unit, store.of(tmp_path)) for unit in units.units(renamed))


def test_two_names_of_one_stage_are_one_unit():
    again = dataclasses.replace(FIRST, name="again")
    base = dataclasses.replace(BASE, stages=(FIRST, again, SECOND))
    rows = {"one": {"stages": ("again",)}, "both": {"stages": ("stage1", "stage2")}}
    known = units.units(recipe.Ablation("x", base, rows))
    assert [unit.name.split("-")[0] for unit in known if not unit.row] == ["again", "stage2"]
    assert [unit.needs for unit in known[1:]] == [
        (known[0].name,),
        (known[0].name,),
        (known[0].name, known[1].name),
    ]
