"""Trees of arrays as flat dictionaries by path: one spelling for digests, checkpoints and masks."""

import hashlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import numpy as np


def is_array(leaf: Any) -> bool:
    """Return whether a leaf is an array, or the shape struct of one."""
    return eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)


def flatten(tree: Any) -> dict[str, Any]:
    """Return every array of a tree by its path, such as "towers/video/encoder/norm/scale".

    Args:
        tree: any pytree; leaves that are no arrays (and no shape structs) are left out.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in leaves
        if is_array(leaf)
    }


def replace(tree: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the tree with the arrays named in the mapping put in place of its own.

    Args:
        tree: any pytree.
        arrays: path -> array; a path that the tree lacks is a defect of ours.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    assert set(arrays) <= set(paths), sorted(set(arrays) - set(paths))
    replaced = [arrays.get(path, leaf) for path, (_, leaf) in zip(paths, leaves)]
    return jax.tree_util.tree_unflatten(structure, replaced)


def count(tree: Any) -> int:
    """Return how many numbers the arrays of a tree hold."""
    return sum(int(np.prod(leaf.shape)) for leaf in flatten(tree).values())


def digest(arrays: Mapping[str, Any]) -> str:
    """Return the sha256 of named arrays: names, types, shapes and bytes, in the order of the names.

    Args:
        arrays: path -> array.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        value = np.ascontiguousarray(np.asarray(arrays[name]))
        total.update(f"{name} {value.dtype.name} {value.shape}\n".encode())
        total.update(value.tobytes())
    return total.hexdigest()
