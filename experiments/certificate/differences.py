"""What differs between two certificates, in a few lines: configuration, code, data, environment."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prismlab.experiments.certificate import contents, environment
from prismlab.experiments.gin_strict import sub_rooms
from prismlab.experiments.recipe import describe

PARTS = ("configuration", "parents", "code", "data", "environment", "checkout")
MOST = 8  # lines of one part
_INPUTS = ("configuration", "parents", "code", "data")


@dataclasses.dataclass(frozen=True)
class Difference:
    """One difference.

    Args:
        part: one of `PARTS`.
        text: what differs, as "before -> after".
    """

    part: str
    text: str


def of(a: contents.Certificate, b: contents.Certificate) -> list[Difference]:
    """Return the differences between two certificates, from `a` to `b`."""
    found = [Difference("configuration", line) for line in configuration(a.inputs, b.inputs)]
    found += [Difference("parents", line) for line in _changed(a.parents, b.parents, str)]
    found += [Difference("code", line) for line in code(a.code, b.code)]
    found += [Difference("data", f"content of {line}") for line in _changed(a.data, b.data, _short)]
    found += [Difference("environment", line) for line in of_environment(a.environment, b.environment)]
    return found + [Difference("checkout", line) for line in _checkout(a.source, b.source)]


def configuration(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the differences of configuration, seed and settings between the inputs of two addresses."""
    before, after = (sub_rooms.renamed(each.get("configuration")) for each in (a, b))
    found = describe.difference(before, after)
    for name in dict.fromkeys((*a, *b)):
        if name not in _INPUTS and name in a and name in b:
            found += [f"{name}{line.removeprefix('value')}" if line.startswith("value:") else f"{name}.{line}"
                      for line in describe.difference(a[name], b[name])]  # fmt: skip
    return found


def code(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """Return one line for each module that differs, or that only one of two results imports."""
    found = [f"{file_of(name)} changed" for name in sorted(a) if name in b and a[name] != b[name]]
    found += [f"{file_of(name)} no longer imported" for name in sorted(a) if name not in b]
    return found + [f"{file_of(name)} imported as well" for name in sorted(b) if name not in a]


def file_of(module: str) -> str:
    """Return a module as a short path: "objectives/masked.py"."""
    return module.removeprefix("prismlab.").replace(".", "/") + ".py"


def of_environment(a: environment.Environment, b: environment.Environment) -> list[str]:
    """Return the differences of flags, versions, devices and mesh."""
    found = []
    for name in sorted({*a.variables, *b.variables}):
        one, two = (each.variables.get(name, "") for each in (a, b))
        if name.endswith(("_FLAGS", "_ARGS")):
            found += [f"{name} {line}" for line in _changed(_flags(one), _flags(two), str)]
        elif one != two:
            found.append(f"{name}: {one or 'not set'} -> {two or 'not set'}")
    found += [f"version of {line}" for line in _changed(a.versions, b.versions, str)]
    for field in ("device", "devices", "hosts", "processor", "cores", "system"):
        one, two = getattr(a, field), getattr(b, field)
        if one != two:
            found.append(f"{field}: {one} -> {two}")
    return found + [f"mesh axis {line}" for line in _changed(a.mesh, b.mesh, str)]


def grouped(found: Iterable[tuple[str, Difference]]) -> list[str]:
    """Return differences of several results as lines; equal ones of several results share a line.

    Args:
        found: (name of the result, or "", and a difference).

    Returns:
        Lines such as "code: objectives/masked.py changed (stage1, stage2)", at most `MOST` for each part.
    """
    names: dict[Difference, dict[str, None]] = collections.defaultdict(dict)
    for name, each in found:
        names[each][name] = None
    lines = []
    for part in PARTS:
        own = [each for each in names if each.part == part]
        for each in own[:MOST]:
            shown = [name for name in names[each] if name]
            more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
            of_what = f" ({', '.join(shown[:4])}{more})" if shown else ""
            lines.append(f"{part}: {each.text}{of_what}")
        if len(own) > MOST:
            lines.append(f"{part}: and {len(own) - MOST} more")
    return lines


def _checkout(a: environment.Source, b: environment.Source) -> list[str]:
    found = []
    if a.commit != b.commit:
        found.append(f"commit: {_short(a.commit or 'none')} -> {_short(b.commit or 'none')}")
    if a.changes != b.changes:
        words = ["changed files" if each.changes else "no changed files" for each in (a, b)]
        found.append(f"changes to the commit: {' -> '.join(words)}" if words[0] != words[1]
                     else "changes to the commit differ")  # fmt: skip
    if a.lock != b.lock:
        found.append("requirements.lock changed")
    return found


def _changed(a: Mapping[str, Any], b: Mapping[str, Any], shown: Any) -> list[str]:
    return [
        f"{name}: {shown(a[name]) if name in a else 'absent'} -> {shown(b[name]) if name in b else 'absent'}"
        for name in sorted({*a, *b})
        if a.get(name) != b.get(name)
    ]


def _flags(text: str) -> dict[str, str]:
    return {name: value or "set" for name, _, value in (each.partition("=") for each in text.split())}


def _short(text: str) -> str:
    return text if len(text) <= 16 else text[:12]


def texts(found: Sequence[Difference], part: str) -> list[str]:
    """Return the texts of the differences of one part."""
    return [each.text for each in found if each.part == part]
