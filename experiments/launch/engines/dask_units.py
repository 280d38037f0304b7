"""Run the graph of units on a Dask cluster: one task for each unit, which starts `run-unit` as a process.

Dask chooses worker and moment, reserves the stated resources, and starts a unit again whose worker or process
was killed. A unit that fails by itself is not started again: its task returns, and those that need it return
without running.
"""

import contextlib
import dataclasses
import logging
import queue
import secrets
import time
from collections.abc import Mapping, Sequence

import distributed

from prismlab.core import errors
from prismlab.core.events import stop_signal
from prismlab.experiments import console, exits
from prismlab.experiments.launch import executor, units
from prismlab.experiments.launch.engines import unit_process
from prismlab.experiments.recipe import resources

FAILED = (exits.DEFECT, exits.USER_ERROR, exits.DIVERGED)  # codes of a unit that would fail again


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a unit ended: its exit code, or None if it was not run because one that it needs failed."""

    unit: str
    code: int | None


class Stopped(Exception):
    """The process of a unit was killed or interrupted; Dask starts the unit again."""


def run_unit(
    unit: str, words: Sequence[str], workdir: str, environments: Sequence[Mapping[str, str]],
    chips: int, parents: Sequence[Outcome],
) -> Outcome:  # fmt: skip
    """Start `run-unit` on a worker and wait for it: the task of a unit.

    Args:
        unit: its name.
        words: arguments after `prismlab`.
        workdir: the work directory.
        environments: variables to add, for each worker of a local cluster; empty for other clusters.
        chips: how many of the worker's GPUs it gets; 0 for all.
        parents: outcomes of the units that it needs.

    Raises:
        Stopped: the process was killed or interrupted.
    """
    if any(each.code != exits.DONE for each in parents):
        return Outcome(unit, None)
    added = dict(environments[int(distributed.get_worker().name)]) if environments else {}
    if chips and "CUDA_VISIBLE_DEVICES" in added:
        added["CUDA_VISIBLE_DEVICES"] = ",".join(added["CUDA_VISIBLE_DEVICES"].split(",")[:chips])
    code = unit_process.run(words, workdir, added)
    if code == exits.DONE or code in FAILED:
        return Outcome(unit, code)
    raise Stopped(f"{unit} ended with {code}")


def stop_units(workdir: str, force: bool) -> int:
    """Stop the units of a work directory on a worker; see `unit_process.stop`."""
    return unit_process.stop(workdir, force)


def quiet() -> None:
    """Keep what Dask logs of its own start and end from the terminal; what fails is raised."""
    for name in ("distributed", "distributed.client", "distributed.scheduler", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def check_offers(order: executor.Order, offers: Sequence[Mapping[str, float]], advice: str) -> None:
    """Check that each unit can be scheduled.

    Args:
        order: the units.
        offers: resources of each worker.
        advice: what to change if one cannot.

    Raises:
        UserError: a unit states more than any worker offers.
    """
    for unit in order.graph:
        stated = unit.reserve.stated()
        if not any(all(offer.get(name, 0) >= stated[name] for name in stated) for offer in offers):
            largest = max(offers, key=lambda offer: [offer.get(name, 0) for name in stated])
            raise errors.UserError(
                f"{unit.told} needs {resources.text(stated)}, but the largest worker offers "
                f"{resources.text({name: largest.get(name, 0) for name in stated})}; {advice}"
            )


def run(
    client: distributed.Client,
    order: executor.Order,
    environments: Sequence[Mapping[str, str]] = (),
    at_a_time: int | None = None,
) -> executor.Ended:
    """Run the units, and wait until all ended, the command was asked to stop, or the scheduler was lost.

    Args:
        client: connected to the cluster.
        order: the units.
        environments: see `run_unit`.
        at_a_time: number of units to submit at a time, in the order of the graph; None submits all at once,
            which a cluster that grows with its queue needs. Dask assigns a submitted unit to a worker as soon
            as its parents end, even if that worker is busy and another one becomes free first.
    """
    ended: queue.SimpleQueue[distributed.Future] = queue.SimpleQueue()
    submitted = _Submitted(client, order, environments)
    names: dict[distributed.Future, str] = {}  # of units that have not ended
    codes: dict[str, int] = {}
    signals: list[int] = []

    def submit() -> None:
        while at_a_time is None or len(names) < at_a_time:
            unit = submitted.next(ended_parents=at_a_time is not None)
            if unit is None:
                return
            future = submitted.submit(unit)
            names[future] = unit.name
            future.add_done_callback(ended.put)

    with stop_signal.Handlers(lambda number, frame: signals.append(number)):
        submit()
        while names and not signals:
            try:
                future = ended.get(timeout=0.2)
            except queue.Empty:
                continue
            name = names.pop(future)
            if future.cancelled():
                console.tell(
                    f"the Dask scheduler {order.scheduler} was lost; units that run there save and stop"
                )
                return executor.Ended(codes, interrupted=True)
            failed = future.exception() is not None
            outcome = Outcome(name, exits.INTERRUPTED) if failed else future.result()
            submitted.outcomes[name] = outcome
            if outcome.code:
                codes[name] = outcome.code
                if order.fail_fast:
                    break
            submit()
        if names:
            _stop(client, order, list(names), signals)
    return executor.Ended(codes, bool(signals))


class _Submitted:
    """Units that were submitted, with the outcomes of those that ended, and units that were not yet."""

    def __init__(
        self, client: distributed.Client, order: executor.Order, environments: Sequence[Mapping[str, str]]
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._client, self._order, self._environments = client, order, environments
        self._left = {unit.name: (unit, order.parents(unit)) for unit in order.graph}
        self._futures: dict[str, distributed.Future] = {}
        self._mark = secrets.token_hex(4)  # a key of an earlier command would return its result

    def next(self, ended_parents: bool) -> units.Unit | None:
        """Return the next unit to submit; with `ended_parents`, only one whose parents have ended."""
        for unit, parents in self._left.values():
            if not ended_parents or all(name in self.outcomes for name in parents):
                return unit
        return None

    def submit(self, unit: units.Unit) -> distributed.Future:
        """Submit a unit whose parents were submitted.

        Parents that have ended are given as values: Dask would prefer the worker that holds a result, busy
        or not.
        """
        unit, parents = self._left.pop(unit.name)
        words = self._order.words("run-unit", unit.name, program=())
        self._futures[unit.name] = self._client.submit(
            run_unit, unit.name, words, str(self._order.workdir), self._environments, unit.reserve.chips,
            [self.outcomes.get(name) or self._futures[name] for name in parents],
            key=f"{unit.name}-{self._mark}", pure=False, retries=executor.RETRIES,
            priority=-len(self._futures), resources=unit.reserve.stated() or None,
        )  # fmt: skip
        return self._futures[unit.name]


def _stop(
    client: distributed.Client,
    order: executor.Order,
    left: Sequence[distributed.Future],
    signals: Sequence[int],
) -> None:
    """Cancel what has not started and ask what runs to save; wait for it. A second signal kills it."""
    seen = len(signals)

    def running() -> int:
        force = len(signals) > max(seen, 1)
        return sum(client.run(stop_units, str(order.workdir), force).values())

    with contextlib.suppress(OSError):  # the scheduler is lost as well; units stop with their workers
        client.cancel(list(left), force=True)
        while running():
            time.sleep(0.2)
