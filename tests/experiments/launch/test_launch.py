"""Rows as independent jobs: who claims what, in which order, and what a killed worker leaves."""

import argparse
import json
import os
import shutil
import signal
import time

import cli
import pytest

from prismlab.core import errors
from prismlab.core.io import buckets
from prismlab.experiments import console, main
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.launch import executor, launch, prepared, units, worker
from prismlab.experiments.launch.engines import local
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.run import engine, rows
from prismlab.experiments.store import leases, work_directory

ABLATION = "smoke.gin"


def test_a_bucket_that_is_away_fails_no_unit(ablation, tmp_path, monkeypatch):
    work_directory.record(tmp_path / "config.json", describe.describe(ablation))

    def away(self, planned):
        raise buckets.Unreachable("away")

    monkeypatch.setattr(engine.Engine, "train", away)
    with pytest.raises(buckets.Unreachable):
        worker.work(tmp_path, tmp_path / "cache", ablation, console.silent())
    assert not leases.failures(tmp_path)
    assert not leases.living(tmp_path)


def test_a_worker_whose_work_directory_was_deleted_ends_and_leaves_it_deleted(
    ablation, tmp_path, monkeypatch
):
    workdir = tmp_path / "run"
    workdir.mkdir()
    work_directory.record(workdir / "config.json", describe.describe(ablation))

    def train(self, planned):
        assert (workdir / "config.json").exists()  # not a second time
        shutil.rmtree(workdir)
        raise errors.UserError("events.jsonl: was deleted")

    monkeypatch.setattr(engine.Engine, "train", train)
    with pytest.raises(errors.UserError, match="was deleted"):
        worker.work(workdir, tmp_path / "cache", ablation, console.silent())
    assert not workdir.exists()


def test_ablate_holds_the_same_lease_on_a_stage_as_a_worker(ablation, tmp_path, monkeypatch):
    desk = worker.Desk(tmp_path, units.units(ablation), leases.BEAT, leases.STALE)
    taken = []

    def train(self, planned):
        taken.append(planned.folder)
        assert desk.take() != {"unit": planned.folder}
        desk.give_back()
        assert planned.address in leases.living(tmp_path)
        assert leases.claim(tmp_path, planned.address) is None

    monkeypatch.setattr(engine.Engine, "train", train)
    monkeypatch.setattr(engine.Engine, "score", lambda self, planned, evaluations: {})
    lines = stages.lines(ablation.experiments(), ablation.seeds)[:1]
    rows.run(engine.Engine(tmp_path, tmp_path / "cache", console.silent()), lines)
    assert taken
    assert not leases.living(tmp_path)


def test_shared_stages_come_first_and_once(ablation):
    found = units.units(ablation)
    names = [unit.name for unit in found]
    assert len(set(names)) == len(names)
    for place, unit in enumerate(found):
        assert set(unit.needs) <= set(names[:place])
    trained = [unit for unit in found if not unit.row]
    assert sum(unit.planned.stage.name == "stage1" for unit in trained) == len(ablation.seeds)
    assert len([unit for unit in found if unit.row]) == len(ablation.rows) * len(ablation.seeds)


def test_units_are_sorted_by_depth_and_then_by_how_many_rows_wait_for_them():
    rows = {"c": "xyz", "a": "x", "d": "xy", "b": "xyz", "e": "x"}
    needs = {"c": ("a",), "a": (), "d": ("b",), "b": (), "e": ("d",)}
    made = {name: units.Unit(name, None, "", tuple(rows[name]), needs[name]) for name in rows}
    assert [unit.name for unit in units._in_order(made)] == ["b", "a", "c", "d", "e"]
    assert worker._blocked(units._in_order(made), {"b": "no data"}) == {"b", "d", "e"}


@pytest.fixture
def ablation():
    return strict.load(ABLATION, ["recipe.Ablation.seeds=(0, 1)"]).root


def order(tmp_path, **settings):
    return executor.Order((), "smoke.gin", ("recipe.Ablation.seeds=(0, 1)",), tmp_path, 3, settings)


