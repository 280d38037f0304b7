"""Imports of a gin file, and lookup of the classes and functions it names."""

import importlib
import pathlib
import pkgutil
import re
import sys
import types
from collections.abc import Iterable

from prismlab.experiments.gin_strict import binding_table, old_names, sub_rooms


class Table:
    """Imports of one file, by bound name.

    Args:
        earlier: whether modules may have the names of earlier versions, as in a file that one of them wrote.
        file: the file, near which a package that is not on the path of Python may lie.
    """

    def __init__(self, earlier: bool = False, file: pathlib.Path | None = None) -> None:
        self.earlier, self.file = earlier, file
        self.modules: dict[str, types.ModuleType] = {}
        self.paths: dict[str, list[str]] = {}
        self.broken: set[str] = set()
        self.ambiguous: set[str] = set()
        self.dynamic = False

    @staticmethod
    def union(tables: Iterable["Table"]) -> "Table":
        """Merge the imports of several files; for a name that two of them use, the first file wins."""
        joined = Table()
        for table in tables:
            for name, module in table.modules.items():
                if name not in joined.modules:
                    joined.modules[name] = module
                elif joined.modules[name] is not module:
                    joined.ambiguous.add(name)
                joined.paths.setdefault(name, []).extend(table.paths[name])
            joined.broken |= table.broken
        first = next(iter(tables), None)
        joined.ambiguous -= set(first.modules) if first else set()
        return joined

    def bring(self, statement) -> str:
        """Import a module.

        Args:
            statement: gin's ImportStatement.

        Returns:
            An error message, or an empty string.
        """
        module, name = statement.module, statement.bound_name()
        if self.earlier:
            module = sub_rooms.current(module)
        if module.startswith("__gin__."):
            if module != "__gin__.dynamic_registration":
                return f"expected `from __gin__ import dynamic_registration`, got `{statement.format()}`"
            self.dynamic = True
            return ""
        if not self.dynamic:
            self.dynamic = True  # reported once
            return "expected `from __gin__ import dynamic_registration` above the first import"
        if name == "gin":
            return "the name gin is reserved; import the module `as` another name"
        try:
            found = importlib.import_module(module)
        except Exception as error:  # a user's module may raise anything; report it as one line
            self.broken.add(name)
            return why(module, error, self.file)
        whole = statement.is_from or statement.alias
        self.modules[name] = found if whole else sys.modules[name]
        self.paths.setdefault(name, []).append(name if whole else module)
        return ""

    def find(self, selector: str) -> binding_table.Target | str:
        """Look up a selector.

        Args:
            selector: for example `video.VideoTower`.

        Returns:
            The class or function; or an error message; or an empty string if the failed import was already
            reported.
        """
        first, *rest = selector.split(".")
        if first in self.broken:
            return ""
        if first == "gin":
            return f"{selector} is not needed here: a macro used twice is already one shared object"
        if first in self.ambiguous:
            return f"'{first}' refers to two modules in the included files; import it in your own file"
        if first not in self.modules:
            return f"'{first}' is not imported in this file (needed for {selector}){self._meant(selector)}"
        module: types.ModuleType = self.modules[first]
        thing, attributes = module, []
        for name in rest:
            if not hasattr(thing, name):
                return f"no class or function {selector}{self._meant(selector)}"
            thing = getattr(thing, name)
            attributes.append(name)
            if isinstance(thing, types.ModuleType):
                module, attributes = thing, []
        if isinstance(thing, types.ModuleType) or not callable(thing):
            kind = "module" if isinstance(thing, types.ModuleType) else type(thing).__name__
            return f"expected a class or function, but {selector} is a {kind}{self._meant(selector)}"
        return binding_table.Target(thing, module.__name__, ".".join(attributes))

    def _meant(self, selector: str) -> str:
        known = {}
        for name, paths in self.paths.items():
            for path in paths:
                module: object = self.modules[name]
                for part in path.split(".")[1:]:
                    module = getattr(module, part)
                known.update({f"{path}.{each}": each for each in public(module)})
        # Prefer the same name in another module to a similar spelling.
        last = selector.rsplit(".", 1)[-1]
        same = sorted(whole for whole, each in known.items() if each == last)
        return f"; did you mean '{same[0]}'?" if same else binding_table.meant(selector, known)


def public(module: object) -> list[str]:
    """Return the names of the public classes and functions of a module."""
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and callable(thing) and not isinstance(thing, types.ModuleType)
    ]


def why(module: str, error: Exception, file: pathlib.Path | None = None) -> str:
    """Explain in one sentence why an import failed.

    Args:
        module: the module.
        error: what the import raised.
        file: the gin file, or None.
    """
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    named = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error))
    if missing is None and named and f"{named[2]}.{named[1]}" in sub_rooms.MOVED:
        missing = f"{named[2]}.{named[1]}"  # `from room import module` in a user's own module
    new = old_names.moved_import(module if missing and module.startswith(missing) else missing or "")
    if new:
        where = "to another room" if str(missing).startswith("prismlab.") else "into the package prismlab"
        return f"importing {module} failed: {missing} moved {where}; write `{new}`"
    if missing is None or not (module == missing or module.startswith(missing + ".")):
        return f"importing {module} failed: {type(error).__name__}: {error}"
    parent, _, last = module.rpartition(".")
    above = sys.modules.get(parent)
    if above is not None and hasattr(above, last):
        outer, _, inner = parent.rpartition(".")
        advice = f"from {outer} import {inner}" if outer else f"import {inner}"
        return f"{module} is not a module; import modules, not names: `{advice}`, then {inner}.{last}"
    folder = importlib.import_module(parent) if parent in sys.modules else None
    known = [f"{parent}.{each.name}" for each in pkgutil.iter_modules(getattr(folder, "__path__", []))]
    near = binding_table.meant(module, known)
    path = "" if near or "." in missing else _path_advice(missing, file)
    return f"no module {module}{near}{path}"


def _path_advice(package: str, file: pathlib.Path | None) -> str:
    """Return how to put a package on the path of Python: it lies beside or above the file, or nowhere."""
    here = pathlib.Path.cwd()
    for folder in (*(file.absolute().parents if file else ()), here, *here.parents):
        if (folder / package).is_dir() and str(folder) not in sys.path:
            return f"; {package} is not on the path of Python, set PYTHONPATH={folder}"
    return f"; if {package} is yours, add the folder that holds it to PYTHONPATH"
