"""Strict gin: what it builds, and every fault with its line and the nearest name."""

import functools
import pathlib

import gin_parts as parts
import pytest

from core import errors
from experiments import describe, parse, strict

HEAD = "from __gin__ import dynamic_registration\nimport gin_parts as parts\n"
GOOD = "parts.Experiment.stages = (@parts.Stage(),)\n"  # line 3
ROOTS = (parts.Ablation, parts.Experiment)


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "a.gin", head: str = HEAD) -> str:
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(head + text)
    return name


def load(text: str, *bindings: str, head: str = HEAD) -> strict.Loaded:
    return strict.load(write(text, head=head), bindings, roots=ROOTS)


def faults(text: str, *bindings: str, head: str = HEAD) -> list[str]:
    with pytest.raises(errors.UserError) as caught:
        load(text, *bindings, head=head)
    return str(caught.value).splitlines()


def test_builds_true_classes_and_partials():
    root = load(
        GOOD + "parts.Stage.steps = 3\nparts.Stage.head = @parts.Head()\nparts.Head.width = 2\n"
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
    root = load(
        "parts.Ablation.arms = {'base': @base/parts.Experiment(), 'long': @long/parts.Experiment()}\n"
        + GOOD
        + "parts.Stage.steps = 3\nlong/parts.Stage.steps = 9\n"
    ).root
    assert {name: arm.stages[0].steps for name, arm in root.arms.items()} == {"base": 3, "long": 9}
    assert root.seeds == (0,)


def test_nested_scopes_and_block_syntax():
    root = load(
        "parts.Experiment.stages = (@a/b/parts.Stage(), @a/parts.Stage(), @b/parts.Stage())\n"
        "parts.Stage.steps = 1\na/parts.Stage.steps = 2\na/b/parts.Stage:\n  # why\n  steps = 3\n"
    ).root
    assert [stage.steps for stage in root.stages] == [3, 2, 1]


def test_macro_used_twice_is_one_object():
    root = load(
        "parts.Experiment.stages = (@a/parts.Stage(), @parts.Stage())\nparts.Stage.steps = 1\n"
        "parts.Stage.tower = %TOWER\nTOWER = @parts.Tower()\n"
    ).root
    assert root.stages[0].tower is root.stages[1].tower


def test_nested_partial():
    write("", "empty.gin")
    root = load(
        GOOD + "parts.Stage.steps = 1\nparts.Stage.objective = @parts.loss\nparts.loss.power = 2\n"
    ).root
    assert root.stages[0].objective(3.0) == 9.0


def test_command_line_wins_over_values_and_macros():
    text = GOOD + "parts.Stage.steps = %STEPS\nSTEPS = 5\n"
    assert load(text, "STEPS=6").root.stages[0].steps == 6
    assert load(text, "parts.Stage.steps=7", "parts.Experiment.seed=2").root.seed == 2
    assert load(text, "parts.Stage.steps=7").where["parts.Stage.steps"] == "binding 'parts.Stage.steps=7'"
    assert load(text).where["parts.Stage.steps"] == "a.gin:4"


def test_includes_override_and_are_found_beside_the_file_or_shipped(monkeypatch, folder):
    monkeypatch.setattr(parse, "SHIPPED", folder / "shipped")
    write("STEPS = %gin.REQUIRED\nparts.Stage.steps = %STEPS\n" + GOOD, "shipped/base.gin")
    write('include "base.gin"\nSTEPS = 4\n', "deep/here/mid.gin")
    write('include "deep/here/mid.gin"\nSTEPS = 5\n', "top.gin")
    assert strict.load("top.gin", roots=ROOTS).root.stages[0].steps == 5
    assert strict.load("base.gin", ["STEPS=6"], roots=ROOTS).root.stages[0].steps == 6


def test_include_reached_twice_keeps_the_first_override():
    write("STEPS = 1\n", "base.gin")
    write('include "base.gin"\nSTEPS = 2\n', "x.gin")
    write('include "base.gin"\n', "y.gin")
    root = load('include "x.gin"\ninclude "y.gin"\n' + GOOD + "parts.Stage.steps = %STEPS\n").root
    assert root.stages[0].steps == 2


def test_flat_text_says_the_same():
    write("parts.Stage.steps = 5\nparts.Tower.dim = 2\nparts.Stage.tower = @parts.Tower()\n", "base.gin")
    text = (
        (
            'include "base.gin"\nparts.Experiment.stages = [@a/parts.Stage(), @parts.Stage()]\nNAME = "x\'y"\n'
            "a/parts.Stage.names = (%NAME,)\na/parts.Stage.steps = -1\nparts.Stage.objective = @parts.Objective\n"
        )
        .replace("[", "(")
        .replace("]", ")")
    )
    first = load(text, "a/parts.Stage.steps=8")
    pathlib.Path("flat.gin").write_text(first.text)
    second = strict.load("flat.gin", roots=ROOTS)
    assert second.text == first.text
    assert describe.describe(second.root) == describe.describe(first.root)
    assert "include" not in first.text


STAGE = GOOD + "parts.Stage.steps = 3\n"  # lines 3 and 4

# (text after the head, bindings, fragments that one line must hold)
FAULTS = {
    "unknown parameter": (STAGE + "parts.Stage.stps = 3\n", (), "a.gin:5: ", "'stps'", "mean 'steps'"),
    "far parameter": (STAGE + "parts.Stage.zzz = 3\n", (), "a.gin:5: ", "it has: steps, tower,"),
    "kwargs": (STAGE + "parts.loose.wdth = 3\n", (), "a.gin:5: ", "'wdth'", "mean 'width'"),
    "unknown left": (STAGE + "parts.Stge.steps = 3\n", (), "a.gin:5: ", "mean 'parts.Stage'"),
    "unknown reference": (
        STAGE + "parts.Stage.names = (\n  'x',\n  @parts.Haed\n)\n",
        (),
        "a.gin:7: no class or function parts.Haed; did you mean 'parts.Head'?",
    ),
    "unknown block": (STAGE + "parts.Stge:\n  steps = 3\n  tower = 4\n", (), "a.gin:5: ", "parts.Stage"),
    "not imported": (
        STAGE + "part.Stage.steps = 3\n",
        (),
        "a.gin:5: 'part' is not imported",
        "'parts.Stage'",
    ),
    "a module": (STAGE + "parts.dataclasses.x = 3\n", (), "a.gin:5: ", "is a module"),
    "a value": (STAGE + "parts.Colour.RED.x = 3\n", (), "a.gin:5: ", "is a Colour"),
    "gin's own": (STAGE + "parts.Stage.tower = @gin.singleton()\n", (), "a.gin:5: ", "not needed"),
    "unknown module": (
        "from core import erors\n" + STAGE,
        (),
        "a.gin:3: no module core.erors",
        "'core.errors'",
    ),
    "unknown package": ("import nosuchpackage\n" + STAGE, (), "a.gin:3: no module nosuchpackage"),
    "import of a name": (
        "from core.errors import UserError\n" + STAGE,
        (),
        "a.gin:3: ",
        "`from core import errors`",
    ),
    "module that fails": ("import broken_module\n" + STAGE, (), "a.gin:3: ", "ZeroDivisionError"),
    "gin feature": ("from __gin__ import magic\n" + STAGE, (), "a.gin:3: wanted", "dynamic_registration"),
    "name gin": ("import gin_parts as gin\n" + STAGE, (), "a.gin:3: the name gin is taken"),
    "required": (GOOD + "parts.Stage.steps = %gin.REQUIRED\n", (), "a.gin:4: parts.Stage.steps is required"),
    "required macro": (GOOD + "parts.Stage.steps = %N\nN = %gin.REQUIRED\n", (), "a.gin:5: N is required"),
    "missing argument": (GOOD, (), "a.gin:3: ", "'steps'", "bind parts.Stage.steps"),
    "missing in a scope": (
        "parts.Experiment.stages = (@a/parts.Stage(),)\n",
        (),
        "a.gin:3: a/parts.Stage needs a value for 'steps' (in scope a)",
    ),
    "missing in a partial": (STAGE + "parts.Stage.objective = @parts.loss\n", (), "a.gin:5: ", "'power'"),
    "instance of a code-supplied class": (
        STAGE + "parts.Stage.objective = @parts.Objective()\n",
        (),
        "a.gin:5: ",
        "'dims'",
        "without ()",
    ),
    "overridden by code": (
        STAGE + "parts.Stage.objective = @parts.Objective\nparts.Objective.key = 3\n",
        (),
        "a.gin:6: parts.Objective.key is given by the code",
    ),
    "unused binding": (
        STAGE + "parts.Tower.dim = 3\n",
        (),
        "a.gin:5: ",
        "nothing that is used refers to parts.Tower",
    ),
    "unused in a scope": (
        "parts.Experiment.stages = (@a/parts.Stage(),)\nparts.Stage.steps = 3\na/parts.Tower.dim = 3\n",
        (),
        "a.gin:5: ",
        "in scope 'a'",
    ),
    "unused scope": (
        "parts.Experiment.stages = (@train/parts.Stage(),)\nparts.Stage.steps = 3\ntrian/parts.Stage.steps = 4\n",
        (),
        "a.gin:5: scope 'trian'",
        "mean 'train'",
    ),
    "shadowed": (
        "parts.Experiment.stages = (@a/parts.Stage(),)\nparts.Stage.steps = 3\na/parts.Stage.steps = 4\n",
        (),
        "a.gin:4: ",
        "a/parts.Stage.steps at a.gin:5",
    ),
    "shadowed command": (
        "parts.Experiment.stages = (@a/parts.Stage(),)\na/parts.Stage.steps = 4\n",
        ("parts.Stage.steps=3",),
        "binding 'parts.Stage.steps=3': ",
        "a/parts.Stage.steps at a.gin:4",
    ),
    "unused macro": (STAGE + "STPES = 3\n", (), "a.gin:5: macro STPES is never used"),
    "undefined macro": (
        GOOD + "parts.Stage.steps = %STEPS\nSTPES = 3\n",
        (),
        "a.gin:4: no macro %STEPS; did you mean 'STPES'?",
    ),
    "macro circle": (GOOD + "parts.Stage.steps = %A\nA = %B\nB = %A\n", (), "circle: A -> B -> A"),
    "reference circle": (
        STAGE + "parts.Stage.tower = @parts.Stage()\n",
        (),
        "a.gin:5: parts.Stage is needed to build itself",
    ),
    "bound twice": (STAGE + "parts.Stage.steps = 3\n", (), "a.gin:5: ", "bound twice; first at a.gin:4"),
    "bound twice, other spelling": (
        STAGE + "import gin_parts as other\nother.Stage.steps = 3\n",
        (),
        "a.gin:6: ",
        "first at a.gin:4",
    ),
    "command twice": (
        STAGE,
        ("parts.Stage.steps=1", "parts.Stage.steps=2"),
        "binding 'parts.Stage.steps=2': ",
        "twice",
    ),
    "syntax": (STAGE + "parts.Stage.fast = (1,\n", (), "a.gin:5: not gin: "),
    "arithmetic": (STAGE + "A = 2 * 3\n", (), "a.gin:5: not gin: ", "no arithmetic"),
    "indentation": (STAGE + "parts.Stage:\n  fast = True\n names = ()\n", (), "a.gin:7: not gin: "),
    "no statement": (STAGE + "steps\n", (), "a.gin:5: not gin: wanted NAME = value"),
    "needs quotes": (
        STAGE,
        ("parts.Tower.kind=plain",),
        "binding 'parts.Tower.kind=plain': ",
        "quotes of its own: 'plain'",
    ),
    "unknown command": (STAGE, ("parts.Stage.stps=3",), "binding 'parts.Stage.stps=3': ", "mean 'steps'"),
    "command imports": (STAGE, ("import os",), "binding 'import os': wanted name=value"),
    "unused command macro": (STAGE, ("STEPS=3",), "binding 'STEPS=3': macro STEPS is never used"),
    "missing include": (
        STAGE + 'include "bsae.gin"\n',
        (),
        "a.gin:5: no file bsae.gin",
        "'base.gin'",
        "smoke.gin",
    ),
    "include itself": (STAGE + 'include "a.gin"\n', (), "a.gin:5: a.gin includes itself"),
    "include a folder": (STAGE + 'include "."\n', (), "a.gin:5: wanted a gin file, . is a folder"),
    "include bytes": (STAGE + 'include "bytes.gin"\n', (), "a.gin:5: could not read bytes.gin as UTF-8"),
    "include undoes": (
        STAGE + 'include "base.gin"\n',
        (),
        "a.gin:4: parts.Stage.steps would be undone by a later include, base.gin:3",
    ),
    "no text for int": (GOOD + "parts.Stage.steps = 'abc'\n", (), "a.gin:4: ", "wants int, got 'abc' (str)"),
    "no float for int": (GOOD + "parts.Stage.steps = 1.5\n", (), "a.gin:4: ", "wants int, got 1.5 (float)"),
    "no bool for int": (GOOD + "parts.Stage.steps = True\n", (), "a.gin:4: ", "wants int, got True (bool)"),
    "no int for bool": (STAGE + "parts.Stage.fast = 1\n", (), "a.gin:5: ", "wants bool, got 1 (int)"),
    "no list for tuple": (STAGE + "parts.Stage.names = ['a']\n", (), "a.gin:5: ", "wants tuple[str, ...]"),
    "no int inside": (STAGE + "parts.Stage.names = ('a', 3)\n", (), "a.gin:5: ", "got 3 (int)"),
    "no None": (GOOD + "parts.Stage.steps = None\n", (), "a.gin:4: parts.Stage.steps wants int, got None"),
    "no partial for an instance": (
        STAGE + "parts.Stage.head = @parts.Head\nparts.Head.width = 1\n",
        (),
        "a.gin:5: ",
        "write it with ()",
    ),
    "macro of a wrong type": (
        GOOD + "parts.Stage.steps = %N\nN = 'x'\n",
        (),
        "a.gin:5: ",
        "wants int",
        "by %N",
    ),
    "refused by the class": (
        GOOD + "parts.Stage.steps = -1\n",
        (),
        "a.gin:4: parts.Stage: steps must be positive, got -1",
    ),
    "nothing to build": ("parts.Stage.steps = 1\n", (), "a.gin: nothing to build", "gin_parts.Experiment"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_one_line_with_its_place(name, monkeypatch, folder):
    (folder / "broken_module.py").write_text("1 / 0\n")
    (folder / "bytes.gin").write_bytes(b"A = '\xff'\n")
    write("", "shipped/smoke.gin")
    write("parts.Stage.steps = 9\n", "base.gin")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(parse, "SHIPPED", folder / "shipped")
    text, bindings, *fragments = FAULTS[name]
    lines = faults(text, *bindings)
    fitting = [line for line in lines if all(fragment in line for fragment in fragments)]
    assert len(fitting) == 1, lines
    # One mistake, one line; an undefined macro shows both ends of the misspelling.
    assert len(lines) == (2 if name == "undefined macro" else 1), lines


def test_first_line_is_asked_for():
    lines = faults(STAGE, head="import gin_parts as parts\n")
    assert "a.gin:1: wanted `from __gin__ import dynamic_registration` above the first import" in lines


@pytest.mark.parametrize(
    ("path", "fragment"),
    [("smke.gin", "did you mean 'smoke.gin'"), (".", "is a folder"), ("x/y.gin", "no file")],
)
def test_missing_file_lists_what_is_shipped(path, fragment, monkeypatch, folder):
    monkeypatch.setattr(parse, "SHIPPED", folder / "shipped")
    write("", "shipped/smoke.gin")
    with pytest.raises(errors.UserError, match=fragment):
        strict.load(path, roots=ROOTS)


def test_all_faults_come_together_in_order():
    lines = faults(
        GOOD
        + "parts.Stage.stps = 3\nparts.Stage.fast = 1\nparts.Tower.dim = 2\nNAME = 3\ntrian/parts.Stage.steps = 1\n"
    )
    assert [line.split(": ")[0] for line in lines] == [f"a.gin:{line}" for line in (4, 5, 6, 7, 8)]


def test_a_later_layer_may_leave_things_idle():
    write(
        "RATE = 0.5\nparts.Stage.steps = 5\nparts.Stage.head = @parts.Head()\nparts.Head.width = 1\n"
        "parts.Head.rate = %RATE\n" + GOOD,
        "base.gin",
    )
    swapped = load('include "base.gin"\nparts.Stage.head = None\n')
    assert swapped.root.stages[0].head is None
    assert "Head" not in swapped.text
    assert "RATE" not in swapped.text
    # What the later layer itself says must still matter.
    lines = faults('include "base.gin"\nparts.Stage.head = None\nparts.Head.width = 3\n')
    assert lines == ["a.gin:5: parts.Head.width changes nothing: nothing that is used refers to parts.Head"]
    lines = faults('include "base.gin"\nparts.Head.rate = 0.1\n', "RATE=0.2")
    assert lines == ["binding 'RATE=0.2': macro RATE is never used"]


def test_command_line_may_use_names_of_included_files():
    write(GOOD + "parts.Stage.steps = 1\n", "base.gin")
    pathlib.Path("top.gin").write_text('include "base.gin"\n')
    assert strict.load("top.gin", ["parts.Stage.steps=2"], roots=ROOTS).root.stages[0].steps == 2
    pathlib.Path("other.gin").write_text(
        "from __gin__ import dynamic_registration\nfrom core import errors as parts\n"
    )
    pathlib.Path("top.gin").write_text('include "base.gin"\ninclude "other.gin"\n')
    with pytest.raises(errors.UserError, match="'parts' is two modules"):
        strict.load("top.gin", ["parts.Stage.steps=2"], roots=ROOTS)
