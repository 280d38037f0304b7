"""Addresses decide what is shared; a work directory belongs to one configuration and one process."""

import dataclasses
import functools
import json
import pathlib
import shutil

import cli
import equinox as eqx
import jax
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, trees
from prismlab.core.train import learner
from prismlab.core.train.checkpoints import stage_folder
from prismlab.core.train.loops import loop
from prismlab.experiments import console
from prismlab.experiments.gin_strict import strict
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.run import engine, stage_start
from prismlab.experiments.store import work_directory
from prismlab.experiments.tasks import task

BASE = strict.load(cli.QUICK).root


def change(stage: int, **fields) -> recipe.Experiment:
    stages = list(BASE.stages)
    stages[stage] = dataclasses.replace(stages[stage], **fields)
    return dataclasses.replace(BASE, stages=tuple(stages))


def addresses(experiment: recipe.Experiment, seed: int = 0) -> list[str]:
    return [each.address for each in stages.plan(experiment, seed)]


def test_rows_that_differ_in_stage_2_share_stage_1():
    before, after = addresses(BASE), addresses(change(1, steps=5))
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_rows_that_differ_in_stage_1_share_nothing():
    before, after = addresses(BASE), addresses(change(0, steps=5))
    assert not set(before) & set(after)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 999), st.integers(1, 999), st.integers(0, 1))
def test_how_a_stage_is_watched_does_not_change_its_address(every, log, stage):
    assert addresses(change(stage, run=loop.Settings(checkpoint_every=every, log_every=log))) == addresses(
        BASE
    )


def test_the_seed_changes_every_address():
    assert not set(addresses(BASE, 0)) & set(addresses(BASE, 1))


@pytest.mark.parametrize(
    "fields",
    [{"steps": 5}, {"batch_size": 8}, {"frozen": ("towers/text",)},
     {"data": dataclasses.replace(BASE.stages[0].data, frames=1)},
     {"optimizer": dataclasses.replace(BASE.stages[0].optimizer, weight_decay=0.5)}],
    ids=lambda fields: next(iter(fields)),
)  # fmt: skip
def test_what_decides_the_result_changes_the_address(fields):
    only = dataclasses.replace(BASE, stages=BASE.stages[:1])
    changed = dataclasses.replace(BASE, stages=(dataclasses.replace(BASE.stages[0], **fields),))
    assert addresses(only) != addresses(changed)


def test_the_teacher_is_part_of_the_address():
    assert addresses(change(1, teacher=None))[1] != addresses(BASE)[1]
    assert addresses(change(1, init_from=None))[1] != addresses(BASE)[1]


@pytest.mark.parametrize("field", ["init_from", "teacher"])
def test_a_parent_that_is_nowhere_is_refused(field, tmp_path):
    for name in ("stage7", "stage2", str(tmp_path)):  # unknown, itself, a folder without checkpoints
        with pytest.raises(
            errors.UserError, match=f"stage 'stage2': {field}='{name}' is neither an earlier stage"
        ):
            stages.plan(change(1, **{field: name}), 0)


@pytest.fixture
def parent(whole, tmp_path) -> pathlib.Path:
    (found,) = whole.glob("stages/stage1-*")
    return pathlib.Path(shutil.copytree(found, tmp_path / "parent"))


def test_a_folder_may_be_the_parent_and_its_weights_are_the_address(parent, whole, tmp_path):
    before = addresses(change(1, teacher=str(parent), init_from=str(parent)))[1]
    moved = shutil.copytree(parent, tmp_path / "moved")
    assert addresses(change(1, teacher=str(moved), init_from=str(moved)))[1] == before  # wherever it stands
    newest = max(int(path.name) for path in (parent / "checkpoints").glob("[0-9]*"))
    shutil.rmtree(parent / "checkpoints" / str(newest))
    with pytest.raises(
        errors.UserError, match=r"done\.json says step 8, but the newest checkpoint is step 7"
    ):
        addresses(change(1, teacher=str(parent), init_from=str(parent)))
    (parent / "done.json").unlink()  # a stage that was never finished may be a parent
    # The last step has rate 0 (`optim.Schedule.end`), so that steps 7 and 8 have equal weights.
    assert addresses(change(1, teacher=str(parent), init_from=str(parent)))[1] == before
    (other,) = whole.glob("stages/stage2-*")
    assert addresses(change(1, teacher=str(other), init_from=str(other)))[1] != before


@pytest.mark.parametrize("field", ["init_from", "teacher"])
def test_a_half_written_parent_is_refused(field, parent):
    newest = max((parent / "checkpoints").glob("[0-9]*"), key=lambda path: int(path.name))
    data = [path for path in (newest / "learner").rglob("*") if path.is_file() and path.stat().st_size]
    assert data
    for path in data:
        path.unlink()
    with pytest.raises(errors.UserError, match="cannot be read: it is damaged"):
        stages.plan(change(1, **{field: str(parent)}), 0)


def test_a_parent_of_another_shape_is_refused(parent, tmp_path):
    wide = {name: _wider(make) for name, make in BASE.stages[0].towers.items()}
    runner = engine.Engine(tmp_path / "w", cli.CACHE, console.make_console())
    told = r"has other shapes: towers/\S+: expected \(.*\), got \("
    begun = recipe.Experiment("x", (dataclasses.replace(BASE.stages[0], towers=wide, init_from=str(parent)),))
    with pytest.raises(errors.UserError, match=told):
        runner.train(stages.plan(begun, 0)[0])


