"""Initialization of jax.distributed from environment variables, SLURM, GKE or TPU VM metadata."""

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
    """Return the arguments of jax.distributed.initialize for an environment.

    Args:
        environment: variables. PRISMLAB_COORDINATOR=host:port, PRISMLAB_PROCESSES and PRISMLAB_PROCESS take
            precedence; otherwise a SLURM step of several tasks or a TPU slice of several hosts (GKE's
            variables, TPU VM metadata) is detected.

    Returns:
        The arguments; {} if JAX detects them itself; None for a single process.

    Raises:
        UserError: variables that are missing or invalid, one line each.
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
    """Return the number of TPU VMs in this machine's slice; 1 if it is not a TPU VM."""
    from jax._src import cloud_tpu_init  # as used by jax.distributed.initialize
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
            f"PRISMLAB_PROCESS={numbers[1]} must be below PRISMLAB_PROCESSES={numbers[0]}; indices start at 0"
        )
    if faults:
        raise errors.UserError("\n".join(faults))
    return {
        "coordinator_address": address,
        "num_processes": int(numbers[0]),
        "process_id": int(numbers[1]),
    }


def start(lost: Callable[[str], Any]) -> None:
    """Initialize jax.distributed if the environment asks for it; call before any device is used.

    Args:
        lost: called from another thread with a one-line message on timeout; should exit this process.

    Raises:
        UserError: the environment is incomplete, or the other processes cannot be reached.
    """
    arguments = wanted(os.environ)
    if arguments is None or jax.distributed.is_initialized():
        return
    if arguments.get("num_processes") == 1:
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # Exit shortly before JAX would abort with a stack trace.
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
            f"the processes of this run did not find each other ({reason}); start all of them and check that "
            f"they can reach {arguments.get('coordinator_address', 'process 0')}"
        ) from error
    finally:
        late.cancel()
