"""Read JSON files into frozen dataclasses; whatever is wrong with a file becomes one line."""

import collections.abc
import dataclasses
import functools
import hashlib
import json
import math
import types
import typing
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem

# Annotation of a number that may be NaN or infinite; a plain `float` may not.
AnyFloat = typing.Annotated[float, "may be NaN or infinite"]
# Larger numbers overflow in sums of squares; no float32 is as large.
LARGEST = 1e100
SEAL = "sha256"  # key of an object's own digest
_DEEPEST = 100  # levels of nesting; Python's own JSON functions recurse
_CONTAINERS = (dict, list)
_LEAVES = {int, float, str, bool, types.NoneType}
_ADVICE = "move it elsewhere and run again"


class Invalid(ValueError):
    """A value does not have the expected type; the message says where, what was expected and found."""


def load(path: filesystem.Path, advice: str = _ADVICE, limit: int | None = None) -> Any:
    """Read a JSON file as plain data.

    Args:
        path: local or in a bucket.
        advice: what the user can do if the file is damaged.
        limit: maximum size in bytes, for files that others can write.

    Raises:
        UserError: the file is missing, too large, is not JSON, or is nested too deeply.
    """
    data = filesystem.read(path, limit)
    try:
        value = json.loads(data)
        check_depth(value)
        _check_seals(value)
    except RecursionError:
        raise errors.UserError(f"{path} cannot be read (nested too deeply); {advice}") from None
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise errors.UserError(f"{path} cannot be read ({reason}); {advice}") from error
    return value


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object with a digest of its content, which `load` checks.

    Args:
        value: JSON data; a seal that it has already is replaced.
    """
    content = {name: item for name, item in value.items() if name != SEAL}
    return {**content, SEAL: hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}


def _check_seals(value: Any) -> None:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict) and isinstance(each.get(SEAL), str) and sealed(each) != each:
            raise Invalid(f"its content does not match its {SEAL}: it was damaged or edited")


def read(kind: Any, path: filesystem.Path, advice: str = _ADVICE, limit: int | None = None) -> Any:
    """Read a JSON file as an instance of a type.

    Args:
        kind: see `parse`.
        path: local or in a bucket.
        advice: what the user can do if the file is damaged.
        limit: see `load`.

    Raises:
        UserError: the file is missing, too large, damaged, or does not contain such a value; says where
            in it.
    """
    value = load(path, advice, limit)
    try:
        return parse(kind, value)
    except Invalid as error:
        raise errors.UserError(f"{path} cannot be read ({error}); {advice}") from None


def parse(kind: Any, value: Any, where: str = "") -> Any:
    """Convert plain JSON data to a type.

    Args:
        kind: a dataclass, `tuple[X, ...]`, `tuple[X, Y]`, `Mapping[str, X]`, `X | None`, `X | Y` (the first
            that fits), str, int, float, bool, `AnyFloat` or Any. Keys without a field are ignored, or
            collected in the field whose metadata has "rest". A dataclass may check its fields together and
            raise UserError.
        value: JSON data.
        where: path of the value in the file, for messages.

    Returns:
        The instance. Numbers are finite and at most `LARGEST`, except `AnyFloat`.

    Raises:
        Invalid: the value is of another type.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return _plain(value, where)
    if origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        *others, last = (each for each in arguments if each is not types.NoneType)
        for kind in others:
            try:
                return parse(kind, value, where)
            except Invalid:
                pass
        return parse(last, value, where)
    if dataclasses.is_dataclass(kind):
        return _instance(kind, value, where)
    if origin is tuple:
        return _sequence(arguments, value, where)
    if origin is collections.abc.Mapping:
        items = _expect(dict, "an object", value, where).items()
        return {name: parse(arguments[1], item, _join(where, name)) for name, item in items}
    if kind is float or origin is typing.Annotated:
        return _number(value, where, finite=kind is float)
    if kind is int:
        return _whole(value, where)
    return _expect(kind, {str: "text", bool: "true or false"}[kind], value, where)


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[Any, dataclasses.Field[Any]]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: (hints[field.name], field) for field in dataclasses.fields(kind)}


def _instance(kind: Any, value: Any, where: str) -> Any:
    given = dict(_expect(dict, "an object", value, where))
    found, rest = {}, None
    for name, (hint, field) in _fields(kind).items():
        if field.metadata.get("rest"):
            rest = name
        elif name in given:
            found[name] = parse(hint, given.pop(name), _join(where, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Invalid(f"expected {_short(name)} in {where or 'the file'}, found no such key")
    if rest is not None:
        found[rest] = {name: _plain(item, _join(where, name)) for name, item in given.items()}
    try:
        return kind(**found)
    except Invalid:
        raise
    except ValueError as error:
        raise Invalid(f"in {where or 'the file'}: {error}") from None


def _sequence(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    items = _expect(list, "a list", value, where)
    if arguments[-1] is Ellipsis and _all_fit(arguments[0], items):
        return tuple(map(float, items)) if arguments[0] is float else tuple(items)
    kinds = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(items):
        raise Invalid(f"expected {len(kinds)} values at {where}, found {len(items)}")
    return tuple(
        parse(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(kinds, items))
    )


def _all_fit(kind: Any, items: list[Any]) -> bool:
    """Return whether a list of a plain type needs no conversion one by one; scores have a million items."""
    found = set(map(type, items))
    if kind is float:
        return found <= {int, float} and all(map(LARGEST.__ge__, map(abs, items)))
    return kind is str and found <= {str}


def _expect(kind: type, words: str, value: Any, where: str) -> Any:
    if not isinstance(value, kind):
        raise Invalid(f"expected {words} at {where or 'the top level'}, found {_found(value)}")
    return value


def _number(value: Any, where: str, *, finite: bool = True) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Invalid(f"expected a number at {where}, found {_found(value)}")
    if not finite and isinstance(value, float) and not math.isfinite(value):
        return value
    if not abs(value) <= LARGEST:
        raise Invalid(f"expected a finite number at {where}, found {_found(value)}")
    return float(value)


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise Invalid(f"expected a 64-bit integer at {where}, found {_found(value)}")
    return value


def _plain(value: Any, where: str) -> Any:
    """Return JSON data unchanged after checking its numbers."""
    if isinstance(value, dict):
        return {name: _plain(item, _join(where, name)) for name, item in value.items()}
    if isinstance(value, list):
        if _all_fit(str, value) or _all_fit(float, value):
            return value
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _number(value, where)
    return value


def check_depth(value: Any, deepest: int = _DEEPEST) -> None:
    """Check the nesting of lists and objects, without recursion.

    Args:
        value: JSON data.
        deepest: largest number of levels.

    Raises:
        RecursionError: there are more levels.
    """
    level = [value]
    for _ in range(deepest):
        inner = [each for each in level if isinstance(each, _CONTAINERS)]
        if not inner:
            return
        content = [each.values() if isinstance(each, dict) else each for each in inner]
        level = [item for each in content if not _LEAVES.issuperset(map(type, each)) for item in each]
    raise RecursionError


def _join(where: str, name: str) -> str:
    return f"{where}.{_short(name)}" if where else _short(name)


def _short(name: str) -> str:
    return _cut(name if name.isidentifier() and name.isascii() else repr(name))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _found(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object of {len(value)} keys"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        return f"text {_cut(repr(value))}"
    if isinstance(value, int) and abs(value) >= 2**63:
        return "a number that is too large"
    return json.dumps(value)
