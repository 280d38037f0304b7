"""What a change of code touches: the modules that import it, directly or not, and nothing for words alone."""

import pathlib
import textwrap

import pytest

from prismlab.core import code_fingerprint, errors

FILES = {
    "__init__.py": "from fplab import base\n",
    "base.py": "SIZE = 3\n",
    "losses.py": '''
        """Losses."""
        import typing
        from fplab.deep import inner as other
        if typing.TYPE_CHECKING:
            from fplab import words

        class Loss:
            """Doc."""
            def __call__(self, x: int) -> int:
                """Doc."""
                from . import lazily
                return x + 1  # a comment
        ''',
    "deep/__init__.py": "",
    "deep/inner.py": "from ..sibling import thing\nimport importlib\n"
    "importlib.import_module('fplab.named')\n",
    "sibling.py": "import fplab.dotted\nthing = fplab.attribute\n",
    "dotted.py": "",
    "attribute.py": "",
    "named.py": "import json, numpy, no_such_module_anywhere\n",
    "lazily.py": "",
    "words.py": "",
    "unused.py": "",
}


@pytest.fixture
def lab(tmp_path, monkeypatch) -> pathlib.Path:
    """Return the folder of a user's package, `fplab`; it is never imported."""
    for name, content in FILES.items():
        path = tmp_path / "fplab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content))
    monkeypatch.syspath_prepend(tmp_path)
    code_fingerprint.forget()
    yield tmp_path / "fplab"
    code_fingerprint.forget()


def closure(*roots: str) -> dict[str, str]:
    code_fingerprint.forget()
    return code_fingerprint.closure(roots)


def test_the_closure_is_what_is_imported(lab):
    assert set(closure("fplab.losses")) == {
        "fplab", "fplab.base", "fplab.losses", "fplab.deep", "fplab.deep.inner", "fplab.sibling",
        "fplab.dotted", "fplab.attribute", "fplab.named", "fplab.lazily",
    }  # fmt: skip
    assert set(closure("fplab.unused")) == {"fplab", "fplab.base", "fplab.unused"}


def edit(path: pathlib.Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("losses.py", "x + 1", "x + 2"),
        ("losses.py", "x + 1", "x - 1"),
        ("losses.py", "x + 1", "x + 1.0"),
        ("losses.py", "x + 1", "x + True"),
        ("sibling.py", "thing = fplab.attribute", "thing = fplab.dotted"),
        ("deep/inner.py", "fplab.named", "fplab.unused"),
    ],
)
def test_a_changed_expression_changes_the_hash_of_its_module_alone(lab, file, old, new):
    before = closure("fplab.losses")
    edit(lab / file, old, new)
    after = closure("fplab.losses")
    name = "fplab." + file.removesuffix(".py").replace("/", ".")
    assert {each for each in before if before[each] != after.get(each, before[each])} == {name}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another, longer comment"),
        ('"""Doc."""', '"""Other words,\n\n    and more.\n    """'),
        ("x + 1", "(x\n            +   1)"),
        ('"""Losses."""', ""),
        ("    from fplab import words", "    from fplab import unused"),
    ],
    ids=["comment", "docstring", "layout", "no docstring", "for type checkers"],
)
def test_words_and_layout_change_nothing(lab, old, new):
    before = closure("fplab.losses")
    edit(lab / "losses.py", old, new)
    assert closure("fplab.losses") == before


def test_a_file_that_does_not_parse_counts_as_it_is(lab):
    (lab / "lazily.py").write_text("def f(:\n")
    before = closure("fplab.losses")
    (lab / "lazily.py").write_text("def g(:\n")
    assert closure("fplab.losses") != before


def test_installed_and_standard_modules_are_not_ours():
    assert closure("json", "numpy", "jax.nn", "no_such_module_anywhere") == {}


def test_modules_left_out_are_not_followed():
    found = code_fingerprint.closure(["prismlab.core.train.loops.loop"], ["prismlab.core.events.event_log"])
    assert "prismlab.core.train.steps.step" in found
    assert not {
        "prismlab",
        "prismlab.core.errors",
        "prismlab.core.io",
        "prismlab.core.events.event_log",
    } & set(found)


def test_public_names_lead_to_their_module_only(lab):
    (lab / "unused.py").write_text("import prismlab\nmake = prismlab.VideoTower\n")
    found = closure("fplab.unused")
    assert "prismlab.core.towers.video" in found
    assert "prismlab.experiments.gin_strict.strict" not in found
    (lab / "unused.py").write_text("from prismlab import load_config\n")
    assert "prismlab.experiments.gin_strict.strict" in closure("fplab.unused")


def test_an_interactive_session_is_refused(monkeypatch):
    import sys
    import types

    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    with pytest.raises(errors.UserError, match="interactive session"):
        closure("__main__")
    monkeypatch.undo()
    code_fingerprint.forget()


def test_a_folder_without_init_in_a_package_that_is_not_loaded_is_followed(lab):
    for name, content in (
        ("outer/__init__.py", ""),
        ("outer/bare/leaf.py", ""),
        ("user.py", "from fplab.outer.bare import leaf\n"),
    ):
        (lab / name).parent.mkdir(parents=True, exist_ok=True)
        (lab / name).write_text(content)
    assert {"fplab.user", "fplab.outer", "fplab.outer.bare.leaf"} <= set(closure("fplab.user"))
