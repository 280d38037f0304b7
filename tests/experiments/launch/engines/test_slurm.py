"""Units as SLURM jobs, with stand-ins for the commands of SLURM on PATH."""

import argparse
import json
import signal
import sys
import time

import pytest
import stand_in_slurm

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments.launch import executor, units
from prismlab.experiments.launch.engines import slurm, slurm_job
from prismlab.experiments.recipe import resources

pytest.importorskip("submitit", reason="the optional extra `slurm` is not installed")

# Stands in for `run-unit`: takes steps, saves when it is asked to stop, resumes; some names fail.
UNIT = """
import json, pathlib, signal, sys, time
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
path, stop = folder / f"{name}.json", []
signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
steps = json.loads(path.read_text()) if path.exists() else []
while len(steps) < (20 if "long" in name else 2):
    steps.append(len(steps))
    path.write_text(json.dumps(steps))
    if stop:
        sys.exit(75)
    time.sleep(0.05)
sys.exit(4 if "bad" in name else 0)
"""


def unit(name: str, *needs: str, **reserve: float) -> units.Unit:
    planned = argparse.Namespace(stage=argparse.Namespace(name=name), seed=0)
    return units.Unit(name, planned, "", ("row",), needs, reserve=resources.Resources(**reserve))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    made = stand_in_slurm.Slurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{made.bin}:/usr/bin:/bin")
    program = tmp_path / "unit.py"
    program.write_text(UNIT)
    words = lambda self, command, name="", **more: [sys.executable, str(program), name, str(self.workdir)]
    monkeypatch.setattr(executor.Order, "words", words)
    return made


def order(tmp_path, *graph: units.Unit, **more) -> executor.Order:
    (tmp_path / "run").mkdir(exist_ok=True)
    return executor.Order(graph, "x.gin", (), tmp_path / "run", **more)


@pytest.mark.long
def test_a_job_at_its_time_limit_saves_and_is_queued_again(cluster, tmp_path):
    slurm.run(order(tmp_path, unit("long"), unit("next", "long", cores=3, memory_gigabytes=0.5, chips=2)))
    first, second = cluster.states()
    saved = tmp_path / "run/long.json"
    until = time.monotonic() + 60
    while not saved.exists():
        cluster.turn()
        assert time.monotonic() < until
        time.sleep(0.02)
    cluster.warn(first)
    assert cluster.run() == {first: "COMPLETED", second: "COMPLETED"}
    assert json.loads(saved.read_text()) == list(range(20))  # each step once
    states = cluster.states()
    assert [states[each]["starts"] for each in (first, second)] == [2, 1]
    flags = states[second]["flags"]
    assert flags["dependency"] == f"afterok:{first}"
    assert [flags[name] for name in ("cpus-per-task", "mem", "gpus-per-node")] == ["3", "512M", "2"]
    assert flags["kill-on-invalid-dep"] == "yes"


def test_arrays_wait_for_the_jobs_that_they_need_and_a_failed_one_stops_only_those_after_it(
    cluster, tmp_path, capsys
):
    graph = (unit("a"), unit("bad"), unit("c", "a"), unit("e", "bad"))
    slurm.run(order(tmp_path, *graph, jobs=7))
    told = dict(
        line.split(": train ")[::-1] for line in capsys.readouterr().out.splitlines() if "train" in line
    )
    job = {name.partition(",")[0]: number for name, number in told.items()}
    assert job["a"].partition("_")[0] == job["bad"].partition("_")[0]
    states = cluster.run()
    assert {name: states[job[name]] for name in job} == {
        "a": "COMPLETED", "bad": "FAILED", "c": "COMPLETED", "e": "CANCELLED",
    }  # fmt: skip
    assert cluster.states()[job["a"]]["flags"]["array"] == "0-1%2"


def test_fail_fast_cancels_the_jobs_of_this_run(cluster, tmp_path):
    slurm.run(order(tmp_path, unit("a"), unit("b", "a"), fail_fast=True))
    (name,) = {job["flags"]["job-name"] for job in cluster.states().values()}
    failing = (sys.executable, "-S", "-c", "raise SystemExit(4)")
    for cancel, cancelled in (("", False), (name, True)):
        with pytest.raises(slurm_job.Failed, match="exited with 4"):
            slurm_job.UnitJob(failing, cancel)()
        assert (cluster.jobs / "cancelled").exists() == cancelled
    assert (cluster.jobs / "cancelled").read_text() == f"--name {name}"


def test_a_cancelled_job_is_not_queued_again(cluster, monkeypatch):
    """`scancel` sends SIGTERM to the unit, which saves, and to submitit's process."""
    queued = []
    note = lambda number, frame: queued.append(number)
    before = [signal.signal(each, note) for each in (signal.SIGTERM, signal.SIGUSR2)]
    code = "import os, signal; os.kill(os.getppid(), signal.SIGTERM); raise SystemExit(75)"
    with pytest.raises(slurm_job.Failed, match="exited with 75"):
        slurm_job.UnitJob((sys.executable, "-S", "-c", code))()
    assert not queued
    with pytest.raises(slurm_job.Failed):
        slurm_job.UnitJob((sys.executable, "-S", "-c", "raise SystemExit(75)"))()
    assert queued
    for number, handler in zip((signal.SIGTERM, signal.SIGUSR2), before):
        signal.signal(number, handler)


def test_what_slurm_refuses_is_one_line(cluster, tmp_path):
    (cluster.bin / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n")
    with pytest.raises(
        errors.UserError, match=r"SLURM refused train a, .*invalid partition.*; correct --setting"
    ):
        slurm.run(order(tmp_path, unit("a")))


def test_without_slurm_it_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(errors.UserError, match="SLURM is not available"):
        slurm.run(order(tmp_path, unit("a")))


def test_the_scripts_are_shown_and_unknown_settings_refused(tmp_path):
    graph = (unit("a"), unit("b", "a"))
    script = slurm.preview(order(tmp_path, *graph, settings={"partition": "gpu", "dependency": "after:7"}))
    assert "#SBATCH --partition=gpu" in script
    assert "prismlab run-unit b x.gin" in script
    assert "#SBATCH --dependency=after:7,afterok:a" in script
    with pytest.raises(errors.UserError, match="colour"):
        slurm.parameters(order(tmp_path, settings={"colour": "red"}))


def test_submitit_keeps_its_files_on_a_disk(tmp_path, bucket, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remote = executor.Order((), "x.gin", (), filesystem.parse_path("gs://bucket/run"))
    assert slurm._folder(remote) == tmp_path / "slurm"
    assert slurm._folder(order(tmp_path)) == tmp_path / "run/slurm"
