"""Run units on this machine: a Dask `LocalCluster` with one worker for each unit at a time."""

import importlib.util
import os

from prismlab.core import errors
from prismlab.core.parallel import cores
from prismlab.experiments import console
from prismlab.experiments.launch import executor

JOBS = 2  # units at a time, where --jobs does not say


def environments(order: executor.Order) -> list[dict[str, str]]:
    """Return the extra environment variables of each worker: its cores, and its part of CUDA_VISIBLE_DEVICES.

    Raises:
        UserError: there are more workers than listed GPUs, or a setting is given.
    """
    if order.settings:
        raise errors.UserError(f"--launcher local accepts no --setting, got {sorted(order.settings)}")
    if order.scheduler:
        raise errors.UserError(
            "--launcher local starts its own scheduler; use --launcher dask --scheduler ..."
        )
    listed = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    jobs = order.jobs or JOBS
    own = cores.shares(jobs)
    if not listed:
        return own
    if jobs > len(listed):
        raise errors.UserError(
            f"--jobs {jobs}, but CUDA_VISIBLE_DEVICES lists {len(listed)}; use --jobs {len(listed)}"
        )
    return [share | {"CUDA_VISIBLE_DEVICES": ",".join(listed[i::jobs])} for i, share in enumerate(own)]


def offers(order: executor.Order) -> dict[str, float]:
    """Return what each worker offers: an equal share of this machine's cores, memory and listed GPUs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    listed = [each.get("CUDA_VISIBLE_DEVICES", "") for each in environments(order)]
    return {
        "cores": cores.count() // len(listed),
        "memory_gigabytes": memory / len(listed),
        "chips": min(len(each.split(",")) if each else 0 for each in listed),
    }


def preview(order: executor.Order) -> str:
    """Return the commands that `run` would start, a line for each worker's first one."""
    from prismlab.experiments.launch.engines import dask_units

    dask_units.check_offers(order, [offers(order)], "use fewer --jobs, or state less")
    lines = []
    for added in environments(order):
        words = [*(f"{name}={value}" for name, value in added.items()), order.line("run-unit", "NAME")]
        lines.append(" ".join(words))
    return "\n".join(lines)


def run(order: executor.Order) -> executor.Ended:
    """Run the units; returns when all have ended."""
    import distributed

    from prismlab.experiments.launch.engines import dask_units

    served = importlib.util.find_spec("bokeh") is not None
    added, own = environments(order), offers(order)
    dask_units.quiet()
    # Workers are threads of this process, because each unit is a process of its own anyway.
    with (
        distributed.LocalCluster(
            n_workers=len(added), threads_per_worker=1, processes=False, resources=own, memory_limit=0,
            dashboard_address=":0", silence_logs=False,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        if served:
            console.tell(f"Dask dashboard: {cluster.dashboard_link}")
        return dask_units.run(client, order, added, at_a_time=len(added))
