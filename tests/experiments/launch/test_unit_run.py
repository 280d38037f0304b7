"""`prismlab run-unit`: one unit, once, however often and by however many engines it is started."""

import threading

import pytest

from prismlab.core import errors
from prismlab.core.io import buckets
from prismlab.core.train.loops import loop
from prismlab.experiments import console, exits, main
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.launch import prepared, unit_run, units
from prismlab.experiments.preview import explain_graph
from prismlab.experiments.recipe import resources
from prismlab.experiments.recipe.addresses import fingerprints, stages
from prismlab.experiments.run import engine
from prismlab.experiments.store import leases, store, work_directory

FILE = "smoke.gin"


@pytest.fixture(scope="module")
def ablation():
    return strict.load(FILE).root


@pytest.fixture
def known(ablation, shared_cache):
    return {unit.name: unit for unit in units.units(ablation, fingerprints.Fingerprints(shared_cache))}


@pytest.fixture
def trained(monkeypatch):
    """Record what is trained, and let it count as done."""
    names: list[str] = []
    monkeypatch.setattr(engine.Engine, "train", lambda self, planned: names.append(planned.folder))
    monkeypatch.setattr(units, "is_done", lambda unit, workdir: unit.name in names)
    return names


def words(name: str, workdir) -> list[str]:
    return ["run-unit", name, FILE, "--workdir", str(workdir)]


def test_a_unit_runs_once_after_those_that_it_needs(known, trained, tmp_path, capsys):
    first = next(unit for unit in known.values() if not unit.needs)
    second = next(unit for unit in known.values() if unit.needs == (first.name,) and not unit.row)
    assert main.main(words(second.name, tmp_path)) == exits.USER_ERROR
    assert f"{second.name} needs {first.name}, which must be done first" in capsys.readouterr().err
    for unit in (first, second, first):
        assert main.main(words(unit.name, tmp_path)) == exits.DONE
    assert trained == [first.name, second.name]
    assert "already done" in capsys.readouterr().out
    assert not leases.living(tmp_path)


def test_every_name_that_the_graph_prints_is_that_of_a_unit(ablation, known, shared_cache, tmp_path):
    lines = stages.lines(ablation.experiments(), ablation.seeds, fingerprints.Fingerprints(shared_cache))
    names = [node.name for node in explain_graph.graph(lines, store.of(tmp_path))]
    found = [units.named(name, list(known.values())) for name in names]
    assert {unit and unit.name for unit in found} == set(known)
    assert units.named("probe-0", list(known.values())) is None
    stage = next(unit for unit in known.values() if not unit.row)
    assert units.named(f"before-s0-{stage.planned.address}", list(known.values())) == stage


def test_two_engines_that_start_a_unit_run_it_once(
    ablation, known, trained, tmp_path, shared_cache, monkeypatch
):
    name = next(iter(known))
    begun, go_on = threading.Event(), threading.Event()

    def train(self, planned):
        begun.set()
        assert go_on.wait(20)
        trained.append(planned.folder)

    monkeypatch.setattr(engine.Engine, "train", train)
    monkeypatch.setattr(leases, "BEAT", 0.02)
    codes = []
    run = lambda: codes.append(unit_run.run(name, tmp_path, shared_cache, ablation, console.silent()))
    both = [threading.Thread(target=run) for _ in range(2)]
    for each in both:
        each.start()
        assert begun.wait(20)
    go_on.set()
    for each in both:
        each.join()
    assert codes == [exits.DONE] * 2
    assert trained == [name]


@pytest.mark.parametrize(
    ("error", "code", "noted"),
    [
        (errors.UserError("clip 7 is damaged"), exits.USER_ERROR, True),
        (loop.Diverged("loss is not finite"), exits.DIVERGED, True),
        (loop.Interrupted("stopped after step 3"), exits.INTERRUPTED, False),
        (buckets.Unreachable("the bucket is away"), exits.INTERRUPTED, False),
    ],
)
def test_the_exit_code_says_how_a_unit_ended(
    known, trained, tmp_path, monkeypatch, capsys, error, code, noted
):
    name = next(iter(known))

    def train(self, planned):
        raise error

    monkeypatch.setattr(engine.Engine, "train", train)
    assert main.main(words(name, tmp_path)) == code
    told = capsys.readouterr().err.splitlines()
    assert len([line for line in told if str(error) in line]) == 1, told
    assert leases.failures(tmp_path) == ({name: str(error)} if noted else {})
    assert not leases.living(tmp_path)


@pytest.mark.parametrize("field", ["units", prepared.EVALUATIONS])
def test_an_unknown_unit_is_explained_by_what_differs(known, tmp_path, capsys, field):
    assert main.main(words("stage1-s0-0123", tmp_path)) == exits.USER_ERROR
    assert "no unit of this ablation is named 'stage1-s0-0123'" in capsys.readouterr().err
    facts = prepared.facts(list(known.values()))
    facts["code"]["prismlab.objectives.masked"] = "edited"
    work_directory.record(tmp_path / prepared.FILE, {**facts, field: ["stage1-s0-0123"]})
    assert main.main(words("stage1-s0-0123", tmp_path)) == exits.USER_ERROR
    assert "other code or data than the command that prepared" in capsys.readouterr().err


RESERVE = """
from __gin__ import dynamic_registration
include 'smoke.gin'
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe import resources
recipe.Stage.reserve = @resources.Resources()
recipe.Experiment.reserve = @resources.Resources()
resources.Resources.cores = 8
resources.Resources.memory_gigabytes = 2
resources.Resources.chips = 4
"""


def test_what_a_unit_reserves_is_not_in_its_address(ablation, tmp_path):
    (tmp_path / "x.gin").write_text(RESERVE)
    before, after = units.units(ablation), units.units(strict.load(str(tmp_path / "x.gin")).root)
    assert [unit.name for unit in after] == [unit.name for unit in before]
    assert {unit.reserve for unit in after} == {resources.Resources(8, 2, 4)}
    assert {unit.reserve for unit in before} == {resources.Resources()}


@pytest.mark.parametrize("field", ["cores", "memory_gigabytes", "chips"])
def test_nothing_negative_can_be_reserved(field):
    with pytest.raises(errors.UserError, match=rf"Resources\.{field} must be at least 0, got -1"):
        resources.Resources(**{field: -1})
