"""Pytrees of arrays as flat dictionaries keyed by path, for digests, checkpoints and masks."""

import hashlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np


def is_array(leaf: Any) -> bool:
    """Return True if a leaf is an array or a jax.ShapeDtypeStruct."""
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def flatten(tree: Any) -> dict[str, Any]:
    """Flatten a tree to a dict of its arrays by path, such as "towers/video/norm/scale".

    Args:
        tree: any pytree; leaves that are neither arrays nor shape structs are skipped.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
        if is_array(leaf)
    }


def replace(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """Return a copy of the tree with some arrays replaced, selected by path.

    Args:
        tree: any pytree.
        arrays: path -> array; every path must exist in the tree.

    Raises:
        KeyError: a path is not in the tree.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    unknown = sorted(set(arrays) - set(paths))
    if unknown:
        raise KeyError(f"the tree has no array at {unknown}")
    replaced = [arrays.get(path, leaf) for path, (_, leaf) in zip(paths, leaves)]
    return jax.tree_util.tree_unflatten(structure, replaced)


def count(tree: Any) -> int:
    """Return the total number of array elements in a tree."""
    return sum(int(np.prod(leaf.shape)) for leaf in flatten(tree).values())


def digest(arrays: Mapping[str, Any]) -> str:
    """Return the sha256 of named arrays: names, types, shapes and bytes, sorted by name.

    Args:
        arrays: path -> array.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(np.asarray(arrays[name]))
        total.update(f"{name} {value.dtype.name} {value.shape}\n".encode())
        total.update(value.tobytes())
    return total.hexdigest()
