"""Dask runs the graph of units: parents first, killed ones again, failed ones once."""

import argparse
import collections
import contextlib
import os
import random
import signal
import threading
import time

import distributed
import pytest
import stand_in_unit
from dask import config as dask_config

from prismlab.core import errors
from prismlab.experiments import exits, main
from prismlab.experiments.launch import executor, units
from prismlab.experiments.launch.engines import dask, dask_units, local, unit_process
from prismlab.experiments.recipe import resources

KILLED = -int(signal.SIGKILL)
PLANNED = argparse.Namespace(stage=argparse.Namespace(name="x"), seed=0)


def unit(name: str, *needs: str, **reserve: float) -> units.Unit:
    return units.Unit(name, PLANNED, "", ("row",), needs, reserve=resources.Resources(**reserve))


GRAPH = (unit("a"), unit("b"), unit("c", "a"), unit("d", "b"), unit("e", "c", "d"))


def order(tmp_path, graph=GRAPH, **more) -> executor.Order:
    return executor.Order(graph, "x.gin", (), tmp_path, **more)


class Processes:
    """Stands in for processes of units: `codes` are the exit codes of a unit's successive starts."""

    def __init__(self, **codes: list[int]):
        self.codes, self.started, self.stopped = codes, [], threading.Event()

    def run(self, words, workdir, environment) -> int:
        name = words[1]
        self.started.append(name)
        left = self.codes.get(name, [])
        code = left.pop(0) if left else exits.DONE
        if code == exits.INTERRUPTED:
            assert self.stopped.wait(20)
        return code

    def stop(self, workdir, force=False) -> int:
        self.stopped.set()
        return 0


@pytest.fixture
def processes(monkeypatch):
    def replace(**codes):
        made = Processes(**codes)
        monkeypatch.setattr(unit_process, "run", made.run)
        monkeypatch.setattr(unit_process, "stop", made.stop)
        return made

    return replace


def test_units_run_once_after_those_that_they_need(tmp_path, processes):
    made = processes()
    assert local.run(order(tmp_path)) == executor.Ended()
    assert sorted(made.started) == ["a", "b", "c", "d", "e"]
    for each in GRAPH:
        assert all(made.started.index(name) < made.started.index(each.name) for name in each.needs)


def test_a_killed_unit_runs_again_and_one_that_fails_does_not(tmp_path, processes):
    made = processes(a=[KILLED, KILLED], b=[exits.DIVERGED])
    assert local.run(order(tmp_path)).codes == {"b": exits.DIVERGED}
    assert collections.Counter(made.started) == {"a": 3, "b": 1, "c": 1}


def test_a_unit_that_is_killed_each_time_is_given_up_and_those_that_need_it_do_not_run(tmp_path, processes):
    made = processes(a=[KILLED] * 9)
    codes = local.run(order(tmp_path)).codes
    assert codes["a"] == exits.INTERRUPTED
    assert collections.Counter(made.started) == {"a": 1 + executor.RETRIES, "b": 1, "d": 1}


def test_fail_fast_stops_what_runs(tmp_path, processes):
    made = processes(a=[exits.INTERRUPTED], b=[exits.USER_ERROR])
    ended = local.run(order(tmp_path, fail_fast=True))
    assert ended == executor.Ended({"b": exits.USER_ERROR})
    assert set(made.started) <= {"a", "b"}
    assert made.stopped.is_set()


def test_a_stop_signal_stops_the_units_and_ends_the_command(tmp_path, processes):
    made = processes(a=[exits.INTERRUPTED], b=[exits.INTERRUPTED])

    def stop() -> None:
        while len(made.started) < 2:
            time.sleep(0.02)
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    assert local.run(order(tmp_path)).interrupted
    assert sorted(made.started) == ["a", "b"]


def test_a_unit_starts_on_the_worker_that_is_free_first(tmp_path, monkeypatch):
    """A unit whose parent ran on the busy worker runs on the other one, although Dask moves no task."""
    freed, ended = threading.Event(), []

    def run(words, workdir, environment):
        name = words[1]
        if name == "long" and not freed.wait(5):
            ended.append("the other worker was never used")
        if name == "last":
            freed.set()
        ended.append(name)
        return exits.DONE

    monkeypatch.setattr(unit_process, "run", run)
    graph = (unit("a"), unit("long", "a"), unit("short", "a"), unit("last", "a"), unit("after", "short"))
    with dask_config.set({"distributed.scheduler.work-stealing": False}):
        assert local.run(order(tmp_path, graph)) == executor.Ended()
    assert ended[:3] == ["a", "short", "last"]


def test_a_unit_that_no_worker_can_run_is_refused(tmp_path):
    large = order(tmp_path, (unit("a"), unit("b", cores=10_000, memory_gigabytes=1)))
    line = r"train x, .* needs 10000 cores, 1 GiB memory, but the largest worker offers \d+ cores?, .*--jobs"
    with pytest.raises(errors.UserError, match=line):
        local.preview(large)


