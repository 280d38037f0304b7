"""Check configured values against type annotations; only clear mismatches are refused."""

import collections.abc
import inspect
import types
import typing
from typing import Any

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
    if package in _OTHERS or package == "typing" or getattr(hint, "_is_protocol", False):
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
