"""Rows that train together leave what single runs leave: folders, digests, logs; and read each batch once."""

import contextlib
import dataclasses
import json
import shutil
import threading

import cli
import jax
import pytest
import tiny

from prismlab.core import errors
from prismlab.core.events import event_log, stop_signal
from prismlab.core.train import learner, optim
from prismlab.core.train.loops import co_training, loop
from prismlab.core.train.steps import step
from prismlab.data.loader import stream
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import recipe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import co_trained, engine, rows, shared_batches, stage_start

BASE = strict.load(cli.TINY).root
STEPS = 4
# Arguments of the objective by the name of the stage; stand-ins for objectives compile at once.
OBJECTIVES = {"a": {}, "b": {"weight": 0.5}, "c": {"bound": 0.9}, "broken": {"weight": 1e38}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let a stage begin with what compiles at once, in all threads alike."""
    monkeypatch.setattr(engine.Engine, "begin", begin)
    before = jax.config.jax_numpy_dtype_promotion
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    yield
    jax.config.update("jax_numpy_dtype_promotion", before)


def begin(self, planned, devices, among=None):
    tree = learner.Learner(
        tiny.line_learner(planned.seed).towers, {"bowl": tiny.Bowl(**OBJECTIVES[planned.stage.name])}
    )
    built = optim.AdamW(optim.Schedule(0.1, 1), clip_norm=None).build(STEPS)
    state = step.init(tree, built, (), key=jax.random.key(planned.seed))
    training = loop.Training(None, built, lambda at: 0.1, STEPS, local=True)
    opened = planned.stage.data.open(4, STEPS, planned.seed, planned.position, self.cache)
    return stage_start.Start(devices, opened, tree, 0, state, training)


def lines(names: str, seed: int = 0) -> list[stages.Line]:
    """Return a row for each name, whose stages differ in a number."""
    found = {}
    for number, name in enumerate(names.split()):
        settings = loop.Settings(checkpoint_every=2, log_every=1)
        stage = dataclasses.replace(
            BASE.stages[1], name=name, init_from=None, teacher=None, steps=STEPS, run=settings,
            optimizer=optim.AdamW(weight_decay=0.1 * number),
        )  # fmt: skip
        found[name] = recipe.Experiment(name, (stage,))
    return stages.lines(found, [seed])


def runner(workdir) -> engine.Engine:
    workdir.mkdir(exist_ok=True)
    return engine.Engine(workdir, cli.CACHE, console.silent())


def digests(workdir) -> dict[str, str]:
    return {
        path.parent.name: json.loads(path.read_text())["digest"]
        for path in workdir.glob("stages/*/done.json")
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return the work directory of single runs, trained by the first test that needs it."""
    return tmp_path_factory.mktemp("single") / "alone"


@pytest.fixture
def alone(home):
    if not home.exists():
        single = runner(home)
        for line in lines("a b c"):
            single.train(line.stages[0])
    return digests(home)


@pytest.fixture
def groups(monkeypatch):
    """Return the groups that are made, as (rows, compared steps)."""
    found, made = [], co_training.Group
    monkeypatch.setattr(
        co_training,
        "Group",
        lambda size, checked, came: found.append((size, checked)) or made(size, checked, came),
    )
    return found


@pytest.mark.long
def test_rows_leave_what_single_runs_leave_and_read_each_batch_once(
    home, alone, groups, tmp_path, monkeypatch
):
    monkeypatch.setattr(co_trained, "_verdict_file", lambda found, cache: tmp_path / f"{len(found)}.json")
    read, plain = [], stream.Stream._noted
    monkeypatch.setattr(
        stream.Stream, "_noted", lambda *given: (read.append(1) or each for each in plain(*given))
    )
    together = runner(tmp_path / "together")
    rows.run(together, lines("a b c"), co_train=True)
    assert digests(tmp_path / "together") == alone
    assert len(read) == STEPS
    logs = [next(where.glob("stages/a-*/events.jsonl")) for where in (home, tmp_path / "together")]
    wanted, found = (
        [(e["step"], e["kind"], e.get("loss"), e.get("digest")) for e in event_log.read(log)] for log in logs
    )
    assert found == wanted
    assert json.loads((tmp_path / "3.json").read_text()) == {"equal": True}
    rows.run(together, lines("a b c", seed=1), co_train=True)
    assert groups == [(3, co_training.CHECKED), (3, 0)]  # the kind of group is known


@pytest.mark.long
def test_a_row_that_diverges_leaves_the_others(alone, tmp_path):
    together = runner(tmp_path / "together")
    ended = rows.run(together, lines("a b c broken"), co_train=True)
    assert [type(each.error) for each in ended.failed] == [loop.Diverged]
    assert digests(tmp_path / "together") == alone


@pytest.mark.long
def test_an_interrupted_group_resumes_to_the_same_bits(alone, groups, tmp_path, monkeypatch):
    class Never:
        """What the threads of the rows see."""

        came = False

    class Stops:
        """A signal that comes during the third step."""

        asked = 0

        @property
        def came(self):
            Stops.asked += 1
            return Stops.asked >= 3

    together = runner(tmp_path / "together")
    with monkeypatch.context() as patch:
        main = threading.current_thread()
        signals = lambda: Stops() if threading.current_thread() is main else Never()
        patch.setattr(stop_signal, "StopSignal", lambda: contextlib.nullcontext(signals()))
        with pytest.raises(loop.Interrupted, match="stopped after step 3 of 4"):
            co_trained.train([line.stages[0] for line in lines("a b c")], together)
    assert not digests(tmp_path / "together")
    rows.run(together, lines("a b c"), co_train=True)
    assert digests(tmp_path / "together") == alone
    assert [size for size, _ in groups] == [3, 3]


@pytest.mark.slow
def test_rows_at_other_steps_train_alone(home, alone, groups, tmp_path):
    together = runner(tmp_path / "together")
    found = lines("a b c")
    co_trained.train([found[0].stages[0]], together)  # one row is no group
    (folder,) = home.glob("stages/b-*")
    begun = shutil.copytree(folder, tmp_path / "together/stages" / folder.name)
    (begun / "done.json").unlink()
    rows.run(together, found, co_train=True)
    assert [size for size, _ in groups] == [2]  # not 'b', which resumes from its last checkpoint
    assert digests(tmp_path / "together") == alone


def test_an_error_of_the_loader_reaches_every_row():
    class Broken(stream.Stream):
        def __init__(self):
            pass

        def read(self, start, ledger):
            ledger.note(start, "clean", [3], ["damaged"])
            yield {"step": start}
            raise errors.UserError("clip 7 is damaged")

    class Ledger(list):
        def note(self, *what):
            self.append(what)

    batches, ledgers = shared_batches.Batches(3), [Ledger(), Ledger(), Ledger()]
    batches.leave(2)
    for index in (0, 1):
        reader = batches.read(index, Broken(), 4, ledgers[index])
        assert next(reader) == {"step": 4}
        with pytest.raises(errors.UserError, match="clip 7 is damaged"):
            next(reader)
    assert ledgers == [[(4, "clean", [3], ["damaged"])]] * 2 + [[]]
