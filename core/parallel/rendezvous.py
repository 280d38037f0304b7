"""How the processes of a run find each other: by variables, or as SLURM, GKE or the TPU VMs say it."""

import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import jax

from prismlab.core import errors

VARIABLES = ("PRISMLAB_COORDINATOR", "PRISMLAB_PROCESSES", "PRISMLAB_PROCESS")
JOIN_SECONDS = 300


def wanted(environment: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the arguments of jax.distributed.initialize that an environment asks for.

    Args:
        environment: variables. PRISMLAB_COORDINATOR=host:port, PRISMLAB_PROCESSES and PRISMLAB_PROCESS say it
            outright; a SLURM step of several tasks, or a TPU slice of several hosts (GKE's variables, the
            metadata of TPU VMs), say it in their way.

    Returns:
        The arguments, {} where JAX finds them itself, None for one process.

    Raises:
        UserError: variables that are missing or make no sense, one line each.
    """
    given = {name: environment[name] for name in VARIABLES if environment.get(name)}
    if given:
        return _explicit(given)
    if int(environment.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
        return {}
    workers = [name for name in environment.get("TPU_WORKER_HOSTNAMES", "").split(",") if name]
    if len(workers) > 1 or environment.get("MEGASCALE_COORDINATOR_ADDRESS"):
        return {}
    return {} if not workers and _hosts_by_metadata() > 1 else None


def _hosts_by_metadata() -> int:
    """Return how many TPU VMs form this machine's slice; 1 where it is none."""
    from jax._src import cloud_tpu_init  # what jax.distributed.initialize itself asks
    from jax._src.clusters import cloud_tpu_cluster

    if not cloud_tpu_init.running_in_cloud_tpu_vm:
        return 1
    found = cloud_tpu_cluster.GceTpuCluster
    return found.get_process_count() if found.is_env_present() else 1


def _explicit(given: dict[str, str]) -> dict[str, Any]:
    faults = [f"{name} is not set, but {next(iter(given))} is; set all of {', '.join(VARIABLES)}"
              for name in VARIABLES if name not in given]  # fmt: skip
    address, *numbers = (given.get(name, "") for name in VARIABLES)
    if address and not re.fullmatch(r"[^\s:/]+:\d+", address):
        faults.append(f"PRISMLAB_COORDINATOR={address!r} must be host:port of process 0")
    for name, number in zip(VARIABLES[1:], numbers):
        if number and not number.isdecimal():
            faults.append(f"{name}={number!r} must be a whole number")
    if not faults and not int(numbers[1]) < int(numbers[0]):
        faults.append(
            f"PRISMLAB_PROCESS={numbers[1]} must be below PRISMLAB_PROCESSES={numbers[0]}; it counts from 0"
        )
    if faults:
        raise errors.UserError("\n".join(faults))
    return {
        "coordinator_address": address,
        "num_processes": int(numbers[0]),
        "process_id": int(numbers[1]),
    }


def start(lost: Callable[[str], Any]) -> None:
    """Join the other processes of this run, if the environment names any; call before any device is used.

    Args:
        lost: told one line, from another thread, when the others did not come; should end this process.

    Raises:
        UserError: the environment is incomplete, or the others cannot be reached.
    """
    arguments = wanted(os.environ)
    if arguments is None or jax.distributed.is_initialized():
        return
    if arguments.get("num_processes") == 1:
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # JAX would abort with a stack trace a little later.
    late = threading.Timer(
        JOIN_SECONDS,
        lost,
        [f"the processes of this run did not find each other within {JOIN_SECONDS} s"],
    )
    late.daemon = True
    late.start()
    try:
        jax.distributed.initialize(**arguments, initialization_timeout=JOIN_SECONDS + 10)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise errors.UserError(
            f"the processes of this run did not find each other ({reason}); start all of them, and see that "
            f"they can reach {arguments.get('coordinator_address', 'process 0')}"
        ) from error
    finally:
        late.cancel()
