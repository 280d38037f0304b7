"""Parsed gin files: references, macros and bindings, each with its file and line.

Nothing is built here. `parse` fills a `Sheet`, `unused` finds the bindings without effect, `resolve` builds
the Python objects. All bindings of an argument are kept, since a later file may override an earlier one.
"""

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prismlab.experiments.gin_strict import check_types

CODE_SUPPLIED = ("key", "dims")
REQUIRED = "gin.REQUIRED"

Key = tuple[tuple[str, ...], str, str]


@dataclasses.dataclass(frozen=True)
class Target:
    """A class or function that a gin file names.

    Args:
        call: the class or function itself.
        module: dotted name of the module in which the file found it.
        path: dotted attribute path within that module.
    """

    call: Callable
    module: str
    path: str

    @property
    def name(self) -> str:
        """Canonical name of the object, however a file spells it."""
        module = getattr(self.call, "__module__", None) or self.module
        return f"{module}.{getattr(self.call, '__qualname__', self.path)}"

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Parameters that can be passed by name, excluding `**kwargs`."""
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        try:
            signature = inspect.signature(self.call)
        except (TypeError, ValueError):  # some builtins have no signature
            return {}
        return {name: each for name, each in signature.parameters.items() if each.kind in kinds}

    @property
    def annotations(self) -> dict[str, Any]:
        """Resolved annotations of the parameters; empty if Python cannot resolve them."""
        return check_types.annotations(self.call)


def supplied_by_code(parameter: inspect.Parameter) -> bool:
    """Return True if code passes this parameter later (`key`, `dims`: keyword-only, without a default)."""
    return (
        parameter.name in CODE_SUPPLIED
        and parameter.kind is inspect.Parameter.KEYWORD_ONLY
        and parameter.default is inspect.Parameter.empty
    )


@dataclasses.dataclass(frozen=True)
class Reference:
    """`@scope/module.Name` or, evaluated, `@scope/module.Name()`; target is None if it is unknown."""

    scope: tuple[str, ...]
    shown: str
    evaluate: bool
    target: Target | None
    place: str


@dataclasses.dataclass(frozen=True)
class Macro:
    """`%NAME`, or `%gin.REQUIRED`."""

    name: str
    place: str


@dataclasses.dataclass(eq=False)
class Source:
    """One file, or the command line.

    Args:
        name: for messages.
        own: True for the file that was asked for and the command line, False for what they include.
        rank: order in which reading of sources finished.
    """

    name: str
    own: bool
    rank: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One binding as written.

    Args:
        scope: scope names, outermost first.
        target: class or function whose parameter is bound, or None for a macro.
        name: parameter, or the name of the macro.
        value: parsed value, with `Reference` and `Macro` objects unresolved.
        shown: left-hand side as written.
        place: file:line.
        source: file or command line that contains it.
    """

    scope: tuple[str, ...]
    target: Target | None
    name: str
    value: Any
    shown: str
    place: str
    source: Source

    @property
    def key(self) -> Key:
        """Identity of the bound parameter or macro, independent of spelling."""
        return (self.scope, self.target.name if self.target else "", self.name)

    @property
    def rank(self) -> int:
        """Rank of the source; only valid after everything was read."""
        assert self.source.rank is not None
        return self.source.rank


class Faults:
    """Collected errors, one line each, without duplicates."""

    def __init__(self) -> None:
        self.lines: dict[str, str] = {}

    def add(self, place: str, message: str) -> None:
        """Add one error as `place: message` on one line."""
        self.lines[f"{place}: {' '.join(message.split())}"] = place

    def text(self) -> str:
        """Return all errors, files in the order of their first error, lines from top to bottom."""
        split = {line: place.rpartition(":") for line, place in self.lines.items()}
        files = list(dict.fromkeys(file for file, _, _ in split.values()))

        def order(line: str) -> tuple[int, int]:
            file, _, number = split[line]
            return files.index(file), int(number) if number.isdigit() else 0

        return "\n".join(sorted(self.lines, key=order))


class Sheet:
    """All bindings of a file, its includes and the command line.

    `complete` becomes False once something was dropped; unused bindings cannot be determined then.
    """

    def __init__(self) -> None:
        self.history: dict[Key, list[Entry]] = {}
        self.complete = True
        self.doubtful: set[str] = set()
        self.roots: list[tuple[str, str]] = []

    def add(self, entry: Entry) -> None:
        """Append a binding to the history of its key."""
        self.history.setdefault(entry.key, []).append(entry)

    def macro(self, name: str) -> Entry | None:
        """Return the binding of a macro, or None."""
        history = self.history.get(((), "", name))
        return history[-1] if history else None

    def macros(self) -> list[str]:
        """Names of all macros."""
        return [name for _, target, name in self.history if not target]

    def bound(self, target: Target, scope: tuple[str, ...]) -> dict[str, Entry]:
        """Return the active binding of each argument: a longer scope overrides its prefixes."""
        found = {}
        for length in range(len(scope) + 1):
            for entries in self.of(target, scope[:length]):
                found[entries[-1].name] = entries[-1]
        return found

    def of(self, target: Target, scope: tuple[str, ...]) -> Iterator[list[Entry]]:
        """Yield the history of each argument bound to a target in exactly this scope."""
        for (where, name, _), entries in self.history.items():
            if where == scope and name == target.name:
                yield entries


def parts(value: Any) -> Iterator[Reference | Macro]:
    """Yield the references and macros inside a parsed value."""
    if isinstance(value, (Reference, Macro)):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from parts(key)
            yield from parts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from parts(item)


def meant(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest known word, ignoring case, or an empty string."""
    spelled = {each.lower(): each for each in known if each != word}
    near = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.6)
    return f"; did you mean '{spelled[near[0]]}'?" if near else ""
