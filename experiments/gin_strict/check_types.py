"""Check configured values against type annotations; only clear mismatches are refused.

One check for every way in: bindings and the command line (`fit`, by `resolve`), rows of an ablation and
Python (`fitted`, by `recipe`).
"""

import collections.abc
import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from prismlab.core import errors

# Types of these packages have their own conversion rules (dtypes, array-likes): the constructor checks them.
_OTHERS = ("jax", "jaxlib", "jaxtyping", "numpy")


class Mismatch(Exception):
    """A value does not match its annotation; the message describes the value."""


def fit(value: Any, hint: Any) -> Any:
    """Check a value against an annotation.

    Args:
        value: resolved value.
        hint: annotation; anything this function does not know is accepted.

    Returns:
        The value; an int for a float annotation becomes a float, so that 1 and 1.0 are the same experiment.

    Raises:
        Mismatch: the value does not match.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is None or hint is type(None):
        return _want(value, value is None)
    if origin is typing.Annotated:
        return fit(value, inner[0])
    if origin in (typing.Union, types.UnionType):
        return _union(value, inner)
    if origin is typing.Literal:
        return _want(value, any(value == each and type(value) is type(each) for each in inner))
    if hint is float:
        _want(value, isinstance(value, (int, float)) and not isinstance(value, bool))
        return float(value)
    if hint is int:
        return _want(value, isinstance(value, int) and not isinstance(value, bool))
    if hint in (str, bool):
        return _want(value, isinstance(value, hint))
    kind = origin or hint
    if kind is tuple:
        return _tuple(value, inner)
    if kind in (list, collections.abc.Sequence):
        _want(value, isinstance(value, list if kind is list else (list, tuple)))
        if not inner or type(value) not in (list, tuple):
            return value
        return type(value)(fit(item, inner[0]) for item in value)
    if kind in (dict, collections.abc.Mapping):
        _want(value, isinstance(value, dict))
        of_key, of_item = inner or (Any, Any)
        return {fit(key, of_key): fit(item, of_item) for key, item in value.items()}
    if kind is collections.abc.Callable:
        return _want(value, callable(value))
    return _instance(value, hint)


def annotations(call: Callable) -> dict[str, Any]:
    """Return the resolved annotations of a class's or function's parameters; empty if Python cannot."""
    try:
        return _hints(call)
    except TypeError:  # a callable that cannot be hashed
        return {}


@functools.cache
def _hints(call: Callable) -> dict[str, Any]:
    described = call.__init__ if inspect.isclass(call) else call  # type: ignore[misc]
    try:
        return typing.get_type_hints(described)
    except Exception:  # a forward reference to an optional import: the class has to check
        return {}


def checked(value: Any, hint: Any, where: str) -> Any:
    """Return what `fit` returns.

    Args:
        value: the value.
        hint: annotation.
        where: the value's place, for the message.

    Raises:
        UserError: the value does not match.
    """
    try:
        return fit(value, hint)
    except Mismatch as mismatch:
        raise errors.UserError(f"{where}: expected {words(hint)}, got {mismatch}") from None


def fitted(value: Any, hint: Any, where: str) -> Any:
    """Check a value and everything in it: fields of frozen dataclasses, arguments of partials, containers.

    Fields that keep their default are not checked.

    Args:
        value: the value.
        hint: annotation; Any if there is none.
        where: the value's place, for messages.

    Returns:
        The value itself if nothing had to be converted, otherwise a converted copy.

    Raises:
        UserError: a value does not match its annotation.
    """
    fit_one = checked(value, hint, where)
    value = value if _same(value, fit_one) else fit_one
    if isinstance(value, functools.partial):
        own = _parts(value.keywords, annotations(value.func), where)
        return functools.partial(value.func, *value.args, **own) if own is not value.keywords else value
    if type(value) is dict:
        return _parts(value, {}, where)
    if type(value) in (list, tuple):
        items = [fitted(item, Any, f"{where}[{index}]") for index, item in enumerate(value)]
        return value if all(map(_is, items, value)) else type(value)(items)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = changed_fields(value, where)
        return dataclasses.replace(value, **changed) if changed else value
    return value


def changed_fields(value: Any, where: str) -> dict[str, Any]:
    """Check the fields of a dataclass instance as `fitted` does; return those that were converted.

    Args:
        value: the instance.
        where: its place, for messages.

    Raises:
        UserError: a field does not match its annotation.
    """
    given = {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if field.init and getattr(value, field.name) is not field.default
    }
    fit_all = _parts(given, annotations(type(value)), where)
    return {name: item for name, item in fit_all.items() if item is not given[name]}


def _parts(given: dict[Any, Any], hints: dict[str, Any], where: str) -> dict[Any, Any]:
    join = lambda name: f"{where}.{name}" if where else str(name)
    found = {name: fitted(item, hints.get(name, Any), join(name)) for name, item in given.items()}
    return given if all(found[name] is given[name] for name in given) else found


def _is(a: Any, b: Any) -> bool:
    return a is b


def _same(a: Any, b: Any) -> bool:
    """Return whether two plain values are equal and of equal types, at every depth."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is b or (isinstance(a, (bool, int, float, str)) and a == b)


def _want(value: Any, good: bool) -> Any:
    if not good:
        raise Mismatch(came(value))
    return value


def _union(value: Any, members: tuple) -> Any:
    # Try the exact type first: int | float keeps an int.
    for member in sorted(members, key=lambda each: type(value) is not each):
        try:
            return fit(value, member)
        except Mismatch:
            pass
    raise Mismatch(came(value))


def _tuple(value: Any, inner: tuple) -> tuple:
    _want(value, isinstance(value, tuple))
    if not inner or type(value) is not tuple:
        return value
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(fit(item, inner[0]) for item in value)
    _want(value, len(value) == len(inner))
    return tuple(fit(item, each) for item, each in zip(value, inner))


def _instance(value: Any, hint: Any) -> Any:
    if not inspect.isclass(hint) or hint is object or hint is inspect.Parameter.empty:
        return value
    package = hint.__module__.split(".")[0]
    if package in _OTHERS or package == "typing":
        return value
    if getattr(hint, "_is_protocol", False) and not getattr(hint, "_is_runtime_protocol", False):
        return value
    return _want(value, isinstance(value, hint))


def came(value: Any) -> str:
    """Describe a value by its repr and type."""
    if hasattr(value, "func") and hasattr(value, "keywords"):
        return f"{words(value.func)} itself, not an instance (write it with ())"
    kind = type(value).__name__
    if value is None or isinstance(value, (bool, int, float, str, tuple, list, dict)):
        text = repr(value)
        return "None" if value is None else f"{text if len(text) < 60 else text[:57] + '...'} ({kind})"
    return f"an object of {kind}"


def words(hint: Any) -> str:
    """Return a short name of an annotation."""
    return (
        hint.__name__
        if inspect.isclass(hint) and not typing.get_args(hint)
        else str(hint).replace("typing.", "")
    )