def test_gpus_are_dealt_out(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert [each["CUDA_VISIBLE_DEVICES"] for each in local.environments(order(tmp_path))] == ["0,3", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(errors.UserError, match="use --jobs 1"):
        local.environments(order(tmp_path))


def test_each_worker_has_its_share_of_the_cores(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3, 8, 9}, raising=False)
    expected = ["0,1", "2,3", "8,9"]
    assert [each["PRISMLAB_CORES"] for each in local.environments(order(tmp_path))] == expected
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert [each["PRISMLAB_CORES"] for each in local.environments(order(tmp_path))] == expected


def test_a_unit_keeps_to_its_share_before_anything_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PRISMLAB_CORES", "none")
    assert main.main(["run-unit", "x", "smoke.gin", "--workdir", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("prismlab: PRISMLAB_CORES='none': expected")


def test_a_dry_run_is_refused_where_the_run_would_be(ablation, tmp_path):
    work_directory.record(tmp_path / "config.json", {"class": "experiments.recipe.Ablation"})
    options = argparse.Namespace(
        file="x.gin",
        bindings=[],
        workdir=tmp_path,
        jobs=1,
        setting=[],
        launcher="local",
        dry_run=True,
        store=None,
        scheduler=None,
        fail_fast=False,
        accept_code=[],
    )
    with pytest.raises(errors.UserError, match="moved into one package"):
        launch.run(options, strict.Loaded(ablation, "", {}))


def test_a_worker_with_other_code_data_or_configuration_is_refused(ablation, tmp_path, monkeypatch):
    known = units.units(ablation)
    with pytest.raises(errors.UserError, match="is not prepared"):
        prepared.check(tmp_path, ablation, known)
    work_directory.record(tmp_path / "config.json", describe.describe(ablation))
    work_directory.record(tmp_path / prepared.FILE, prepared.facts(known))
    prepared.check(tmp_path, ablation, known)
    faster = strict.load(ABLATION, ["recipe.Ablation.seeds=(0, 1)", "loader.Line.prefetch=9"]).root
    prepared.check(tmp_path, faster, units.units(faster))
    longer = strict.load(ABLATION, ["recipe.Ablation.seeds=(0, 1)", "recipe.Stage.steps=9"]).root
    with pytest.raises(errors.UserError, match=r"another configuration: .*steps: 8 -> 9"):
        prepared.check(tmp_path, longer, units.units(longer))
    of = fingerprints.Fingerprints.code
    other = lambda *given: of(*given) | {"prismlab.objectives.masked": "edited"}
    monkeypatch.setattr(fingerprints.Fingerprints, "code", other)
    with pytest.raises(errors.UserError, match=r"other code or data .*objectives\.masked: \S+ -> \"edited\""):
        prepared.check(tmp_path, ablation, units.units(ablation))


def test_workers_of_one_process_are_refused_where_processes_are_joined(ablation, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    options = argparse.Namespace(workdir=tmp_path / "w", jobs=1, launcher="local", scheduler=None)
    with pytest.raises(errors.UserError, match="prismlab worker"):
        launch.run(options, strict.Loaded(ablation, "", {}))
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_table_is_the_same(tmp_path):
    """Two workers, one killed in the middle: the other takes over, digests equal those of one process."""
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    done = cli.run("ablate", ABLATION, "--workdir", alone)
    assert done.returncode == 0, done.stderr
    # Made ready without starting anybody: a directory with its configuration.
    shared.mkdir()
    for name in ("config.json", "config.gin"):
        (shared / name).write_bytes((alone / name).read_bytes())
    words = ("worker", ABLATION, "--workdir", shared, "--stale", 5)
    first = cli.start(*words)
    until = time.monotonic() + 300
    while not list(shared.glob("stages/*/checkpoints/[0-9]*")):
        assert time.monotonic() < until
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    second = cli.start(*words)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert second.wait(timeout=600) == 0, second.communicate()
    second.communicate()
    table = cli.run("ablate", ABLATION, "--workdir", shared)
    assert table.returncode == 0, table.stderr
    assert cli.digest(shared) == cli.digest(alone)
    results = [json.loads((each / "results.json").read_text()) for each in (alone, shared)]
    assert results[0] == results[1]
