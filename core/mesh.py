"""Devices and where arrays live on them: the batch is split over all devices, the state is replicated."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from core import errors


def make() -> Mesh:
    """Return a mesh of all devices with the one axis "data".

    Auto axis types, because gathers of masks and shuffles raise under explicit ones.
    """
    return Mesh(np.asarray(jax.devices()), ("data",), axis_types=(AxisType.Auto,))


def split(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch: its first axis over all devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def whole(mesh: Mesh) -> NamedSharding:
    """Return the sharding of the state: a full copy on each device."""
    return NamedSharding(mesh, PartitionSpec())


def check_batch(batch_size: int, mesh: Mesh) -> None:
    """Refuse a global batch that the devices do not divide.

    Raises:
        UserError: with the nearest batch sizes that fit.
    """
    devices = mesh.devices.size
    if batch_size < 1 or batch_size % devices:
        below = batch_size // devices * devices
        fits = [str(size) for size in (below, below + devices) if size > 0] or [str(devices)]
        raise errors.UserError(
            f"recipe.Stage.batch_size={batch_size} cannot be split over {devices} devices; "
            f"use {' or '.join(fits)}"
        )
