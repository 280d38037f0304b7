"""The checkers of annotations in tests: shapes and dtypes by jaxtyping, all other types by beartype."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import beartype
import jaxtyping

# In tests of `data`: an int is a float, as for mypy.
numbers = beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))
_complete = jaxtyping.jaxtyped


def jaxtyped(*, typechecker: Callable) -> Callable:
    """Return the decorator of `jaxtyping.jaxtyped`, without its cost where no annotation names an axis.

    jaxtyping opens a scope of axis names at each call, which takes ten times as long as checking the types
    does; functions without arrays need none.
    """

    def decorate(checked: Any) -> Any:
        if isinstance(checked, (classmethod, staticmethod)):
            return type(checked)(decorate(checked.__func__))
        if inspect.isfunction(checked) and not _has_arrays(checked):
            return typechecker(checked)
        return _complete(checked, typechecker=typechecker)

    return decorate


def _has_arrays(function: Callable) -> bool:
    return any(map(_is_of_arrays, function.__annotations__.values()))


def _is_of_arrays(annotation: Any) -> bool:
    """Return whether an annotation holds one of jaxtyping; one that is written as a string may."""
    if isinstance(annotation, (str, typing.ForwardRef)):
        return True
    if inspect.isclass(annotation) and annotation.__module__.partition(".")[0] == "jaxtyping":
        return True
    inner = typing.get_args(annotation)
    return any(_is_of_arrays(each) for part in inner for each in (part if isinstance(part, list) else [part]))
