"""Sharding rules for parameters and optimizer state: tensor parallelism by table, FSDP by default.

The table covers only the tensor-parallel axis "model". Every leaf, listed or not, is also split over "data"
along its largest evenly divisible axis, unless it is small; new modules therefore need no entry. Optimizer
state is sharded like its parameter. The rules depend only on shapes, so they also apply to a mesh that is
only compiled for, without devices.
"""

import dataclasses
import fnmatch
import math
from typing import Any

import equinox as eqx
import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from prismlab.core import errors, trees
from prismlab.core.parallel import mesh as meshes

Axes = tuple[str | None, ...]

# Path suffix, mesh axes of the last dimensions of the leaf, and the name of the split dimension.
TABLE: tuple[tuple[str, Axes, str], ...] = (
    ("query/w", (None, "model", None), "heads"),  # [d, h, k]
    ("key/w", (None, "model", None), "heads"),
    ("value/w", (None, "model", None), "heads"),
    ("query/b", ("model", None), "heads"),  # [h, k]
    ("key/b", ("model", None), "heads"),
    ("value/b", ("model", None), "heads"),
    ("post/w", (None, "model", None), "heads"),  # [d, h, k]
    ("feed/inner/kernel", (None, "model"), "hidden width"),  # [i, o]
    ("feed/inner/bias", ("model",), "hidden width"),
    ("feed/outer/kernel", ("model", None), "hidden width"),
)


@dataclasses.dataclass(frozen=True)
class Rules:
    """Sharding rules for parameters.

    Args:
        table: (path suffix, mesh axes of the last dimensions, name of the split dimension); the first match
            applies. Path components may be patterns such as "*".
        smallest: leaves with fewer elements are not split over "data"; gathering them costs more than
            replicating them.
        layers: path components under which axis 0 is the layer axis; it is never split (lax.scan).
    """

    table: tuple[tuple[str, Axes, str], ...] = TABLE
    smallest: int = 1 << 16
    layers: tuple[str, ...] = ("blocks",)

    def __post_init__(self) -> None:
        for pattern, axes, _ in self.table:
            unknown = [axis for axis in axes if axis is not None and axis not in meshes.AXES]
            if unknown:
                raise errors.UserError(
                    f"sharding.Rules.table: {pattern!r} uses the axis {unknown[0]!r}; axes are {meshes.AXES}"
                )

    def row(self, path: str) -> tuple[str, Axes, str] | None:
        """Return the first table row that matches a path, or None."""
        parts = path.split("/")
        for row in self.table:
            pattern = row[0].split("/")
            if len(pattern) <= len(parts) and all(map(fnmatch.fnmatchcase, parts[-len(pattern) :], pattern)):
                return row
        return None

    def spec(self, path: str, shape: tuple[int, ...], sizes: dict[str, int]) -> PartitionSpec:
        """Return the PartitionSpec of a parameter.

        Args:
            path: its path, such as "learner/towers/video/encoder/norm/scale".
            shape: its shape.
            sizes: mesh axis -> number of devices along it.
        """
        row = self.row(path)
        axes: list[str | None] = [None] * len(shape)
        if row is not None and len(row[1]) <= len(shape):
            axes[len(shape) - len(row[1]) :] = row[1]
        data = sizes.get("data", 1)
        if data > 1 and "data" not in axes and math.prod(shape) >= self.smallest:
            first = 1 if set(self.layers) & set(path.split("/")) else 0
            free = [i for i in range(first, len(shape)) if axes[i] is None and shape[i] % data == 0]
            if free:
                axes[max(free, key=lambda i: shape[i])] = "data"
        return _spec([axis if axis is not None and sizes.get(axis, 1) > 1 else None for axis in axes])


def _spec(axes: list[str | None]) -> PartitionSpec:
    # Normalize: a spec that differs only in trailing Nones would cause a recompilation.
    while axes and axes[-1] is None:
        axes = axes[:-1]
    return PartitionSpec(*axes)


