"""Multi-process training: decisions broadcast from process 0, global arrays and per-step gathers.

Process 0 decides what depends on its disk or clock and broadcasts it. Decisions between steps go through
JAX's coordination service (`decide`); values needed at every step are gathered as one small array alongside
the step (`Beside`), without blocking. `rendezvous` starts the processes.
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

# Process 0 may run an evaluation alone before it decides.
PATIENCE_SECONDS = 24 * 3600

_decided = 0


def is_main() -> bool:
    """Return True for process 0, which makes decisions and alone writes logs and results."""
    return jax.process_index() == 0


def _client() -> Any:
    from jax._src import distributed  # the only access to the coordination service; Orbax uses it too

    return distributed.global_state.client


def watched(lost: Callable[[str], Any]) -> heartbeat.Heartbeat:
    """Return the heartbeat of this process, a context manager that detects dead processes of the run.

    Args:
        lost: called with a one-line message, from another thread; should exit this process.
    """
    board = _client() if jax.process_count() > 1 else None
    return heartbeat.Heartbeat(board, jax.process_index(), lost)


def decide(function: Callable[[], Any]) -> Any:
    """Call a function in process 0 and return its result in all processes.

    All processes must make the same calls in the same order.

    Args:
        function: called by process 0 only; returns JSON data.

    Returns:
        The result of the function.

    Raises:
        UserError: in all processes, if process 0 raised it.
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
    """Raise an error if the processes were started with different code or configuration.

    Args:
        facts: returns name -> JSON data that must be equal in all processes, such as sha256 of source files.

    Raises:
        UserError: in all processes, listing the differences, one line per process.
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
                    f"process {process} differs from process 0: {'; '.join(told)}{more}; start all processes "
                    "with the same code and configuration"
                )
        if faults:
            raise errors.UserError("\n".join(faults))

    decide(compare)


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def host_rows(mesh: Mesh) -> tuple[int, int]:
    """Return the index of the batch part that this process loads, and the number of parts.

    Processes that share a part (tensor parallelism across hosts) load the same rows.

    Args:
        mesh: the device mesh.
    """
    if jax.process_count() == 1:
        return 0, 1
    from jax._src import sharding_impls  # public as part of make_array_from_process_local_data only

    found: tuple[int, int] = sharding_impls.get_process_index_and_count(meshes.split(mesh), 0, 1)
    return found


def place(batch: Any, mesh: Mesh, *, local: bool) -> Any:
    """Convert a host batch to global arrays, sharded over the data axes of the mesh.

    Args:
        batch: a tree of numpy arrays with examples on the first axis.
        mesh: the device mesh.
        local: True if the batch holds only this process's rows, False if all rows of the global batch.
    """
    where = meshes.split(mesh)
    if jax.process_count() == 1:
        return jax.device_put(batch, where)
    part, parts = host_rows(mesh)

    def one(x: np.ndarray) -> jax.Array:
        rows = len(x) if local else len(x) // parts
        own = x if local else x[part * rows : (part + 1) * rows]
        whole: jax.Array = jax.make_array_from_process_local_data(where, own, (rows * parts, *x.shape[1:]))
        return whole

    return jax.tree.map(one, batch)


def put(tree: Any, where: Any) -> Any:
    """Convert arrays that are equal in all processes to global arrays.

    Args:
        tree: arrays, equal in all processes.
        where: a tree of shardings, one for each array.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, where)

    def one(x: jax.Array, sharding: NamedSharding) -> jax.Array:
        if not x.is_fully_addressable:
            moved: jax.Array = jax.device_put(x, sharding)
            return moved
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            data = one(jax.random.key_data(x), sharding)
            key: jax.Array = jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
            return key
        value = np.asarray(x)
        return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])

    return jax.tree.map(one, tree, where)


class Beside:
    """Non-blocking gather of one row of numbers per process at each step.

    Args (constructor):
        mesh: the device mesh.
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
        """Send this process's row; every process must call this once per step.

        Args:
            row: numbers; the same count in every process.

        Returns:
            The argument of `read`.
        """
        own = np.tile(np.asarray(row, np.float32), (self._own, 1))
        rows = jax.make_array_from_process_local_data(self._rows, own, (self._devices, len(row)))
        posted: jax.Array = self._all(rows)
        return posted

    def read(self, posted: jax.Array) -> np.ndarray:
        """Return float32 [processes, numbers], the same in every process; blocks until available."""
        return np.asarray(posted.addressable_data(0))[self._first]
