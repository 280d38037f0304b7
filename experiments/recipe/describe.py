"""Describe configurations as plain data, hash them to an address and list their differences."""

import dataclasses
import enum
import functools
import hashlib
import inspect
import json
import math
from typing import Any

from prismlab.core import errors
from prismlab.experiments.gin_strict import binding_table, check_types

Tree = Any  # JSON data: dict with str keys, list, str, int, float, bool or None

_ABSENT = object()

# Fields that cannot change a number: how a stage is called, runs and is watched. They are left
# out of addresses, so they may be changed at any time, also while a work directory is half done.
WITHOUT_EFFECT: dict[str, tuple[str, ...]] = {
    "prismlab.experiments.recipe.recipe.Stage": ("name", "run", "monitors", "reserve"),
    "prismlab.experiments.recipe.recipe.Experiment": ("reserve",),
    "prismlab.experiments.recipe.recipe.Ablation": ("co_train",),
    "prismlab.data.loader.loader.Line": (
        "threads", "workers", "prefetch", "cache_megabytes", "budget_megabytes",
    ),
    "prismlab.data.loader.source.Rendered": ("records_per_shard", "workers", "frames_megabytes"),
    "prismlab.data.loader.source.Folder": ("records_per_shard",),
    "prismlab.experiments.tasks.features.keeping.Keeping": (
        "mode", "memory_megabytes", "shard_megabytes", "verify_rows", "retry_failed",
    ),
}  # fmt: skip


def describe(value: Any, path: str = "") -> Tree:
    """Convert a configured value to plain data.

    Args:
        value: scalar, container, class, function, partial, enum member, frozen dataclass or eqx.Module.
        path: path of the value, for error messages.

    Returns:
        JSON data. An instance is {"class": name, field: ...}; a partial is {"partial of": name,
        argument: ...} with the defaults of its signature, without what code passes later (key, dims).

    Raises:
        UserError: a value cannot be described; names its path.
    """
    if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, float):
        # JSON cannot represent infinity or NaN; numpy's subclasses of float become plain floats.
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, enum.Enum):
        return f"{_name(type(value), path)}.{value.name}"
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return [describe(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if type(value) is dict:
        return _dictionary(value, path)
    if isinstance(value, functools.partial):
        given = {name: describe(item, _join(path, name)) for name, item in arguments(value, path).items()}
        return {"partial of": _name(value.func, path), **given}
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and _frozen(value):
        hints = check_types.annotations(type(value))
        fields = {
            each.name: _as_annotated(getattr(value, each.name), hints.get(each.name))
            for each in dataclasses.fields(value)
        }
        return {
            "class": _name(type(value), path),
            **{name: describe(item, _join(path, name)) for name, item in fields.items()},
        }
    return _name(value, path)


def _dictionary(value: dict, path: str) -> Tree:
    wrong = [key for key in value if not isinstance(key, str)]
    if wrong:
        raise errors.UserError(f"{path or 'value'}: expected str keys in a dictionary, got {wrong[0]!r}")
    return {key: describe(value[key], _join(path, key)) for key in sorted(value)}


def addressed(tree: Tree) -> Tree:
    """Return a described configuration without the fields that cannot change a number."""
    if isinstance(tree, list):
        return [addressed(each) for each in tree]
    if isinstance(tree, dict):
        skipped = WITHOUT_EFFECT.get(str(tree.get("class")), ())
        return {name: addressed(each) for name, each in tree.items() if name not in skipped}
    return tree


def without_effect(kind: type) -> tuple[str, ...]:
    """Return the fields of a class that cannot change a number."""
    return WITHOUT_EFFECT.get(f"{kind.__module__}.{kind.__qualname__}", ())


def arguments(value: functools.partial, path: str = "") -> dict[str, Any]:
    """Return the arguments of a partial and the defaults of its signature, without what code passes later.

    Args:
        value: the partial.
        path: path of the value, for the message.

    Raises:
        UserError: the arguments do not match the signature.
    """
    signature = inspect.signature(value.func)
    try:
        bound = signature.bind_partial(*value.args, **value.keywords)
    except TypeError as error:
        raise errors.UserError(
            f"{path or 'value'}: {_name(value.func, path)} cannot be bound: {error}"
        ) from None
    given = dict(bound.arguments)
    for name, parameter in signature.parameters.items():
        if (
            name not in given
            and parameter.default is not parameter.empty
            and name not in binding_table.CODE_SUPPLIED
        ):
            given[name] = parameter.default
    hints = check_types.annotations(value.func)
    return {name: _as_annotated(item, hints.get(name)) for name, item in sorted(given.items())}


def _as_annotated(value: Any, hint: Any) -> Any:
    """Return a value as its annotation has it, so that 1 and 1.0 of a float are one configuration."""
    try:
        return value if hint is None else check_types.fit(value, hint)
    except check_types.Mismatch:
        return value


def _name(value: Any, path: str) -> str:
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    owner = getattr(value, "__self__", None)
    plain = owner is None or inspect.isclass(owner) or inspect.ismodule(owner)
    if not (callable(value) and isinstance(name, str) and module and plain) or "<" in name:
        raise errors.UserError(
            f"{path or 'value'}: {type(value).__module__}.{type(value).__qualname__} cannot be "
            f"described; use a frozen dataclass or a named function"
        )
    if inspect.isclass(owner):  # a class method: of this class, wherever it was defined
        return f"{owner.__module__}.{owner.__qualname__}.{value.__name__}"
    return f"{module}.{name}"


def _frozen(value: Any) -> bool:
    # A mutable value has no stable address. Frozen dataclasses and Equinox modules both override
    # __setattr__.
    return type(value).__setattr__ is not object.__setattr__


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def address(tree: Tree) -> str:
    """Return the first 16 hexadecimal digits of the sha256 of a tree's canonical JSON."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def difference(tree_a: Tree, tree_b: Tree) -> list[str]:
    """List the differences between two trees.

    Args:
        tree_a: the older one.
        tree_b: the newer one.

    Returns:
        One line per differing path, such as `stages[1].steps: 400 -> 300`; empty for equal trees.
    """
    return _difference(tree_a, tree_b, "")


def _difference(a: Tree, b: Tree, path: str) -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict) and _kind(a) == _kind(b):
        lines = []
        for name in [*a, *(each for each in b if each not in a)]:
            lines += _difference(a.get(name, _ABSENT), b.get(name, _ABSENT), _join(path, name))
        return lines
    if isinstance(a, list) and isinstance(b, list):
        lines = []
        for index in range(max(len(a), len(b))):
            item_a, item_b = (each[index] if index < len(each) else _ABSENT for each in (a, b))
            lines += _difference(item_a, item_b, f"{path}[{index}]")
        return lines
    # True == 1 == 1.0 in Python, but they are different configurations.
    if type(a) is type(b) and a == b:
        return []
    return [f"{path or 'value'}: {_short(a)} -> {_short(b)}"]


def _kind(tree: dict) -> tuple:
    return tree.get("class"), tree.get("partial of")


def _short(tree: Tree) -> str:
    if tree is _ABSENT:
        return "absent"
    if isinstance(tree, dict) and any(_kind(tree)):
        return " ".join(str(each) for each in _kind(tree) if each)
    written = json.dumps(tree)
    return written if len(written) <= 80 else written[:77] + "..."
