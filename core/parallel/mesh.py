"""Device mesh with three axes, batch sharding and activation sharding constraints.

    replica   data parallelism: replicas of the state; batches are split over it (pod slices, slow network)
    data      FSDP: batches and large parameters are split over it (fast network)
    model     tensor parallelism: heads and hidden widths are split over it (fastest network)

All arrays are global; only this module and `prismlab.core.parallel.sharding` refer to mesh axes by name.
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
    """Number of devices along each mesh axis.

    Args:
        replica: copies of the state, at least 1; a multiple of the number of slices if there are several.
        data: devices over which the batch and the large parameters of a replica are split.
        model: devices over which heads and hidden widths are split, at least 1.
        largest_data: with data=-1, data becomes the largest divisor of this number that also divides the
            remaining devices, and the others become replicas; None sets no limit. It keeps data a divisor of
            the model's width on any number of devices.

    At most one of the three may be -1, which stands for all remaining devices.
    """

    replica: int = 1
    data: int = -1
    model: int = 1
    largest_data: int | None = None

    def __post_init__(self) -> None:
        if self.largest_data is not None and (self.largest_data < 1 or self.data != -1):
            raise errors.UserError(
                f"mesh.Layout.largest_data must be at least 1 and needs data=-1; got {self.largest_data}"
                f" with data={self.data}"
            )
        wrong = [axis for axis in AXES if getattr(self, axis) < 1 and getattr(self, axis) != -1]
        if wrong:
            raise errors.UserError(
                f"mesh.Layout.{wrong[0]} must be at least 1, or -1, got {getattr(self, wrong[0])}"
            )
        if [getattr(self, axis) for axis in AXES].count(-1) > 1:
            raise errors.UserError("only one axis of mesh.Layout may be -1 (all remaining devices)")

    def sizes(self, devices: int) -> tuple[int, int, int]:
        """Return the size of each axis for a number of devices.

        Args:
            devices: number of devices.

        Raises:
            UserError: the axes do not divide the devices; the message suggests the nearest sizes that do.
        """
        sizes = {axis: getattr(self, axis) for axis in AXES}
        given = {axis: size for axis, size in sizes.items() if size != -1}
        product = math.prod(given.values())
        if devices % product or (len(given) == len(AXES) and product != devices):
            raise errors.UserError(self._advice(given, product, devices))
        replica, data, model = (devices // product if sizes[axis] == -1 else sizes[axis] for axis in AXES)
        if self.largest_data is not None:
            rest, data = data, math.gcd(data, self.largest_data)
            replica *= rest // data
        return replica, data, model

    def _advice(self, given: dict[str, int], product: int, devices: int) -> str:
        told = " x ".join(f"{axis}={size}" for axis, size in given.items())
        # Suggest changing the largest axis whose change alone is sufficient.
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
        """Return the device mesh.

        Args:
            devices: devices of this run or of a topology to compile for; all devices if None.

        Raises:
            UserError: see `sizes`; or replica is not a multiple of the number of slices.

        Axis types are Auto, because the gathers of masks and token shuffling fail with Explicit axes.
        """
        devices = list(jax.devices() if devices is None else devices)
        return Mesh(
            _arranged(self.sizes(len(devices)), devices), AXES, axis_types=(AxisType.Auto,) * len(AXES)
        )


def _arranged(sizes: tuple[int, int, int], devices: list[Any]) -> np.ndarray:
    """Arrange devices so that the last axes have the fastest connections."""
    if devices[0].platform != "tpu" or len(devices) == 1:
        return np.asarray(devices).reshape(sizes)
    from jax.experimental import mesh_utils

    slices = len({getattr(device, "slice_index", 0) for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    replica, *rest = sizes
    if replica % slices:
        raise errors.UserError(
            f"mesh.Layout.replica={replica} is not a multiple of the {slices} slices of this run; "
            f"use replica={' or '.join(str(n) for n in (slices, 2 * slices))}"
        )
    return mesh_utils.create_hybrid_device_mesh(
        (replica // slices, *rest), (slices, 1, 1), devices, allow_split_physical_axes=True
    )


def nearest(size: int, total: int) -> list[int]:
    """Return the nearest divisors of a total, below and above a size.

    Args:
        size: the requested size.
        total: the number to divide.
    """
    divisors = [n for n in range(1, total + 1) if total % n == 0]
    below, above = [n for n in divisors if n <= size], [n for n in divisors if n > size]
    return below[-1:] + above[:1]


def make() -> Mesh:
    """Return the mesh of all devices with the default Layout."""
    return Layout().make()


def batch_axes(mesh: Mesh | jax.sharding.AbstractMesh) -> tuple[str, ...]:
    """Return the mesh axes over which a batch is split."""
    return tuple(axis for axis in BATCH_AXES if axis in mesh.axis_names)


def batch_shards(mesh: Mesh | jax.sharding.AbstractMesh) -> int:
    """Return the number of shards of a batch."""
    return math.prod(mesh.shape[axis] for axis in batch_axes(mesh))


def split(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: first axis split over the replica and data axes."""
    return NamedSharding(mesh, PartitionSpec(batch_axes(mesh)))


def whole(mesh: Mesh) -> NamedSharding:
    """Return the fully replicated sharding."""
    return NamedSharding(mesh, PartitionSpec())


def check_batch(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raise an error if the global batch cannot be split evenly over the devices.

    Args:
        batch_size: global batch size.
        mesh: the device mesh.
        accumulate: number of gradient accumulation parts, each of which is split over the devices.

    Raises:
        UserError: the message suggests the nearest valid batch sizes.
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


def within(mesh: Mesh | None) -> contextlib.AbstractContextManager[Any]:
    """Return the context manager for tracing a step, which makes the mesh available to `held`.

    Args:
        mesh: the mesh; None or one device of the default backend disables the constraints.
    """
    if mesh is None or (mesh.size == 1 and mesh.devices.flat[0].platform == jax.default_backend()):
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def platform() -> str:
    """Return the platform that the current program is traced for: "cpu", "gpu" or "tpu".

    It is that of the mesh of `within`, which may be one of a topology that is only compiled for, and without
    a mesh the default backend's.
    """
    device = jax.sharding.get_abstract_mesh().abstract_device
    return jax.default_backend() if device is None else device.platform


def planned(platform: str | None) -> contextlib.AbstractContextManager[Any]:
    """Return the context manager for tracing a program of one device of a platform, without compiling it.

    Args:
        platform: what `platform` returns inside; None for the default backend.
    """
    if platform in (None, jax.default_backend()):
        return contextlib.nullcontext()
    device = jax.sharding.AbstractDevice(device_kind=platform, num_cores=None, platform=platform)
    alone = jax.sharding.AbstractMesh((1,) * len(AXES), AXES, abstract_device=device)
    return jax.sharding.use_abstract_mesh(alone)


def held(x: Array) -> Array:
    """Constrain the first axis of an activation (examples or rows) to stay split over the data axes.

    No-op outside of a mesh, or if the rows cannot be split evenly. Without the constraint the compiler may
    gather the batch instead of a parameter.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1 or x.shape[0] % batch_shards(mesh):
        return x
    spec = PartitionSpec(batch_axes(mesh), *[PartitionSpec.UNCONSTRAINED] * (x.ndim - 1))
    placed: Array = jax.lax.with_sharding_constraint(x, spec)
    return placed


def everywhere(x: Array) -> Array:
    """Constrain an array to be replicated on all devices, such as an embedding table.

    A gather from a sharded table would give rows split along their width, which have to be resharded.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    placed: Array = jax.lax.with_sharding_constraint(x, PartitionSpec())
    return placed
