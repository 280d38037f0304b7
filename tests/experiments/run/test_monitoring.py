"""Monitors watch a stage without changing it; a collapse keeps the last healthy checkpoint."""

import dataclasses
import pathlib

import cli
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors, trees
from prismlab.core.events import event_log
from prismlab.core.train.checkpoints import checkpoint
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.monitors import micro_set, neighbours, representation, statistics
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import engine, monitoring

BASE = strict.load(cli.QUICK).root
MICRO = micro_set.MicroSet(BASE.stages[0].data.sources["clean"], frames=2, resolution=16, size=8)


@dataclasses.dataclass(frozen=True)
class Falls:
    """A monitor whose features count as collapsed at the given measurement."""

    at: int
    every: int = 1
    tower: str = "video"

    def clips(self, cache):
        return MICRO.pixels(cache)

    def measure(self, features, teacher, cache):
        return {"deviation": statistics.feature_deviation(features)}

    def collapsed(self, now, best):
        calls.append(None)
        return "it fell" if len(calls) >= self.at else None


calls: list[None] = []


def trained(workdir, monitors, stage=0, **fields):
    """Train the stages up to one with monitors; return its plan and the engine."""
    changed = list(BASE.stages[: stage + 1])
    changed[stage] = dataclasses.replace(changed[stage], monitors=monitors, **fields)
    runner = engine.Engine(workdir, cli.CACHE, console.make_console())
    planned = stages.plan(recipe.Experiment("x", tuple(changed)), 0)
    for each in planned:
        runner.train(each)
    return planned[-1], runner


def events(planned, workdir, kind):
    path = workdir / "stages" / planned.folder / "events.jsonl"
    return [event for event in event_log.read(path) if event["kind"] == kind]


@pytest.mark.long
def test_monitors_measure_the_tower_and_change_nothing(tmp_path):
    plain, runner = trained(tmp_path / "plain", {})
    before = trees.digest(trees.flatten(runner.towers(plain)))
    monitors = {
        "state": representation.Representation(MICRO, every=2),
        "knn": neighbours.Neighbours(MICRO, "motion", every=4),
    }
    planned, runner = trained(tmp_path / "watched", monitors)
    assert planned.address == plain.address
    towers = runner.towers(planned)
    assert trees.digest(trees.flatten(towers)) == before
    first, last = events(planned, tmp_path / "watched", "monitor")
    assert (first["step"], last["step"]) == (2, 4)
    clips = jnp.asarray(MICRO.pixels(cli.CACHE), jnp.float32) / 255
    features = np.asarray(towers["video"](clips).tokens.x.mean(axis=1))
    assert last["state: effective rank"] == pytest.approx(statistics.effective_rank(features), abs=1e-4)
    assert "knn: nearest motion" in last
    assert "knn: nearest motion" not in first
    assert not events(planned, tmp_path / "watched", "collapse")


@pytest.mark.slow
def test_the_teacher_is_compared_with(tmp_path):
    planned, _ = trained(tmp_path, {"state": representation.Representation(MICRO, every=4)}, stage=1)
    (found,) = events(planned, tmp_path, "monitor")
    assert 0 < found["state: teacher alignment"] <= 1 + 1e-6


@pytest.mark.slow
def test_the_last_healthy_checkpoint_outlives_a_collapse(tmp_path, capsys):
    calls.clear()
    steps = dataclasses.replace(BASE.stages[0].run, checkpoint_every=1)
    planned, _ = trained(tmp_path, {"falls": Falls(at=4)}, steps=8, run=steps)
    (alarm,) = events(planned, tmp_path, "collapse")
    # Step 3 was healthy when the newest checkpoint was that of step 2.
    assert (alarm["step"], alarm["checkpoint"], alarm["reason"]) == (4, 2, "falls: it fell")
    left = sorted(int(p.name) for p in (tmp_path / "stages" / planned.folder / "checkpoints").glob("[0-9]*"))
    assert left == [2, 7, 8]
    assert "features collapsed by step 4 (falls: it fell); the checkpoint of step 2 is kept" in (
        " ".join(capsys.readouterr().out.split())
    )
    assert len(events(planned, tmp_path, "monitor")) == 8


@pytest.fixture
def store(tmp_path):
    made = checkpoint.Checkpoints(tmp_path / "checkpoints")
    yield made
    made.close()


def watching(store, history, at, monitor):
    from prismlab.core.parallel import mesh
    from prismlab.experiments.run import initial_state

    built, _ = initial_state.build(BASE.stages[0], 0, None, None)
    log = event_log.Silent()
    return monitoring.Monitoring(
        {"falls": monitor}, built, None, mesh.make(), pathlib.Path(cli.CACHE), store, log, print, history, at
    )


@pytest.mark.parametrize(("at", "kept"), [(2, 1), (3, 1), (1, None)])
def test_a_resumed_stage_remembers_what_was_healthy(store, tmp_path, at, kept):
    with event_log.EventLog(tmp_path / "events.jsonl") as log:
        log.write(2, "monitor", {"falls: deviation": 0.5})
        log.write(2, "healthy", {"checkpoint": 1})
        log.write(3, "collapse", {"checkpoint": 1, "reason": "x"})
    watching(store, tmp_path / "events.jsonl", at, Falls(at=9))
    assert store.protected == kept


def test_a_tower_that_does_not_exist_is_refused(store):
    with pytest.raises(errors.UserError, match="monitor 'falls': no tower is called 'sound'"):
        watching(store, None, 0, Falls(at=1, tower="sound"))


def test_a_label_that_clips_lack_is_refused():
    with pytest.raises(errors.UserError, match="has no label 'mood'"):
        neighbours.Neighbours(MICRO, "mood").clips(cli.CACHE)


def test_what_is_no_monitor_is_refused():
    with pytest.raises(errors.UserError, match=r"'state' is no monitor: .*; write a class with \(\)"):
        dataclasses.replace(BASE.stages[0], monitors={"state": representation.Representation})


def test_a_rank_that_falls_below_its_share_is_a_collapse():
    monitor = representation.Representation(MICRO, alarm=0.5)
    best = {representation.RANK: 10.0, representation.DEVIATION: 0.8}
    assert monitor.collapsed({representation.RANK: 6.0, representation.DEVIATION: 0.7}, best) is None
    fell = monitor.collapsed({representation.RANK: 4.0, representation.DEVIATION: 0.7}, best)
    assert fell == "effective rank fell from 10 to 4"


def test_monitors_of_one_tower_and_micro_set_share_its_encoder_pass(store, monkeypatch):
    from prismlab.core.parallel import mesh
    from prismlab.experiments.run import initial_state

    encode, passes = monitoring._encoder, []
    counted = lambda run: lambda arrays, clips: passes.append(1) or run(arrays, clips)
    monkeypatch.setattr(monitoring, "_encoder", lambda *of: counted(encode(*of)))
    built, _ = initial_state.build(BASE.stages[0], 0, None, None)
    monitors = {
        "one": Falls(at=9),
        "two": Falls(at=9),
        "knn": neighbours.Neighbours(MICRO, "motion", every=1),
    }
    watch = monitoring.Monitoring(
        monitors, built, None, mesh.make(), pathlib.Path(cli.CACHE), store, event_log.Silent(), print
    )
    watch(1, built.towers)
    assert len(passes) == 1
