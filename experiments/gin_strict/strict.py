"""Strict loader for gin files: build the configured object, and report every unknown, unused or wrong line.

gin's grammar is kept, but not its evaluation, which silently accepts unused macros, scopes that are never
entered, bindings that are never read and arguments that code overrides. Here each of them is an error of one
line, `file:line: message`, and all errors are reported together.
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
    """A configuration that was read and built.

    Args:
        root: instance of the root class.
        text: the equivalent flat gin file, sorted.
        where: file:line of each binding in it.
        bindings: the bindings, and the defaults of all that was built.
    """

    root: Any
    text: str
    where: Mapping[str, str]
    bindings: tuple[flat_text.Binding, ...] = ()


def load(
    path: str,
    bindings: Sequence[str] = (),
    roots: Sequence[Callable] | None = None,
    earlier: bool = False,
) -> Loaded:
    """Read a gin file and build the object that it configures.

    Args:
        path: gin file, or the name of a shipped one (`smoke.gin`).
        bindings: command-line bindings, such as `recipe.Stage.steps=3` or `STEPS=3`; they override the file.
        roots: classes that may be the root; the first one that the file binds without a scope is built.
            None means recipe.Ablation, then recipe.Experiment.
        earlier: whether the file may name modules as earlier versions did, like a stage's config.gin.

    Returns:
        The root object, the flat text and the line of each binding.

    Raises:
        UserError: with one line per error.
    """
    if roots is None:
        # Imported lazily: tests and tools use this module with their own roots.
        recipe = importlib.import_module("prismlab.experiments.recipe.recipe")
        roots = (recipe.Ablation, recipe.Experiment)
    reader = parse.Reader(earlier)
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
    builder = resolve.Builder(read, faults)
    if chosen is not None:
        target, place, name = chosen
        value = builder.make(target, (), True, place, name)
        if read.complete:
            used = unused.unused(read, target, faults)
    elif read.complete:
        names = " or ".join(f"{each.__module__}.{each.__qualname__}" for each in roots)
        faults.add(shown, f"nothing to build: bind the arguments of {names}, without a scope")
    if not read.complete:
        unused.unmentioned(read, faults)
    if faults.lines:
        raise errors.UserError(faults.text())
    if resolve.broken(value):
        raise RuntimeError("a value is broken, but no error was recorded")
    where = {entry.shown: entry.place for entry in used}
    listed = flat_text.bindings(used, builder.defaults)
    return Loaded(value, flat_text.flat(used), dict(sorted(where.items())), listed)


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
