"""Build Python objects from a `Sheet`: `@x.Y()` is Y(...), `@x.Y` is functools.partial(Y, ...)."""

import dataclasses
import functools
import inspect
import re
from typing import Any

from prismlab.experiments.gin_strict import binding_table, check_types

Scope = tuple[str, ...]
_MOST_VALUES = 100_000  # that one macro holds, with those of the macros in it


class Broken:
    """Sentinel for a value whose error is already recorded, so that each error is reported once."""


BROKEN = Broken()


class Builder:
    """Builds the root and everything it refers to; errors are collected, not raised.

    Scopes follow gin: the scope of a reference replaces the enclosing one; a reference without scope keeps
    it; bindings of each prefix of the scope apply, the longest wins; a macro is evaluated in the scope of its
    name. Unlike in gin, a macro is evaluated once, so `%TOWER` used twice is one shared object.
    """

    def __init__(self, bindings: binding_table.Sheet, faults: binding_table.Faults):
        self.sheet = bindings
        self.faults = faults
        self.making: list[tuple[str, Scope]] = []
        self.reading: list[str] = []
        self.shared: dict[str, Any] = {}
        self.sizes: dict[str, int] = {}  # number of values in each macro that was read
        self.defaults: dict[tuple[str, str], str] = {}  # (target, parameter) -> default in use

    def make(self, target: binding_table.Target, scope: Scope, evaluate: bool, place: str, shown: str) -> Any:
        """Build a target in a scope.

        Args:
            target: class or function.
            scope: active scope.
            evaluate: call it instead of returning a partial.
            place: file:line of the reference.
            shown: name as written.

        Returns:
            The object, the partial, or BROKEN.
        """
        node = (target.name, scope)
        if node in self.making:
            self.faults.add(place, f"{shown} is needed to build itself; break the cycle with a scope")
            return BROKEN
        self.making.append(node)
        arguments, lines = self._arguments(target, scope, evaluate, place, shown)
        self.making.pop()
        if broken(arguments):
            return BROKEN
        if not evaluate:
            return functools.partial(target.call, **arguments)
        try:
            return target.call(**arguments)
        except (ValueError, TypeError, OSError) as error:
            # If the message names a bound parameter, report it at the line of that binding.
            words = re.findall(r"\w+", str(error))
            where = next((lines[word] for word in words if word in lines), place)
            for line in str(error).splitlines() or [type(error).__name__]:
                self.faults.add(where, f"{shown}: {line}")
            return BROKEN

    def _arguments(
        self, target: binding_table.Target, scope: Scope, evaluate: bool, place: str, shown: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        parameters, hints = target.parameters, target.annotations
        arguments: dict[str, Any] = {}
        lines = {}
        for name, entry in self.sheet.bound(target, scope).items():
            source = self._source(entry)
            lines[name] = source.place
            if binding_table.supplied_by_code(parameters[name]):
                self.faults.add(entry.place, f"{entry.shown} is passed by the code; remove this line")
                arguments[name] = BROKEN
                continue
            value = self.value(entry.value, scope, entry)
            hint = hints.get(name, parameters[name].annotation)
            if not broken(value):
                try:
                    value = check_types.fit(value, hint)
                except check_types.Mismatch as mismatch:
                    by = f", by %{source.name}" if source is not entry else ""
                    self.faults.add(
                        source.place, f"{entry.shown}: expected {check_types.words(hint)}, got {mismatch}{by}"
                    )
                    value = BROKEN
            arguments[name] = value
        by_code = [
            each for each, parameter in parameters.items() if binding_table.supplied_by_code(parameter)
        ]
        if evaluate and by_code:
            self.faults.add(place, f"the code passes {' and '.join(by_code)} to {shown}; write it without ()")
            arguments[by_code[0]] = BROKEN
        for name, parameter in parameters.items():
            if name in by_code:
                continue
            if name in arguments:
                continue
            if parameter.default is not inspect.Parameter.empty:
                self.defaults[target.name, name] = _written(target.call, name, parameter.default)
                continue
            if (
                not evaluate
                and not inspect.isclass(target.call)
                and parameter.kind is not parameter.KEYWORD_ONLY
            ):
                continue  # a function that code calls with positional arguments
            if target.name not in self.sheet.doubtful:
                inside = f" (in scope {'/'.join(scope)})" if scope else ""
                self.faults.add(place, f"{shown} needs a value for '{name}'{inside}; bind {shown}.{name}")
            arguments[name] = BROKEN
        return arguments, lines

    def _source(self, entry: binding_table.Entry) -> binding_table.Entry:
        """Follow macros to the binding that contains the value."""
        seen: set[str] = set()
        while isinstance(entry.value, binding_table.Macro) and entry.value.name not in seen:
            seen.add(entry.value.name)
            entry = self.sheet.macro(entry.value.name) or entry
        return entry

    def value(self, value: Any, scope: Scope, entry: binding_table.Entry) -> Any:
        """Resolve a parsed value.

        Args:
            value: literal, container, reference or macro.
            scope: active scope.
            entry: binding that contains it.
        """
        if isinstance(value, binding_table.Macro):
            return self._macro(value, entry)
        if isinstance(value, binding_table.Reference):
            if value.target is None:
                return BROKEN
            return self.make(value.target, value.scope or scope, value.evaluate, value.place, value.shown)
        if isinstance(value, dict):
            return {
                self.value(key, scope, entry): self.value(item, scope, entry) for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return type(value)(self.value(item, scope, entry) for item in value)
        return value

    def _macro(self, macro: binding_table.Macro, entry: binding_table.Entry) -> Any:
        name = macro.name
        if name == binding_table.REQUIRED:
            self.faults.add(
                entry.place,
                f"{entry.shown} is required; set it in your file or with {entry.shown}=...",
            )
            return BROKEN
        if name in self.shared:
            return self.shared[name]
        found = self.sheet.macro(name)
        if found is None:
            self.sheet.complete = False
            self.faults.add(macro.place, f"no macro %{name}{binding_table.meant(name, self.sheet.macros())}")
            return BROKEN
        if name in self.reading:
            circle = " -> ".join([*self.reading[self.reading.index(name) :], name])
            self.faults.add(found.place, f"macros refer to each other in a cycle: {circle}")
            return BROKEN
        self.reading.append(name)
        self.shared[name] = self.value(found.value, tuple(name.split("/")), found)
        self.reading.pop()
        self.sizes[name] = self._size(found.value)
        if self.sizes[name] > _MOST_VALUES:
            self.sizes[name] = 0  # so that only the first one is named
            self.shared[name] = BROKEN
            self.faults.add(found.place, f"macro {name} holds more than {_MOST_VALUES:,} values; shorten it")
        return self.shared[name]

    def _size(self, value: Any) -> int:
        """Return how many values a parsed value holds, each macro in it counted as often as it is used."""
        if isinstance(value, binding_table.Macro):
            return self.sizes.get(value.name, 1)
        if isinstance(value, dict):
            return sum(map(self._size, [*value, *value.values()]))
        return sum(map(self._size, value)) if isinstance(value, (list, tuple)) else 1


def _written(call: Any, name: str, default: Any) -> str:
    """Return a default as text, without addresses in memory."""
    if dataclasses.is_dataclass(call):
        made = next((each.default_factory for each in dataclasses.fields(call) if each.name == name), None)
        if made not in (None, dataclasses.MISSING):
            return f"{getattr(made, '__qualname__', type(made).__qualname__)}()"
    if callable(default) and hasattr(default, "__qualname__"):
        return f"@{default.__module__}.{default.__qualname__}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(default))


def broken(value: Any) -> bool:
    """Return True if a value contains `Broken`."""
    if isinstance(value, dict):
        return any(broken(key) or broken(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return any(broken(item) for item in value)
    return isinstance(value, Broken)
