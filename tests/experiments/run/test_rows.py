"""A row or seed that fails leaves the others as they are, and is named in one line."""

import json

import pytest
from user_lab import ablation, lines

from prismlab.core import errors
from prismlab.core.io import buckets
from prismlab.core.train.loops import loop
from prismlab.experiments import console, exits, main
from prismlab.experiments.run import engine, rows

ROWS = "'broken': {'stage1.batch_size': 8}, 'one': {'stages': ('stage1',)}, 'both': {}"


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """Return an engine that trains nothing, and what was trained."""
    (tmp_path / "w").mkdir()
    made = engine.Engine(tmp_path / "w", tmp_path / "cache", console.silent())
    made.trained = []
    made.fault = loop.Diverged("the loss is not finite")

    def train(self, planned):
        if planned.stage.batch_size == 8:
            raise made.fault
        made.trained.append((planned.stage.name, planned.seed))

    monkeypatch.setattr(engine.Engine, "train", train)
    monkeypatch.setattr(engine.Engine, "score", lambda self, planned, evaluations: {})
    return made


def labels(runner) -> list[str]:
    return [each["label"] for each in json.loads((runner.workdir / "results.json").read_text())]


@pytest.mark.parametrize("fault", [loop.Diverged("not finite"), errors.UserError("clip 7 is damaged")])
def test_a_row_that_fails_leaves_the_others(lab, runner, fault):
    found, runner.fault = lines(ablation(lab, ROWS)), fault
    ended = rows.run(runner, found)
    assert labels(runner) == ["one", "both"]
    assert runner.trained == [("stage1", 0), ("stage1", 0), ("stage2", 0)]  # stage 2 of 'broken' is not
    assert [(each.told, each.error) for each in ended.failed] == [("stage stage1, seed 0", fault)]
    assert ended.done == 2
    assert ended.code == (exits.DIVERGED if isinstance(fault, loop.Diverged) else exits.USER_ERROR)


def test_fail_fast_and_what_concerns_all_rows_end_the_run(lab, runner):
    found = lines(ablation(lab, ROWS))
    with pytest.raises(loop.Diverged):
        rows.run(runner, found, fail_fast=True)
    with pytest.raises(loop.Diverged):
        rows.run(runner, found[:1])
    runner.fault = buckets.Unreachable("the bucket is away")
    with pytest.raises(buckets.Unreachable):
        rows.run(runner, found)
    assert not runner.trained


def test_an_evaluation_that_fails_leaves_the_stages_to_other_rows(lab, runner, monkeypatch):
    def score(self, planned, evaluations):
        if planned.stage.name == "stage1":
            raise errors.UserError("no test clips")
        return {}

    monkeypatch.setattr(engine.Engine, "score", score)
    ended = rows.run(runner, lines(ablation(lab, "'one': {'stages': ('stage1',)}, 'both': {}")))
    assert labels(runner) == ["both"]
    assert [each.told for each in ended.failed] == ["'one', seed 0"]


def test_the_command_names_the_seed_prints_the_table_and_exits_with_its_code(
    lab, tmp_path, monkeypatch, capsys
):
    """Stages of no steps: nothing is compiled for training."""
    ablation(lab, "'one': {'stages': ('stage1',)}")
    train = engine.Engine.train

    def failing(self, planned):
        if planned.seed == 1:
            raise loop.Diverged("the loss is not finite")
        train(self, planned)

    monkeypatch.setattr(engine.Engine, "train", failing)
    words = ["ablate", str(lab.parent / "ablation.gin"), "STEPS=0", "--workdir", str(tmp_path / "w")]
    assert main.main([*words, "recipe.Ablation.seeds=(0, 1)"]) == exits.DIVERGED
    told = capsys.readouterr()
    assert told.err.splitlines() == ["prismlab: stage stage1, seed 1: the loss is not finite"]
    assert "table.json" in told.out
    assert [entry["seed"] for entry in json.loads((tmp_path / "w/results.json").read_text())] == [0]
