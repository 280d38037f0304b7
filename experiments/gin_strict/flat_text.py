"""Merge several gin files and a command line into one equivalent flat gin file."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from prismlab.experiments.gin_strict import binding_table


@dataclasses.dataclass(frozen=True)
class Binding:
    """One binding of the flat file, or a default that no binding overrides.

    Args:
        name: macro, or scope and parameter, spelled as in the flat file.
        value: as gin text.
        place: file:line of the binding; "" for a default.
    """

    name: str
    value: str
    place: str


def flat(entries: Iterable[binding_table.Entry]) -> str:
    """Return bindings as gin text.

    Args:
        entries: the active bindings.

    Returns:
        Imports, macros and bindings, sorted; loading it gives the same objects.
    """
    entries = list(entries)
    written, imports = _spelled(entries)
    macros: list[str] = []
    others: list[str] = []
    for entry in entries:
        line = f"{_left(entry, written)} = {_value(entry.value, written)}"
        (macros if entry.target is None else others).append(line)
    head = ["from __gin__ import dynamic_registration", *imports]
    blocks = [head, sorted(macros), sorted(others)]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def bindings(
    entries: Iterable[binding_table.Entry], defaults: Mapping[tuple[str, str], str]
) -> tuple[Binding, ...]:
    """Return the active bindings and the defaults beside them, by name.

    Args:
        entries: the active bindings.
        defaults: (name of a target, parameter) -> value, of parameters that were built with their default.
    """
    entries = list(entries)
    written, _ = _spelled(entries)
    found = [Binding(_left(entry, written), _value(entry.value, written), entry.place) for entry in entries]
    found += [
        Binding(f"{written.get(target, target)}.{name}", value, "")
        for (target, name), value in defaults.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.name, each.place)))


def _spelled(entries: list[binding_table.Entry]) -> tuple[dict[str, str], list[str]]:
    """Return target -> spelling, one for each object, and the imports for them."""
    targets = [entry.target for entry in entries if entry.target]
    for entry in entries:
        targets += [
            part.target
            for part in binding_table.parts(entry.value)
            if isinstance(part, binding_table.Reference) and part.target
        ]
    # Spell each object one way, even if files import it from different modules.
    spelled: dict[str, binding_table.Target] = {}
    for target in sorted(targets, key=lambda each: (each.module, each.path)):
        spelled.setdefault(target.name, target)
    aliases, imports = _imports({target.module for target in spelled.values()})
    return {name: f"{aliases[each.module]}.{each.path}" for name, each in spelled.items()}, imports


def _left(entry: binding_table.Entry, written: dict[str, str]) -> str:
    if entry.target is None:
        return entry.name
    return "/".join((*entry.scope, written[entry.target.name])) + f".{entry.name}"


def _imports(modules: set[str]) -> tuple[dict[str, str], list[str]]:
    aliases: dict[str, str] = {}
    lines = []
    for module in sorted(modules):
        parent, _, last = module.rpartition(".")
        # `gin` is a reserved name; two modules may have the same last name.
        alias = module.replace(".", "_") + "_" if last in aliases.values() or last == "gin" else last
        aliases[module] = alias
        line = f"from {parent} import {last}" if parent else f"import {last}"
        lines.append(line if alias == last else f"{line} as {alias}")
    return aliases, lines


def _value(value: Any, written: dict[str, str]) -> str:
    if isinstance(value, binding_table.Macro):
        return f"%{value.name}"
    if isinstance(value, binding_table.Reference):
        assert value.target is not None
        call = "()" if value.evaluate else ""
        return "@" + "/".join((*value.scope, written[value.target.name])) + call
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_value(k, written)}: {_value(v, written)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + "".join(_value(item, written) + ", " for item in value).rstrip() + ")"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item, written) for item in value) + "]"
    return repr(value)
