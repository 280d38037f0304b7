"""Strict gin: what it builds, and who wins over whom."""

import functools
import pathlib

import gin_help
import gin_parts as parts
import pytest

from prismlab.core import errors
from prismlab.experiments.gin_strict import parse, strict
from prismlab.experiments.recipe import describe


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_builds_true_classes_and_partials():
    root = gin_help.load(
        gin_help.GOOD + "parts.Stage.steps = 3\nparts.Stage.head = @parts.Head()\nparts.Head.width = 2\n"
        "parts.Head.rate = 1\nparts.Stage.objective = @parts.Objective\nparts.Objective.weight = 2\n"
    ).root
    stage = root.stages[0]
    assert type(root) is parts.Experiment
    assert stage.head == parts.Head(2, 1.0)
    assert type(stage.head.rate) is float
    assert isinstance(stage.objective, functools.partial)
    assert stage.objective.func is parts.Objective
    assert stage.objective(dims=3, key=4).total == 7


def test_ablation_wins_over_experiment_and_defaults_apply():
    root = gin_help.load(
        "parts.Ablation.arms = {'base': @base/parts.Experiment(), 'long': @long/parts.Experiment()}\n"
        + gin_help.GOOD
        + "parts.Stage.steps = 3\nlong/parts.Stage.steps = 9\n"
    ).root
    assert {name: arm.stages[0].steps for name, arm in root.arms.items()} == {"base": 3, "long": 9}
    assert root.seeds == (0,)


def test_nested_scopes_and_block_syntax():
    root = gin_help.load(
        "parts.Experiment.stages = (@a/b/parts.Stage(), @a/parts.Stage(), @b/parts.Stage())\n"
        "parts.Stage.steps = 1\na/parts.Stage.steps = 2\na/b/parts.Stage:\n  # why\n  steps = 3\n"
        "parts.Stage.names = ('out',)\na/parts.Stage.names = ('in',)\n"
    ).root
    assert [stage.steps for stage in root.stages] == [3, 2, 1]
    assert [stage.names for stage in root.stages] == [("in",), ("in",), ("out",)]


def test_a_macro_is_built_in_the_scope_of_its_name():
    text = gin_help.GOOD + "parts.Stage.steps = 1\nparts.Stage.tower = %TOWER\nTOWER = @parts.Tower()\n"
    assert gin_help.load(text + "TOWER/parts.Tower.dim = 7\n").root.stages[0].tower.dim == 7


def test_macro_used_twice_is_one_object():
    root = gin_help.load(
        "parts.Experiment.stages = (@a/parts.Stage(), @parts.Stage())\nparts.Stage.steps = 1\n"
        "parts.Stage.tower = %TOWER\nTOWER = @parts.Tower()\n"
    ).root
    assert root.stages[0].tower is root.stages[1].tower


def test_nested_partial():
    root = gin_help.load(
        gin_help.GOOD + "parts.Stage.steps = 1\nparts.Stage.objective = @parts.loss\nparts.loss.power = 2\n"
    ).root
    assert root.stages[0].objective(3.0) == 9.0


def test_command_line_wins_over_values_and_macros():
    text = gin_help.GOOD + "parts.Stage.steps = %STEPS\nSTEPS = 5\n"
    assert gin_help.load(text, "STEPS=6").root.stages[0].steps == 6
    assert gin_help.load(text, "parts.Stage.steps=7", "parts.Experiment.seed=2").root.seed == 2
    assert (
        gin_help.load(text, "parts.Stage.steps=7").where["parts.Stage.steps"]
        == "binding 'parts.Stage.steps=7'"
    )
    assert gin_help.load(text).where["parts.Stage.steps"] == "a.gin:4"


def test_includes_override_and_are_found_beside_the_file_or_shipped(monkeypatch, folder):
    monkeypatch.setattr(parse, "SHIPPED", folder / "shipped")
    gin_help.write("STEPS = %gin.REQUIRED\nparts.Stage.steps = %STEPS\n" + gin_help.GOOD, "shipped/base.gin")
    gin_help.write('include "base.gin"\ninclude "side.gin"\nSTEPS = 4\n', "deep/here/mid.gin")
    gin_help.write("parts.Stage.fast = True\n", "deep/here/side.gin")
    gin_help.write('include "deep/here/mid.gin"\nSTEPS = 5\n', "top.gin")
    assert strict.load("top.gin", roots=gin_help.ROOTS).root.stages[0].steps == 5
    assert strict.load("base.gin", ["STEPS=6"], roots=gin_help.ROOTS).root.stages[0].steps == 6


