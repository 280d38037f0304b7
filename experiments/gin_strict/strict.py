"""Strict gin: a file says what to build, and every line of it counts.

gin's grammar is kept; its evaluation is not, for it forgives too much: a macro nobody uses, a scope nobody
enters, a binding nobody reads and an argument that code overrides all pass in silence there. Here each of
them is one line, `file:line: what was wanted, what came`, and all lines come together.
"""

import dataclasses
import importlib
import inspect
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.experiments.gin_strict import binding_table, flat_text, parse, resolve, unused


@dataclasses.dataclass(frozen=True)
class Loaded:
    """An experiment that was read and built.

    Args:
        root: instance of the root class.
        text: one flat gin file that says the same, sorted, for the record.
        where: file:line of each binding in it.
    """

    root: Any
    text: str
    where: Mapping[str, str]


def load(path: str, bindings: Sequence[str] = (), roots: Sequence[Callable] | None = None) -> Loaded:
    """Read a gin file and build what it describes.

    Args:
        path: gin file, or the name of a shipped one (`smoke.gin`).
        bindings: lines of the command line, such as `recipe.Stage.steps=3` or `STEPS=3`; they win.
        roots: classes that may be the root; the first one that the file binds without a scope is built.
            None means recipe.Ablation, then recipe.Experiment.

    Returns:
        The root object, the flat text and the places.

    Raises:
        UserError: with one line for each fault.
    """
    if roots is None:
        # Named, not imported on top: this module is also used by tests and tools with roots of their own.
        recipe = importlib.import_module("prismlab.experiments.recipe.recipe")
        roots = (recipe.Ablation, recipe.Experiment)
    reader = parse.Reader()
    found = parse.find(path, pathlib.Path())
    if isinstance(found, str):
        raise errors.UserError(found)
    shown = parse.show(found)
    reader.file(found, shown, shown)
    reader.bindings(bindings)
    faults, read = reader.faults, reader.sheet
    chosen = _root(read, roots)
    used: set[binding_table.Entry] = set()
    value = None
    if chosen is not None:
        target, place, name = chosen
        value = resolve.Builder(read, faults).make(target, (), True, place, name)
        if read.complete:
            used = unused.unused(read, target, faults)
    elif read.complete:
        names = " or ".join(f"{each.__module__}.{each.__qualname__}" for each in roots)
        faults.add(shown, f"nothing to build: bind the arguments of {names}, without a scope")
    if not read.complete:
        unused.unmentioned(read, faults)
    if faults.lines:
        raise errors.UserError(faults.text())
    assert not resolve.broken(value), "a broken value always leaves a fault"
    where = {entry.shown: entry.place for entry in used}
    return Loaded(value, flat_text.flat(used), dict(sorted(where.items())))


def _root(
    read: binding_table.Sheet, roots: Sequence[Callable]
) -> tuple[binding_table.Target, str, str] | None:
    for root in roots:
        module = inspect.getmodule(root)
        target = binding_table.Target(root, module.__name__ if module else "", root.__qualname__)
        for name, place in read.roots:
            if name == target.name:
                return target, place, f"{target.module.rsplit('.', 1)[-1]}.{root.__qualname__}"
    return None
