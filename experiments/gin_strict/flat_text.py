"""Merge several gin files and a command line into one equivalent flat gin file."""

from collections.abc import Iterable
from typing import Any

from prismlab.experiments.gin_strict import binding_table


def flat(entries: Iterable[binding_table.Entry]) -> str:
    """Return bindings as gin text.

    Args:
        entries: the active bindings.

    Returns:
        Imports, macros and bindings, sorted; loading it gives the same objects.
    """
    entries = list(entries)
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
    written = {name: f"{aliases[each.module]}.{each.path}" for name, each in spelled.items()}
    macros, others = [], []
    for entry in entries:
        right = _value(entry.value, written)
        if entry.target is None:
            macros.append(f"{entry.name} = {right}")
        else:
            left = "/".join((*entry.scope, written[entry.target.name]))
            others.append(f"{left}.{entry.name} = {right}")
    head = ["from __gin__ import dynamic_registration", *imports]
    blocks = [head, sorted(macros), sorted(others)]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


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