def specs(tree: Any, sizes: dict[str, int], rules: Rules) -> dict[str, PartitionSpec]:
    """Return the PartitionSpec of each array of a tree, by path.

    Args:
        tree: a state, a learner, towers or any other tree; arrays or shape structs.
        sizes: mesh axis -> number of devices along it.
        rules: the rules.

    Raises:
        UserError: heads or hidden widths not divisible by the axis "model", one line each.
    """
    arrays = trees.flatten(tree)
    found: dict[str, PartitionSpec] = {}
    owners = {path: _owner(path, arrays) for path in arrays}
    for path, leaf in arrays.items():
        if owners[path] == path:
            found[path] = rules.spec(path, leaf.shape, sizes)
    _check(arrays, owners, found, sizes, rules)
    for path, leaf in arrays.items():
        if path not in found:
            owner = owners[path]
            found[path] = _follow(leaf.shape, arrays[owner].shape, found[owner])
    return found


def _owner(path: str, arrays: dict[str, Any]) -> str:
    """Return the path of the parameter that an optimizer leaf belongs to, or the path itself."""
    parts = path.split("/")
    if parts[0] == "opt_state":
        for start in range(1, len(parts)):
            owner = "/".join(["learner", *parts[start:]])
            if owner in arrays:
                return owner
    return path


def _follow(shape: tuple[int, ...], owner: tuple[int, ...], spec: PartitionSpec) -> PartitionSpec:
    """Return the spec of an optimizer leaf: its parameter's, minus the axis that a factored moment lacks."""
    axes = [*spec, *[None] * (len(owner) - len(spec))]
    if shape == owner:
        return spec
    for lost in range(len(owner)):
        if (*owner[:lost], *owner[lost + 1 :]) == shape:
            return _spec([*axes[:lost], *axes[lost + 1 :]])
    return PartitionSpec()


def _check(
    arrays: dict[str, Any],
    owners: dict[str, str],
    found: dict[str, PartitionSpec],
    sizes: dict[str, int],
    rules: Rules,
) -> None:
    faults: dict[tuple[str, str, int], str] = {}
    for path, spec in found.items():
        for axis, size in zip(spec, arrays[path].shape):
            if axis is not None and size % sizes[axis]:
                row = rules.row(path)
                faults.setdefault((axis, row[2] if row else "size", size), path)
    if faults:
        total = math.prod(sizes.values())
        raise errors.UserError(
            "\n".join(
                f"{what} {size} of {path} cannot be split over mesh.Layout.{axis}={sizes[axis]}; use "
                f"{axis}={' or '.join(map(str, meshes.nearest(sizes[axis], math.gcd(size, total))))}"
                for (axis, what, size), path in faults.items()
            )
        )


def of(tree: Any, mesh: Mesh, rules: Rules | None = None) -> Any:
    """Return the sharding of every array of a tree.

    Args:
        tree: a state, a learner, towers; arrays or shape structs (leaves of another kind become None).
        mesh: device mesh of this run, or of a topology to compile for.
        rules: the rules; the defaults if None.

    Returns:
        The tree with a NamedSharding for each array, in the structure of eqx.filter(tree, eqx.is_array).

    Raises:
        UserError: heads or hidden widths not divisible by the axis "model".
    """
    found = specs(tree, dict(mesh.shape), rules or Rules())

    def one(path: tuple[Any, ...], leaf: Any) -> NamedSharding | None:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return NamedSharding(mesh, found[name]) if name in found else None

    return jax.tree_util.tree_map_with_path(one, tree)


def abstract(tree: Any, mesh: Mesh, rules: Rules | None = None) -> Any:
    """Return the arrays of a tree as shape structs with shardings.

    Args:
        tree: arrays or shape structs; leaves of another kind become None.
        mesh: see `of`.
        rules: see `of`.
    """
    struct = lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return jax.tree.map(struct, eqx.filter(tree, trees.is_array), of(tree, mesh, rules))