def test_include_reached_twice_keeps_the_first_override():
    gin_help.write("STEPS = 1\n", "base.gin")
    gin_help.write('include "base.gin"\nSTEPS = 2\n', "x.gin")
    gin_help.write('include "base.gin"\n', "y.gin")
    root = gin_help.load(
        'include "x.gin"\ninclude "y.gin"\n' + gin_help.GOOD + "parts.Stage.steps = %STEPS\n"
    ).root
    assert root.stages[0].steps == 2


def test_flat_text_says_the_same():
    gin_help.write(
        "parts.Stage.steps = 5\nparts.Tower.dim = 2\nparts.Stage.tower = @parts.Tower()\n", "base.gin"
    )
    text = (
        'include "base.gin"\nparts.Experiment.stages = (@a/parts.Stage(), @parts.Stage())\n'
        'NAME = "x\'y"\na/parts.Stage.names = (%NAME,)\na/parts.Stage.steps = -1\n'
        "parts.Stage.objective = @parts.Objective\n"
    )
    first = gin_help.load(text, "a/parts.Stage.steps=8")
    pathlib.Path("flat.gin").write_text(first.text)
    second = strict.load("flat.gin", roots=gin_help.ROOTS)
    assert second.text == first.text
    assert describe.describe(second.root) == describe.describe(first.root)
    assert "include" not in first.text


def test_a_later_layer_may_leave_things_idle():
    gin_help.write(
        "RATE = 0.5\nparts.Stage.steps = 5\nparts.Stage.head = @parts.Head()\nparts.Head.width = 1\n"
        "parts.Head.rate = %RATE\n" + gin_help.GOOD,
        "base.gin",
    )
    swapped = gin_help.load('include "base.gin"\nparts.Stage.head = None\n')
    assert swapped.root.stages[0].head is None
    assert "Head" not in swapped.text
    assert "RATE" not in swapped.text
    assert gin_help.load('include "base.gin"\n', "parts.Stage.head=None").root.stages[0].head is None
    # What the later layer itself says must still matter.
    lines = gin_help.faults('include "base.gin"\nparts.Stage.head = None\nparts.Head.width = 3\n')
    assert lines == ["a.gin:5: parts.Head.width changes nothing: nothing that is used refers to parts.Head"]
    lines = gin_help.faults('include "base.gin"\nparts.Head.rate = 0.1\n', "RATE=0.2")
    assert lines == ["binding 'RATE=0.2': macro RATE is never used"]


def test_a_later_layer_may_swap_what_a_macro_builds():
    text = "TOWER = @small/parts.Tower()\nsmall/parts.Tower.dim = 2\nparts.Stage.tower = %TOWER\n"
    gin_help.write(text + gin_help.GOOD + "parts.Stage.steps = 1\n", "base.gin")
    root = gin_help.load('include "base.gin"\nTOWER = @big/parts.Tower()\nbig/parts.Tower.dim = 9\n').root
    assert root.stages[0].tower.dim == 9


def test_command_line_may_use_names_of_included_files():
    gin_help.write(gin_help.GOOD + "parts.Stage.steps = 1\n", "base.gin")
    pathlib.Path("top.gin").write_text('include "base.gin"\n')
    assert strict.load("top.gin", ["parts.Stage.steps=2"], roots=gin_help.ROOTS).root.stages[0].steps == 2
    pathlib.Path("other.gin").write_text(
        "from __gin__ import dynamic_registration\nfrom prismlab.core import errors as parts\n"
    )
    pathlib.Path("top.gin").write_text('include "base.gin"\ninclude "other.gin"\n')
    with pytest.raises(errors.UserError, match="'parts' refers to two modules"):
        strict.load("top.gin", ["parts.Stage.steps=2"], roots=gin_help.ROOTS)