def test_each_unit_reserves_what_it_states(tmp_path, monkeypatch):
    """Units that need both chips run on the worker that offers them, one after the other."""
    graph = (unit("a", chips=2), unit("b", chips=2))
    seen, running = [], threading.Lock()

    def run(words, workdir, environment):
        assert running.acquire(blocking=False)
        seen.append(distributed.get_worker().name)
        time.sleep(0.05)
        running.release()
        return exits.DONE

    monkeypatch.setattr(unit_process, "run", run)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        for name, chips in (("small", 1), ("large", 2)):
            cluster.worker_spec[name] = {
                "cls": distributed.Worker, "options": {"nthreads": 4, "resources": {"chips": chips}},
            }  # fmt: skip
        cluster.sync(cluster._correct_state)
        client.wait_for_workers(2, timeout=20)
        assert dask_units.run(client, order(tmp_path, graph)) == executor.Ended()
    assert seen == ["large", "large"]


def test_gpus_are_shared_by_the_workers_and_a_unit_gets_what_it_states(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    seen = {}

    def run(words, workdir, environment):
        seen[words[1]] = environment["CUDA_VISIBLE_DEVICES"]
        return exits.DONE

    monkeypatch.setattr(unit_process, "run", run)
    local.run(order(tmp_path, (unit("a"), unit("b", chips=1), unit("c", chips=2)), jobs=2))
    assert {name: len(given.split(",")) for name, given in seen.items()} == {"a": 2, "b": 1, "c": 2}


def test_a_lost_scheduler_is_one_line(tmp_path, monkeypatch, capsys):
    started, ended = threading.Event(), threading.Event()

    def run(words, workdir, environment):
        started.set()
        assert ended.wait(20)
        return exits.DONE

    monkeypatch.setattr(unit_process, "run", run)
    with dask_config.set({"distributed.comm.timeouts.connect": "100ms"}):
        cluster = distributed.LocalCluster(
            1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0"
        )
        with cluster, distributed.Client(cluster.scheduler_address) as client:

            def lose() -> None:
                assert started.wait(20)
                cluster.sync(cluster.scheduler.close)
                ended.set()

            losing = threading.Thread(target=lose)
            losing.start()
            assert dask_units.run(client, order(tmp_path, GRAPH[:1])).interrupted
            losing.join()
    assert capsys.readouterr().err.count("was lost; units that run there save and stop") == 1


def test_a_worker_that_is_lost_is_replaced(tmp_path, monkeypatch):
    started, ended = threading.Semaphore(0), threading.Event()

    def run(words, workdir, environment):
        started.release()
        assert ended.wait(20)
        return exits.DONE

    monkeypatch.setattr(unit_process, "run", run)
    with (
        distributed.LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        first = next(iter(cluster.workers.values()))

        def lose() -> None:
            assert started.acquire(timeout=20)
            cluster.scale(2)
            client.wait_for_workers(2, timeout=20)
            client.sync(first.close, nanny=False, executor_wait=False)
            assert started.acquire(timeout=20)  # again, on the other worker
            ended.set()

        losing = threading.Thread(target=lose)
        losing.start()
        assert dask_units.run(client, order(tmp_path, GRAPH[:1])) == executor.Ended()
        losing.join()


@pytest.mark.parametrize("seed", range(3))
def test_processes_that_are_killed_at_random_moments_end_as_undisturbed_ones(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(unit_process, "_enter", stand_in_unit.enter)
    monkeypatch.setattr(unit_process, "IMPORTED", ())
    draw, killed, over = random.Random(seed), [], threading.Event()

    def kill() -> None:
        while len(killed) < executor.RETRIES and not over.wait(draw.uniform(0.05, 0.15)):
            if running := list(unit_process._RUNNING):
                killed.append(draw.choice(running))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    assert local.run(order(tmp_path)) == executor.Ended()
    over.set()
    killing.join()
    assert killed
    assert not unit_process._RUNNING
    for each in GRAPH:
        assert stand_in_unit.steps(tmp_path / each.name) == list(range(stand_in_unit.STEPS))


def test_a_scheduler_that_does_not_answer_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(dask, "SECONDS", 0.2)
    with pytest.raises(errors.UserError, match=r"no Dask scheduler answers at tcp://127.0.0.1:1 "):
        dask.preview(order(tmp_path, scheduler="tcp://127.0.0.1:1"))
    with pytest.raises(errors.UserError, match="needs --scheduler"):
        dask.preview(order(tmp_path))
    with pytest.raises(errors.UserError, match="accepts no --jobs"):
        dask.preview(order(tmp_path, scheduler="tcp://127.0.0.1:1", jobs=3))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--jobs", "2"), "--jobs needs --launcher"),
        (("--setting", "a=b", "--scheduler", "x"), "--setting, --scheduler needs --launcher"),
        (("--launcher", "local", "--scheduler", "x"), "--scheduler belongs to --launcher dask"),
    ],
)
def test_options_of_other_engines_are_refused(tmp_path, capsys, words, line):
    assert main.main(["ablate", "smoke.gin", "--workdir", str(tmp_path / "w"), *words]) == exits.USER_ERROR
    assert line in capsys.readouterr().err
    assert not (tmp_path / "w").exists()
