"""Which part of the state lies on which device: one table, and a rule for all that it does not name.

The table speaks of the tensor axis "model" only. Every leaf, named or not, is then split over "data"
along its largest axis that divides evenly, unless it is small: so a new module is right without a line
here. Optimizer memory lies where its parameter lies. A leaf's shape decides; no device is needed, so
the same rules serve a running mesh and one that is only compiled for.
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

# End of a path, axes of the leaf's last dimensions, and what the split dimension counts.
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
    """How parameters are split.

    Args:
        table: (end of a path, axes of the last dimensions, what is split); the first that fits counts. A
            name of the path may be a pattern such as "*".
        smallest: leaves with fewer numbers are not split over "data"; gathering them costs more than
            keeping them.
        layers: names under which axis 0 counts layers; it is never split, since a scan walks along it.
    """

    table: tuple[tuple[str, Axes, str], ...] = TABLE
    smallest: int = 1 << 16
    layers: tuple[str, ...] = ("blocks",)

    def __post_init__(self) -> None:
        for pattern, axes, _ in self.table:
            unknown = [axis for axis in axes if axis is not None and axis not in meshes.AXES]
            if unknown:
                raise ValueError(
                    f"sharding.Rules.table: {pattern!r} names {unknown[0]!r}; axes are {meshes.AXES}"
                )

    def row(self, path: str) -> tuple[str, Axes, str] | None:
        """Return the line of the table that a path falls under."""
        parts = path.split("/")
        for row in self.table:
            pattern = row[0].split("/")
            if len(pattern) <= len(parts) and all(map(fnmatch.fnmatchcase, parts[-len(pattern) :], pattern)):
                return row
        return None

    def spec(self, path: str, shape: tuple[int, ...], sizes: dict[str, int]) -> PartitionSpec:
        """Return how a parameter is split.

        Args:
            path: its path, such as "learner/towers/video/encoder/norm/scale".
            shape: its shape.
            sizes: axis of the mesh -> devices along it.
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
    # One spelling for one meaning: a trailing None more would make jit compile anew.
    while axes and axes[-1] is None:
        axes = axes[:-1]
    return PartitionSpec(*axes)


def specs(tree: Any, sizes: dict[str, int], rules: Rules) -> dict[str, PartitionSpec]:
    """Return how each array of a tree is split, by path.

    Args:
        tree: a state, a learner, towers or any other tree; arrays or shape structs.
        sizes: axis of the mesh -> devices along it.
        rules: the rules.

    Raises:
        UserError: heads or hidden widths that "model" does not divide, one line each.
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
    """Return the parameter whose memory a leaf of the optimizer is, or the leaf itself."""
    parts = path.split("/")
    if parts[0] == "opt_state":
        for start in range(1, len(parts)):
            owner = "/".join(["learner", *parts[start:]])
            if owner in arrays:
                return owner
    return path


def _follow(shape: tuple[int, ...], owner: tuple[int, ...], spec: PartitionSpec) -> PartitionSpec:
    """Return the split of optimizer memory: its parameter's, less the axis that a factored moment lacks."""
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
        mesh: devices of this run, or of a topology that is compiled for.
        rules: the rules; the default ones if None.

    Returns:
        The tree with a NamedSharding for each array, in the structure of eqx.filter(tree, eqx.is_array).

    Raises:
        UserError: heads or hidden widths that the axis "model" does not divide.
    """
    found = specs(tree, dict(mesh.shape), rules or Rules())

    def one(path: tuple, leaf: Any) -> NamedSharding | None:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return NamedSharding(mesh, found[name]) if name in found else None

    return jax.tree_util.tree_map_with_path(one, tree)


def abstract(tree: Any, mesh: Mesh, rules: Rules | None = None) -> Any:
    """Return the arrays of a tree as shape structs that say where they lie.

    Args:
        tree: arrays or shape structs; leaves of another kind become None.
        mesh: see `of`.
        rules: see `of`.
    """
    struct = lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return jax.tree.map(struct, eqx.filter(tree, trees.is_array), of(tree, mesh, rules))