def _wider(tower):
    return functools.partial(tower, dim=16)


def hold(workdir: pathlib.Path, root, text: str = "text"):
    return work_directory.claimed(workdir, root, text)


def test_a_work_directory_keeps_its_configuration(tmp_path):
    with hold(tmp_path / "w", BASE):
        pass
    with hold(tmp_path / "w", BASE):
        assert json.loads((tmp_path / "w/config.json").read_text()) == describe.describe(BASE)
        assert (tmp_path / "w/config.gin").read_text() == "text"


@pytest.mark.parametrize("kept", [None, b"", b"{", b"\xff\xfe", b"[]"])
def test_a_directory_with_stages_takes_any_configuration(kept, tmp_path):
    (tmp_path / "stages/stage1-s0-0/checkpoints/2").mkdir(parents=True)
    if kept is not None:
        (tmp_path / "config.json").write_bytes(kept)
    for root in (BASE, change(1, steps=5), recipe.Ablation("a", BASE, {"base": {}}, (0, 1))):
        with hold(tmp_path, root):
            assert json.loads((tmp_path / "config.json").read_text()) == describe.describe(root)


def test_a_directory_of_the_old_modules_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"class": "experiments.recipe.Ablation"}')
    with pytest.raises(errors.UserError, match="before the modules of prismlab moved"), hold(tmp_path, BASE):
        pass


def test_a_second_process_is_refused(tmp_path):
    with (
        hold(tmp_path, BASE),
        pytest.raises(errors.UserError, match="another process is running"),
        hold(tmp_path, BASE),
    ):
        pass
    with hold(tmp_path, BASE):
        pass  # the first one has let go


def test_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match="is a file"), hold(tmp_path / "file", BASE):
        pass


@dataclasses.dataclass(frozen=True)
class Counts:
    """A task that says how often it was asked."""

    value: float = 1.0
    asked = []  # noqa: RUF012

    def __call__(self, towers, *, seed, cache):
        self.asked.append(seed)
        return {"same name": task.Score(self.value, 1, {})}


def test_each_task_is_asked_once_and_no_score_hides_another(tmp_path):
    runner = engine.Engine(tmp_path, cli.CACHE, console.make_console())
    planned = stages.plan(BASE, 3)[0]
    runner.towers = lambda planned: {"video": eqx.nn.Identity()}
    judged = stages.evaluations(planned, {"one": Counts(1.0), "two": Counts(2.0)})
    for _ in range(2):
        scores = runner.score(planned, judged)
        assert {name: score["value"] for name, score in scores.items()} == {
            "same name": 1.0,
            "two: same name": 2.0,
        }
        # Where the outcomes of single items lie, under the task's own name of the metric.
        place = {"address": judged[1].address, "metric": "same name"}
        assert scores["two: same name"]["items"] == place
        assert scores["two: same name"]["outcomes"] is None
    assert Counts.asked == [3, 3]


def test_a_vocabulary_that_does_not_fit_is_refused():
    towers = {name: make(key=jax.random.key(0)) for name, make in tiny.QUICK.items()}
    built = learner.Learner(towers, {})
    with pytest.raises(errors.UserError, match=r"vocabulary=11 is smaller than the tokenizer's 12"):
        stage_start.check_vocabulary(built, 12)
    stage_start.check_vocabulary(built, 11)


def test_digests_are_of_the_parameters(whole):
    found = work_directory.digests(whole)
    assert [(name.partition("-")[0], at) for name, at, _ in found] == [("stage1", 8), ("stage2", 8)]
    for name, _, sha in found:
        done = json.loads((whole / "stages" / name / "done.json").read_text())
        assert done == {"step": 8, "digest": sha}
    with pytest.raises(errors.UserError, match="holds no saved stage"):
        work_directory.digests(whole / "nothing")


def test_a_single_changed_byte_of_a_finished_stage_is_found(whole, tmp_path):
    stage = pathlib.Path(shutil.copytree(next(whole.glob("stages/stage1-*")), tmp_path / "stage"))
    at, arrays = stage_folder.read(stage)
    assert (at, trees.digest(arrays)) == (8, json.loads((stage / "done.json").read_text())["digest"])
    data = max((stage / "checkpoints/8/learner").rglob("d/*"), key=lambda path: path.stat().st_size)
    kept = data.read_bytes()
    damaged = 0
    for place in range(0, len(kept), len(kept) // 64):
        data.write_bytes(kept[:place] + bytes([kept[place] ^ 4]) + kept[place + 1 :])
        try:
            found = trees.digest(stage_folder.read(stage)[1])
        except errors.UserError:
            damaged += 1
            if damaged > 4:
                break
        else:  # a byte in which no array of the learner lies
            assert found == trees.digest(arrays)
    assert damaged > 4, len(kept)


def test_a_stage_of_no_steps_keeps_what_it_starts_from(whole, tmp_path):
    (parent,) = whole.glob("stages/stage1-*")
    still = dataclasses.replace(BASE.stages[0], steps=0, init_from=str(parent))
    (planned,) = stages.plan(recipe.Experiment("x", (still,)), 0)
    runner = engine.Engine(tmp_path, cli.CACHE, console.make_console())
    for _ in range(2):
        runner.train(planned)
        ((_, at, sha),) = work_directory.digests(tmp_path)
        assert at == 0
        assert sha == work_directory.digests(whole)[0][2]
        (tmp_path / "stages" / planned.folder / "done.json").unlink()  # as if killed just before its end
