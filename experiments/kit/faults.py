"""What a contract says of a component that breaks it."""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from prismlab.core import errors


class Fault(AssertionError):
    """A component breaks its contract; the message says what is wrong, what it means and what to change."""


def require(holds: Any, message: str) -> None:
    """Raise a Fault unless a condition holds.

    Args:
        holds: the condition.
        message: what is wrong, what it means, and what to change.
    """
    if not holds:
        raise Fault(message)


def require_close(
    found: Mapping[str, Any], wanted: Mapping[str, Any], message: str, tolerance: float = 1e-5
) -> None:
    """Raise a Fault that names the first array that differs, with both values.

    Args:
        found: name -> array.
        wanted: the same names -> array.
        message: what a difference means, and what to change.
        tolerance: largest absolute difference; relative to values above 1.
    """
    require(found.keys() == wanted.keys(), f"{message} (names {sorted(found)} against {sorted(wanted)})")
    for name in wanted:
        one, two = np.asarray(found[name], np.float64), np.asarray(wanted[name], np.float64)
        close = one.shape == two.shape and np.allclose(
            one, two, rtol=tolerance, atol=tolerance, equal_nan=True
        )
        if not close:
            raise Fault(f"{message} ({name}: {_short(two)} became {_short(one)})")


def defined_in(module: ModuleType, what: str, is_one: Any) -> tuple[type, ...]:
    """Return the classes that a module defines and that are components of a kind.

    Args:
        module: a module, not a package.
        what: the kind and what makes a class one of it, for the message.
        is_one: class -> bool.

    Raises:
        UserError: it defines none.
    """
    found = tuple(
        each
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == module.__name__ and is_one(each)
    )
    if not found:
        raise errors.UserError(
            f"{module.__name__} holds no component to test: expected {what}; write one there, or name "
            "another module in the test"
        )
    return found


def is_frozen(value: Any) -> bool:
    """Return whether a value is an instance of a frozen dataclass."""
    settings: Any = getattr(type(value), "__dataclass_params__", None)
    return settings is not None and bool(settings.frozen)


def given(contract: type, attribute: str) -> Sequence[Any]:
    """Return what a contract is to test.

    Args:
        contract: a subclass of a contract, in a test file.
        attribute: its attribute that lists the components.

    Raises:
        UserError: it lists none.
    """
    listed: Sequence[Any] = getattr(contract, attribute)
    if not listed:
        raise errors.UserError(
            f"{contract.__name__} tests nothing: its `{attribute}` is empty; list your components there"
        )
    return listed


def _short(array: np.ndarray) -> str:
    return f"{float(array):.6g}" if array.ndim == 0 else np.array2string(array, precision=4, threshold=6)
