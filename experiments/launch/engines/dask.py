"""Run units on a Dask cluster that is running: `--launcher dask --scheduler ADDRESS`."""

import contextlib
from collections.abc import Iterator

import distributed

from prismlab.core import errors
from prismlab.experiments import console
from prismlab.experiments.launch import executor
from prismlab.experiments.launch.engines import dask_units

SECONDS = 10.0  # in which the scheduler must answer
ADVICE = (
    'start one that offers it (dask worker ADDRESS --nthreads 1 --resources "cores=8 chips=1") or state less'
)


@contextlib.contextmanager
def connected(address: str) -> Iterator[distributed.Client]:
    """Connect to a scheduler.

    Args:
        address: tcp://HOST:PORT.

    Raises:
        UserError: none answers.
    """
    dask_units.quiet()
    if not address:
        raise errors.UserError("--launcher dask needs --scheduler tcp://HOST:PORT")
    try:
        client = distributed.Client(address, timeout=SECONDS)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise errors.UserError(
            f"no Dask scheduler answers at {address} ({reason}); start one with `dask scheduler`, or correct "
            "--scheduler"
        ) from None
    try:
        yield client
    finally:
        client.close(timeout=SECONDS)


def preview(order: executor.Order) -> str:
    """Return the commands that the workers would start, after checking that they can.

    Raises:
        UserError: no scheduler answers, it has no worker, or a unit cannot be scheduled.
    """
    if order.settings:
        raise errors.UserError(f"--launcher dask accepts no --setting, got {sorted(order.settings)}")
    if order.jobs is not None:
        raise errors.UserError(
            "--launcher dask accepts no --jobs; threads and resources of its workers decide (--nthreads 1)"
        )
    with connected(order.scheduler) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if not workers:
            raise errors.UserError(
                f"{order.scheduler} has no worker; start some: dask worker {order.scheduler} --nthreads 1"
            )
        dask_units.check_offers(order, [each["resources"] for each in workers], ADVICE)
        return f"{len(workers)} workers of {order.scheduler}:\n{order.line('run-unit', 'NAME')}"


def run(order: executor.Order) -> executor.Ended:
    """Run the units; returns when all have ended."""
    with connected(order.scheduler) as client:
        if client.dashboard_link:
            console.tell(f"Dask dashboard: {client.dashboard_link}")
        return dask_units.run(client, order)
