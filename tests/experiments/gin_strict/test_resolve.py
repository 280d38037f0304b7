"""Our walk against gin's own evaluation, and against a change of each value, on random small files."""

import dataclasses
import pathlib
import tempfile

import gin
import gin_parts as parts
import hypothesis
from hypothesis import strategies as st

from prismlab.experiments.gin_strict import binding_table, parse, resolve, unused

HEAD = "from __gin__ import dynamic_registration\nimport gin_parts as parts\n"
NAMES = ("root", "first", "second", "third")
SCOPES = ("", "p/", "q/", "p/q/")
MACROS = ("M", "N")


def values(level: int, with_macros: bool) -> st.SearchStrategy[str]:
    """Values that refer only to later functions, so that nothing builds itself."""
    plain = st.integers(0, 9).map(str)
    choices = [plain]
    if level < 3:
        names = st.sampled_from(NAMES[level + 1 :])
        choices.append(st.builds("@{}parts.{}()".format, st.sampled_from(SCOPES), names))
    if with_macros:
        choices.append(st.sampled_from(MACROS).map("%{}".format))
    one = st.one_of(choices)
    return st.one_of(one, st.builds("({}, {})".format, one, one), st.builds("{{'k': {}}}".format, one))


@st.composite
def configs(draw: st.DrawFn) -> list[str]:
    lines = {"parts.root.a": draw(values(0, True))}
    for _ in range(draw(st.integers(0, 10))):
        level = draw(st.integers(0, 3))
        # Macros may build `third`, so `third` itself must not use them. Scope M is the one macros run in.
        scope = draw(st.sampled_from((*SCOPES, "M/")))
        left = f"{scope}parts.{NAMES[level]}.{draw(st.sampled_from('ab'))}"
        lines[left] = draw(values(level, level < 3))
    for name in MACROS:
        lines[name] = draw(values(2, name == "N").filter(lambda text: "%N" not in text))
    return [f"{left} = {right}" for left, right in lines.items()]


def read(lines: list[str]) -> tuple[parse.Reader, binding_table.Target]:
    reader = parse.Reader()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "a.gin"
        path.write_text(HEAD + "\n".join(lines))
        reader.file(path, "a.gin", "a.gin")
    assert not reader.faults.lines
    return reader, binding_table.Target(parts.root, "gin_parts", "root")


def build(reader: parse.Reader, target: binding_table.Target) -> object:
    return resolve.Builder(reader.sheet, reader.faults).make(target, (), True, "x", "root")


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(configs())
def test_agrees_with_gin(lines):
    gin.clear_config()
    try:
        gin.parse_config(HEAD + "\n".join(lines))
        wanted = gin.get_configurable(parts.root)()
    finally:
        gin.clear_config()
    reader, target = read(lines)
    assert build(reader, target) == wanted


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(configs())
def test_a_binding_is_reached_exactly_when_changing_it_changes_the_result(lines):
    reader, target = read(lines)
    before = build(reader, target)
    reached = unused.Reached(reader.sheet, target, 0).entries
    for key, history in list(reader.sheet.history.items()):
        entry = history[-1]
        reader.sheet.history[key] = [dataclasses.replace(entry, value="changed")]
        assert (build(reader, target) != before) == (entry in reached), entry.shown
        reader.sheet.history[key] = history
