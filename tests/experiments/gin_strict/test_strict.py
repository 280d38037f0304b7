"""Strict gin: what it builds, and who wins over whom."""

import functools
import pathlib

import gin_help
import gin_parts as parts
import pytest

from prismlab.core import errors
from prismlab.experiments.gin_strict import duplicate_keys, parse, strict
from prismlab.experiments.recipe import describe, recipe


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
    pathlib.Path("flat.gin").write_text(first.text, encoding="utf-8")
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
    pathlib.Path("top.gin").write_text('include "base.gin"\n', encoding="utf-8")
    assert strict.load("top.gin", ["parts.Stage.steps=2"], roots=gin_help.ROOTS).root.stages[0].steps == 2
    pathlib.Path("other.gin").write_text(
        "from __gin__ import dynamic_registration\nfrom prismlab.core import errors as parts\n",
        encoding="utf-8",
    )
    pathlib.Path("top.gin").write_text('include "base.gin"\ninclude "other.gin"\n', encoding="utf-8")
    with pytest.raises(errors.UserError, match="'parts' refers to two modules"):
        strict.load("top.gin", ["parts.Stage.steps=2"], roots=gin_help.ROOTS)


def test_what_an_included_file_binds_and_nothing_reaches_is_no_fault():
    """A file of parts serves several recipes; what the user's own file binds must still matter."""
    idle = "IDLE = 1\nparts.Head.width = 3\nbig/parts.Tower.dim = 9\nparts.loss.power = 2\n"
    gin_help.write("parts.Stage.steps = 5\n" + idle, "base.gin")
    assert gin_help.load('include "base.gin"\n' + gin_help.GOOD).root.stages[0].steps == 5
    lines = gin_help.faults('include "base.gin"\n' + gin_help.GOOD + idle)
    assert [line.partition(": ")[0] for line in lines] == ["a.gin:5", "a.gin:6", "a.gin:7", "a.gin:8"]
    (line,) = gin_help.faults('include "base.gin"\n' + gin_help.GOOD, "IDLE=2")
    assert line == "binding 'IDLE=2': macro IDLE is never used"


@pytest.mark.parametrize("name", ["quickstart.gin", "small_world.gin"])
def test_a_users_file_may_use_a_part_of_a_shipped_one(name):
    text = (
        f"include '{name}'\nfrom prismlab.experiments.recipe import recipe\n"
        "from prismlab.core.train import optim\nfrom prismlab.objectives import contrastive\n"
        "one/recipe.Stage.name = 'one'\none/recipe.Stage.towers = {'video': %VIDEO, 'text': %TEXT}\n"
        "one/recipe.Stage.objectives = {'c': @contrastive.Contrastive}\n"
        "one/recipe.Stage.data = %DATA\none/recipe.Stage.steps = 1\none/recipe.Stage.batch_size = 4\n"
        "one/recipe.Stage.optimizer = @optim.AdamW()\nrecipe.Experiment.name = 'mine'\n"
        "recipe.Experiment.stages = (@one/recipe.Stage(),)\n"
    )
    roots = (recipe.Experiment,)
    head = "from __gin__ import dynamic_registration\n"
    assert [each.name for each in strict.load(gin_help.write(text, head=head), roots=roots).root.stages] == [
        "one"
    ]


@pytest.mark.parametrize(
    ("text", "line", "key", "first"),
    [
        ("{'a': 1, 'a': 2}", 3, "'a'", 3),
        ("{\n  'a': 1,\n  'b': 2,\n  \"a\": 3,\n}", 6, '"a"', 4),
        ("{'x': {'p.q': 1, 'p.q': 2}}", 3, "'p.q'", 3),
        ("{'x': [('k', {'q': (1, 2), 'q': 3})]}", 3, "'q'", 3),
        ("{%M: 1, %M: 2}", 3, "%M", 3),
        ("{(1, 2): 1, (1,2): 2}", 3, "(1,2)", 3),
        ("{1: 1, # a comment: with {}\n 1.0: 2}", 4, "1.0", 3),
    ],
)
def test_a_key_written_twice_is_refused_at_its_line(text, line, key, first):
    lines = gin_help.faults(f"parts.root.a = {text}\nM = 1\n" + gin_help.GOOD + "parts.Stage.steps = 1\n")
    said = f"a.gin:{line}: the key {key} is written twice in one dictionary, first at a.gin:{first}; keep one"
    assert said in lines


def test_a_key_written_twice_on_the_command_line_is_refused():
    (line,) = gin_help.faults(gin_help.GOOD + "parts.Stage.steps = 1\n", "parts.root.a={'x': 1, 'x': 2}")[:1]
    assert line.startswith("binding 'parts.root.a={'x': 1, 'x': 2}': the key 'x' is written twice")


@pytest.mark.parametrize(
    "text", ["{'a': {'b': 1}, 'b': {'a': 1}}", "({'a': 1}, {'a': 2})", "{(1, 2): 1, (1, 3): 2}"]
)
def test_equal_keys_of_different_dictionaries_are_no_fault(text):
    assert not list(duplicate_keys.find(f"parts.root.a = {text}\n"))


@pytest.mark.parametrize("text", ["{'a': 1", "}} : : {", "{:1, :2}", "'", "a = {'a': 1}} 'a': 2"])
def test_what_is_no_gin_is_left_to_the_parser(text):
    assert not list(duplicate_keys.find(text))
