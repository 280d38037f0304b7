"""Strict gin: every fault with its line and the nearest name."""

import os
import pathlib

import gin_help
import pytest

from prismlab.core import errors
from prismlab.experiments.gin_strict import parse, strict


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


GOOD = gin_help.GOOD  # line 3
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
    "wrong module": (
        "import dataclasses\n" + STAGE + "dataclasses.Stage.fast = True\n",
        (),
        "a.gin:6: ",
        "mean 'parts.Stage'",
    ),
    "a module": (STAGE + "parts.dataclasses.x = 3\n", (), "a.gin:5: ", "is a module"),
    "a value": (STAGE + "parts.Colour.RED.x = 3\n", (), "a.gin:5: ", "is a Colour"),
    "gin's own": (STAGE + "parts.Stage.tower = @gin.singleton()\n", (), "a.gin:5: ", "not needed"),
    "unknown module": (
        "from prismlab.core import erors\n" + STAGE,
        (),
        "a.gin:3: no module prismlab.core.erors",
        "'prismlab.core.errors'",
    ),
    "unknown package": ("import nosuchpackage\n" + STAGE, (), "a.gin:3: no module nosuchpackage"),
    "module of an unknown package": (
        "from nosuchpackage import thing\n" + STAGE,
        (),
        "no module nosuchpackage.thing; if nosuchpackage is yours, add the folder that holds it to "
        "PYTHONPATH",
    ),
    "import of a name": (
        "from prismlab.core.errors import UserError\n" + STAGE,
        (),
        "a.gin:3: ",
        "`from prismlab.core import errors`",
    ),
    "module that fails": ("import broken_module\n" + STAGE, (), "a.gin:3: ", "ZeroDivisionError"),
    "gin feature": ("from __gin__ import magic\n" + STAGE, (), "a.gin:3: expected", "dynamic_registration"),
    "name gin": ("import gin_parts as gin\n" + STAGE, (), "a.gin:3: the name gin is reserved"),
    "required": (
        GOOD + "parts.Stage.steps = %gin.REQUIRED\n",
        (),
        "a.gin:4: parts.Stage.steps is required",
    ),
    "required macro": (
        GOOD + "parts.Stage.steps = %N\nN = %gin.REQUIRED\n",
        (),
        "a.gin:5: N is required",
    ),
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
        "dims and key",
        "without ()",
    ),
    "overridden by code": (
        STAGE + "parts.Stage.objective = @parts.Objective\nparts.Objective.key = 3\n",
        (),
        "a.gin:6: parts.Objective.key is passed by the code",
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
        "parts.Experiment.stages = (@train/parts.Stage(),)\nparts.Stage.steps = 3\n"
        "trian/parts.Stage.steps = 4\n",
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
    "macro circle": (GOOD + "parts.Stage.steps = %A\nA = %B\nB = %A\n", (), "cycle: A -> B -> A"),
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
    "no statement": (STAGE + "steps\n", (), "a.gin:5: not gin: expected NAME = value"),
    "needs quotes": (
        STAGE,
        ("parts.Tower.kind=plain",),
        "binding 'parts.Tower.kind=plain': ",
        "needs its own quotes; in a shell: parts.Tower.kind=\"'plain'\"",
    ),
    "unknown command": (STAGE, ("parts.Stage.stps=3",), "binding 'parts.Stage.stps=3': ", "mean 'steps'"),
    "command imports": (STAGE, ("import os",), "binding 'import os': expected name=value"),
    "unused command macro": (STAGE, ("STEPS=3",), "binding 'STEPS=3': macro STEPS is never used"),
    "missing include": (
        STAGE + 'include "bsae.gin"\n',
        (),
        "a.gin:5: no file bsae.gin",
        "'base.gin'",
        "smoke.gin",
    ),
    "include itself": (STAGE + 'include "a.gin"\n', (), "a.gin:5: a.gin includes itself"),
    "include a folder": (STAGE + 'include "."\n', (), "a.gin:5: expected a gin file, but . is a folder"),
    "include bytes": (STAGE + 'include "bytes.gin"\n', (), "a.gin:5: could not read bytes.gin as UTF-8"),
    "include undoes": (
        STAGE + 'include "base.gin"\n',
        (),
        "a.gin:4: parts.Stage.steps would be overridden by a later include, base.gin:3",
    ),
    "no text for int": (
        GOOD + "parts.Stage.steps = 'abc'\n",
        (),
        "a.gin:4: ",
        "expected int, got 'abc' (str)",
    ),
    "no float for int": (
        GOOD + "parts.Stage.steps = 1.5\n",
        (),
        "a.gin:4: ",
        "expected int, got 1.5 (float)",
    ),
    "no bool for int": (
        GOOD + "parts.Stage.steps = True\n",
        (),
        "a.gin:4: ",
        "expected int, got True (bool)",
    ),
    "no int for bool": (STAGE + "parts.Stage.fast = 1\n", (), "a.gin:5: ", "expected bool, got 1 (int)"),
    "no list for tuple": (STAGE + "parts.Stage.names = ['a']\n", (), "a.gin:5: ", "expected tuple[str, ...]"),
    "no int inside": (STAGE + "parts.Stage.names = ('a', 3)\n", (), "a.gin:5: ", "got 3 (int)"),
    "no None": (
        GOOD + "parts.Stage.steps = None\n",
        (),
        "a.gin:4: parts.Stage.steps: expected int, got None",
    ),
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
        "expected int",
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
    gin_help.write("", "shipped/smoke.gin")
    gin_help.write("parts.Stage.steps = 9\n", "base.gin")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(parse, "SHIPPED", folder / "shipped")
    text, bindings, *fragments = FAULTS[name]
    lines = gin_help.faults(text, *bindings)
    fitting = [line for line in lines if all(fragment in line for fragment in fragments)]
    assert len(fitting) == 1, lines
    # One mistake, one line; an undefined macro shows both ends of the misspelling.
    assert len(lines) == (2 if name == "undefined macro" else 1), lines


def test_a_package_beside_the_file_is_answered_with_the_path_to_set(folder):
    (folder / "farlab").mkdir()
    (line,) = gin_help.faults("from farlab import thing\n" + STAGE)
    expected = (
        f"a.gin:3: no module farlab.thing; farlab is not on the path of Python, set PYTHONPATH={folder}"
    )
    assert line == expected


def test_first_line_is_asked_for():
    lines = gin_help.faults(STAGE, head="import gin_parts as parts\n")
    assert "a.gin:1: expected `from __gin__ import dynamic_registration` above the first import" in lines


@pytest.mark.parametrize(
    ("path", "fragment"),
    [("smke.gin", "did you mean 'smoke.gin'"), (".", "is a folder"), ("x/y.gin", "no file")],
)
def test_missing_file_lists_what_is_shipped(path, fragment, monkeypatch, folder):
    monkeypatch.setattr(parse, "SHIPPED", folder / "shipped")
    gin_help.write("", "shipped/smoke.gin")
    with pytest.raises(errors.UserError, match=fragment):
        strict.load(path, roots=gin_help.ROOTS)


def test_all_faults_come_together_in_order():
    lines = gin_help.faults(
        GOOD + "parts.Stage.stps = 3\nparts.Stage.fast = 1\nparts.Tower.dim = 2\nNAME = 3\n"
        "trian/parts.Stage.steps = 1\n"
    )
    assert [line.split(": ")[0] for line in lines] == [f"a.gin:{line}" for line in (4, 5, 6, 7, 8)]


def test_macros_that_double_end_at_a_limit():
    doubling = "A0 = ('x', 'y')\n" + "".join(f"A{n} = (%A{n - 1}, %A{n - 1})\n" for n in range(1, 60))
    lines = gin_help.faults(STAGE + doubling + "parts.Stage.names = %A59\n")
    assert lines == ["a.gin:21: macro A16 holds more than 100,000 values; shorten it"]


def test_includes_end_at_a_limit_and_at_what_is_no_file(folder):
    for number in range(2000):
        gin_help.write(f"include 'deep{number + 1}.gin'\n", f"deep{number}.gin")
    ((place, fault),) = (line.split(": ", 1) for line in gin_help.faults(STAGE + "include 'deep0.gin'\n"))
    assert (place, fault) == ("deep48.gin:3", "more than 50 files include one another; include fewer")
    os.mkfifo(folder / "pipe.gin")
    (line,) = gin_help.faults(STAGE + "include 'pipe.gin'\n")
    assert line == "a.gin:5: expected a gin file, but pipe.gin is a pipe or a device"
