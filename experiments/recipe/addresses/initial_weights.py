"""Parents of a stage's initial weights: one for all parameters, or one for each part of the learner.

`recipe.Stage.init_from` names one parent, or maps paths of the stage's learner to parents:

    {'towers/video/encoder': 'stage2', 'towers/video/pooler': 'stage1', 'towers/text': 'stage1'}

With one parent, parameters with equal paths are taken and all others keep their random values. With a map,
every parameter under a path must be in the parent of the longest path that it lies under.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from prismlab.core import errors

Value = TypeVar("Value")


def parents(init_from: Any) -> list[Any]:
    """Return the parents of `init_from`, or of its resolved form: a list of one without a map."""
    return list(init_from.values()) if isinstance(init_from, Mapping) else [init_from]


def labelled(field: str, given: Any) -> dict[str, Any]:
    """Return label -> parent, with one label for each path: `init_from`, or `init_from['towers/text']`."""
    if isinstance(given, Mapping):
        return {f"{field}[{path!r}]": parent for path, parent in sorted(given.items())}
    return {field: given}


def text(init_from: Any) -> str:
    """Return the parents in a few words: "stage1", or "stage2 (encoder), stage1 (pooler, text)"."""
    if not isinstance(init_from, Mapping):
        return str(init_from or "-")
    paths: dict[str, list[str]] = {}
    for path, parent in init_from.items():
        paths.setdefault(str(parent), []).append(path.split("/")[-1])
    return ", ".join(f"{parent} ({', '.join(found)})" for parent, found in paths.items())


def entry(name: str, entries: Iterable[str]) -> str | None:
    """Return the longest path of a map that a parameter lies under, or None."""
    above = [path for path in entries if name == path or name.startswith(f"{path}/")]
    return max(above, key=len, default=None)


def merged(parts: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    """Return parameter -> value from the values of each path's parent.

    Args:
        parts: path of the map -> parameter -> value of its parent.
    """
    return {
        name: value
        for path, values in parts.items()
        for name, value in values.items()
        if entry(name, parts) == path
    }


def check(
    init_from: Any, own: Iterable[str], found: Iterable[str], known: Iterable[str] | None = None
) -> None:
    """Check that a map finds every parameter that it names.

    Args:
        init_from: as configured; without a map nothing is checked.
        own: parameters of the stage.
        found: parameters of `merged`.
        known: paths of the map whose parents' parameters are known; None for all.

    Raises:
        UserError: a path names no parameter of the stage, or a parent lacks one.
    """
    if not isinstance(init_from, Mapping):
        return
    own, found = list(own), set(found)
    for path in init_from:
        wanted = [name for name in own if entry(name, init_from) == path]
        if not wanted:
            tops = sorted({"/".join(name.split("/")[:3]) for name in own})
            raise errors.UserError(
                f"init_from[{path!r}]: this stage has no parameter under that path; paths begin with "
                f"{', '.join(tops[:12])}"
            )
        missing = [name for name in wanted if name not in found] if known is None or path in known else []
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise errors.UserError(
                f"init_from[{path!r}]: {init_from[path]} has no {missing[0]}{more}; name a parent that has "
                "it, or a path that leaves it out"
            )
