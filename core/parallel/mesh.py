"""Devices as a mesh of three axes, how a batch lies on it, and where activations are held.

    replica   copies of the state; a batch is split over them (slices of a pod, data centre network)
    data      a batch is split over it, and large parameters as well (FSDP; fast network)
    model     heads and hidden widths are split over it (tensor parallelism; fastest network)

Arrays are global everywhere: no function of this project names an axis of the mesh but those here and in
`prismlab.core.parallel.sharding`.
"""

import contextlib
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from prismlab.core import errors

AXES = ("replica", "data", "model")
BATCH_AXES = ("replica", "data")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How many devices each axis of the mesh has.

    Args:
        replica: copies of the state, at least 1; a multiple of the slices where a run has several.
        data: devices over which a replica's batch and its large parameters are split.
        model: devices over which heads and hidden widths are split, at least 1.

    One of the three may be -1: what is left.
    """

    replica: int = 1
    data: int = -1
    model: int = 1

    def __post_init__(self) -> None:
        wrong = [axis for axis in AXES if getattr(self, axis) < 1 and getattr(self, axis) != -1]
        if wrong:
            raise ValueError(
                f"mesh.Layout.{wrong[0]} must be at least 1, or -1, got {getattr(self, wrong[0])}"
            )
        if [getattr(self, axis) for axis in AXES].count(-1) > 1:
            raise ValueError("only one axis of mesh.Layout may be -1, for what is left")

    def sizes(self, devices: int) -> tuple[int, int, int]:
        """Return the size of each axis on so many devices.

        Args:
            devices: how many there are.

        Raises:
            UserError: the axes do not divide the devices; with the nearest sizes that do.
        """
        sizes = {axis: getattr(self, axis) for axis in AXES}
        given = {axis: size for axis, size in sizes.items() if size != -1}
        product = math.prod(given.values())
        if devices % product or (len(given) == len(AXES) and product != devices):
            raise errors.UserError(self._advice(given, product, devices))
        return tuple(devices // product if sizes[axis] == -1 else sizes[axis] for axis in AXES)  # type: ignore[return-value]

    def _advice(self, given: dict[str, int], product: int, devices: int) -> str:
        told = " x ".join(f"{axis}={size}" for axis, size in given.items())
        # The axis to change: one that alone can mend it, the largest of these.
        for axis, size in sorted(given.items(), key=lambda pair: -pair[1]):
            others = product // size
            if devices % others == 0:
                wanted = [devices // others] if len(given) == len(AXES) else nearest(size, devices // others)
                return (
                    f"mesh.Layout: {told} does not fit {devices} devices; "
                    f"use {axis}={' or '.join(map(str, wanted))}"
                )
        return f"mesh.Layout: {told} does not fit {devices} devices; use data=-1 and 1 for the others"

    def make(self, devices: Sequence[Any] | None = None) -> Mesh:
        """Return the mesh.

        Args:
            devices: devices of this run or of a topology to compile for; all devices if None.

        Raises:
            UserError: see `sizes`; or replica is no multiple of the slices.

        Axis types are Auto, because gathers of masks and shuffles raise under explicit ones.
        """
        devices = list(jax.devices() if devices is None else devices)
        return Mesh(
            _arranged(self.sizes(len(devices)), devices), AXES, axis_types=(AxisType.Auto,) * len(AXES)
        )


def _arranged(sizes: tuple[int, int, int], devices: list[Any]) -> np.ndarray:
    """Lay devices on the axes so that the last axes get the shortest ways."""
    if devices[0].platform != "tpu" or len(devices) == 1:
        return np.asarray(devices).reshape(sizes)
    from jax.experimental import mesh_utils

    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    replica, *rest = sizes
    if replica % slices:
        raise errors.UserError(
            f"mesh.Layout.replica={replica} is no multiple of the {slices} slices of this run; "
            f"use replica={' or '.join(str(n) for n in (slices, 2 * slices))}"
        )
    return mesh_utils.create_hybrid_device_mesh(
        (replica // slices, *rest), (slices, 1, 1), devices, allow_split_physical_axes=True
    )


def nearest(size: int, total: int) -> list[int]:
    """Return the divisors of a total next to a size, below and above it.

    Args:
        size: what was wanted.
        total: what must be divided.
    """
    divisors = [n for n in range(1, total + 1) if total % n == 0]
    below, above = [n for n in divisors if n <= size], [n for n in divisors if n > size]
    return below[-1:] + above[:1]


def make() -> Mesh:
    """Return the mesh of all devices in the default layout."""
    return Layout().make()


def batch_axes(mesh: Mesh | jax.sharding.AbstractMesh) -> tuple[str, ...]:
    """Return the axes over which a batch is split."""
    return tuple(axis for axis in BATCH_AXES if axis in mesh.axis_names)


def batch_shards(mesh: Mesh | jax.sharding.AbstractMesh) -> int:
    """Return into how many parts a batch is split."""
    return math.prod(mesh.shape[axis] for axis in batch_axes(mesh))


def split(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: its first axis over all data axes."""
    return NamedSharding(mesh, PartitionSpec(batch_axes(mesh)))


def whole(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds a full copy of."""
    return NamedSharding(mesh, PartitionSpec())


def check_batch(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Refuse a global batch that the devices do not divide.

    Args:
        batch_size: global batch size.
        mesh: the devices.
        accumulate: parts in which the batch is encoded, each of them split over the devices.

    Raises:
        UserError: with the nearest batch sizes that fit.
    """
    shards = batch_shards(mesh)
    whole = shards * accumulate
    if batch_size < 1 or batch_size % whole:
        below = batch_size // whole * whole
        fits = [str(size) for size in (below, below + whole) if size > 0] or [str(whole)]
        what = "devices" if shards == mesh.devices.size else "groups of devices (replica x data)"
        parts = f" in {accumulate} parts" if accumulate > 1 else ""
        raise errors.UserError(
            f"recipe.Stage.batch_size={batch_size} cannot be split over {shards} {what}{parts}; "
            f"use {' or '.join(fits)}"
        )


def within(mesh: Mesh | None) -> contextlib.AbstractContextManager:
    """Return the context in which a step is traced, so that `held` knows the mesh.

    Args:
        mesh: the mesh; None or one device: nothing is held.
    """
    if mesh is None or mesh.size == 1:
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def held(x: Array) -> Array:
    """Return an activation whose first axis, examples or rows of them, stays split over the data axes.

    Outside of a mesh, or where the rows cannot be split evenly, it is returned as it came. Without
    this the compiler may prefer to gather a batch rather than a parameter.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1 or x.shape[0] % batch_shards(mesh):
        return x
    return jax.lax.with_sharding_constraint(
        x, PartitionSpec(batch_axes(mesh), *[PartitionSpec.UNCONSTRAINED] * (x.ndim - 1))
    )


def everywhere(x: Array) -> Array:
    """Return an array that each device holds in full from here on, such as a table that rows are taken from.

    A gather out of a split table would give rows split along their width, which have to be laid anew.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec())
