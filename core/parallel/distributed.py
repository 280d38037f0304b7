"""Several processes that train together: how they agree, and share what they know (`joining`: how they meet).

Process 0 decides: what it finds on disk or on its clock is what counts, and the others are told. Small
decisions between steps go through the coordination service (`decide`); what must be known step by step
travels as one small array beside the step (`Beside`), so that nobody waits for it.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from prismlab.core import errors
from prismlab.core.parallel import heartbeat
from prismlab.core.parallel import mesh as meshes

# A decision may follow an evaluation that process 0 makes alone.
PATIENCE_SECONDS = 24 * 3600

_decided = 0


def is_main() -> bool:
    """Return whether this process decides, and alone writes logs and results."""
    return jax.process_index() == 0


def _client() -> Any:
    from jax._src import distributed  # the only way to the coordination service, which Orbax takes as well

    return distributed.global_state.client


def watched(lost: Callable[[str], Any]) -> heartbeat.Heartbeat:
    """Return what notices that another process of this run is gone, while its context is open.

    Args:
        lost: told one line, from another thread; should end this process.
    """
    board = _client() if jax.process_count() > 1 else None
    return heartbeat.Heartbeat(board, jax.process_index(), lost)


def decide(function: Callable[[], Any]) -> Any:
    """Let process 0 find something out, and return it to all.

    Every process must come here in the same order.

    Args:
        function: called by process 0 alone; gives plain data for JSON.

    Returns:
        What it gave.

    Raises:
        UserError: in all processes, if it was raised in process 0.
    """
    if jax.process_count() == 1:
        return function()
    global _decided
    name = f"prismlab/decided/{_decided}"
    _decided += 1
    if not is_main():
        told = json.loads(_client().blocking_key_value_get(name, PATIENCE_SECONDS * 1000))
        if "error" in told:
            raise errors.UserError(told["error"])
        return told["value"]
    try:
        value = function()
    except errors.UserError as error:
        _client().key_value_set(name, json.dumps({"error": str(error)}))
        raise
    except BaseException as error:
        _client().key_value_set(
            name, json.dumps({"error": f"process 0 failed: {type(error).__name__}: {error}"})
        )
        raise
    _client().key_value_set(name, json.dumps({"value": value}))
    return json.loads(json.dumps(value))


def check_same(facts: Callable[[], Mapping[str, Any]]) -> None:
    """Refuse processes that were not started alike.

    Args:
        facts: gives name -> plain data that must be equal everywhere, such as each source file's sha256.

    Raises:
        UserError: in all processes, with what differs, one line a process.
    """
    if jax.process_count() == 1:
        return
    global _decided
    what, place = facts(), f"prismlab/same/{_decided}"
    _client().key_value_set(f"{place}/{jax.process_index()}", json.dumps(what, sort_keys=True))

    def compare() -> None:
        own, faults = json.loads(json.dumps(what, sort_keys=True)), []
        for process in range(1, jax.process_count()):
            other = json.loads(_client().blocking_key_value_get(f"{place}/{process}", 600_000))
            names = [name for name in sorted({*own, *other}) if own.get(name) != other.get(name)]
            if names:
                told = [f"{name}: {_short(own.get(name))} -> {_short(other.get(name))}" for name in names[:5]]
                more = f" (and {len(names) - 5} more)" if len(names) > 5 else ""
                faults.append(
                    f"process {process} differs from process 0: {'; '.join(told)}{more}; start all alike"
                )
        if faults:
            raise errors.UserError("\n".join(faults))

    decide(compare)


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def host_rows(mesh: Mesh) -> tuple[int, int]:
    """Return which part of every batch this process loads, and how many parts there are.

    Processes that share a part (tensor parallelism across hosts) load the same rows.

    Args:
        mesh: the devices of this run.
    """
    if jax.process_count() == 1:
        return 0, 1
    from jax._src import sharding_impls  # public as part of make_array_from_process_local_data only

    return sharding_impls.get_process_index_and_count(meshes.split(mesh), 0, 1)


def place(batch: Any, mesh: Mesh, *, local: bool) -> Any:
    """Return a host's batch as global arrays split over the data axes.

    Args:
        batch: a tree of numpy arrays, first axis examples.
        mesh: the devices of this run.
        local: the batch holds this process's rows only; False: all rows of the global batch.
    """
    where = meshes.split(mesh)
    if jax.process_count() == 1:
        return jax.device_put(batch, where)
    part, parts = host_rows(mesh)

    def one(x: np.ndarray) -> jax.Array:
        rows = len(x) if local else len(x) // parts
        own = x if local else x[part * rows : (part + 1) * rows]
        return jax.make_array_from_process_local_data(where, own, (rows * parts, *x.shape[1:]))

    return jax.tree.map(one, batch)


def put(tree: Any, where: Any) -> Any:
    """Return arrays that every process holds alike as global arrays.

    Args:
        tree: arrays, equal in all processes.
        where: a sharding for each.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, where)

    def one(x: jax.Array, sharding: NamedSharding) -> jax.Array:
        if not x.is_fully_addressable:
            return jax.device_put(x, sharding)
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(
                one(jax.random.key_data(x), sharding), impl=jax.random.key_impl(x)
            )
        value = np.asarray(x)
        return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])

    return jax.tree.map(one, tree, where)


class Beside:
    """A row of numbers from each process, gathered beside a step without waiting for it.

    Args (constructor):
        mesh: the devices of this run.
    """

    def __init__(self, mesh: Mesh):
        axes = mesh.axis_names
        self._rows = NamedSharding(mesh, PartitionSpec(axes))
        self._all = jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, PartitionSpec()))
        self._devices, self._own = mesh.devices.size, len(self._rows.addressable_devices)
        first: dict[int, int] = {}
        for index, device in enumerate(mesh.devices.flat):
            first.setdefault(device.process_index, index)
        self._first = [first[process] for process in sorted(first)]

    def post(self, row: list[float]) -> jax.Array:
        """Send this process's row; every process must do so once a step.

        Args:
            row: numbers, as many in every process.

        Returns:
            What `read` takes.
        """
        own = np.tile(np.asarray(row, np.float32), (self._own, 1))
        return self._all(jax.make_array_from_process_local_data(self._rows, own, (self._devices, len(row))))

    def read(self, posted: jax.Array) -> np.ndarray:
        """Return float32 [processes, numbers], the same in every process; waits until it is there."""
        return np.asarray(posted.addressable_data(0))[self._first]
