"""`prismlab eval` on a stage: scores, reuse, interval over items, and clear errors."""

import dataclasses
import json
import shutil

import cli
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from prismlab.core import errors
from prismlab.data.loader import tokenizer as words
from prismlab.experiments.encoders import evaluate, frozen_encoder
from prismlab.experiments.recipe import progress
from prismlab.experiments.statistics import results_table
from prismlab.experiments.store import store
from prismlab.experiments.tasks import task
from prismlab.experiments.tasks.evaluations import evaluation, paper_scores
from prismlab.experiments.tasks.interface import protocols


@dataclasses.dataclass(frozen=True)
class Counting:
    """Task that counts how often it ran."""

    size: int = 2

    def __call__(self, towers, *, seed, cache):
        """Return a fixed score."""
        CALLS.append((self.size, seed))
        progress.report("half done")
        outcomes = {"keys": ["a", "b"], "groups": ["a", "b"], "outcomes": [[1.0, 0.0]]}
        facts = {"protocol": "none", "chance": 0.5, "missing": 1}
        return {"accuracy": task.Score(0.5 + seed, self.size, facts, outcomes)}


CALLS: list = []


@dataclasses.dataclass(frozen=True)
class Shown:
    """Task with a protocol."""

    protocol: protocols.Protocol

    def __call__(self, towers, *, seed, cache):
        """Return a fixed score."""
        return Counting()(towers, seed=seed, cache=cache)


@pytest.mark.long
def test_finished_tasks_are_reused_and_seeds_are_averaged(tmp_path):
    encoder = frozen_encoder.FrozenEncoder("e", {}, "digest")
    root = evaluation.Evaluation({"count": Counting()}, seeds=(0, 1))
    CALLS.clear()
    (first,) = evaluate.run(root, encoder, store.of(tmp_path), tmp_path)
    (second,) = evaluate.run(root, encoder, store.of(tmp_path), tmp_path)
    assert first == second
    assert CALLS == [(2, 0), (2, 1)]
    assert (first.value, first.n, first.missing, first.chance) == (1.0, 2, 1, 0.5)
    assert first.interval == pytest.approx(1.96 * 0.5)
    assert first.interval_by == evaluate.MEAN
    evaluate.run(
        evaluation.Evaluation({"count": Counting(3)}, seeds=(1,)), encoder, store.of(tmp_path), tmp_path
    )
    evaluate.run(root, dataclasses.replace(encoder, digest="other"), store.of(tmp_path), tmp_path)
    assert CALLS[2:] == [(3, 1), (2, 0), (2, 1)]


def test_what_a_task_reports_is_passed_on_with_its_name(tmp_path):
    encoder, told = frozen_encoder.FrozenEncoder("e", {}, "digest"), []
    root = evaluation.Evaluation({"count": Counting()})
    listener = lambda done, total, what: told.append((done, total, what))
    evaluate.run(root, encoder, store.of(tmp_path), tmp_path, progress=listener)
    assert (0, 1, "count: half done") in told


def test_a_metric_that_is_no_mean_over_items_has_the_interval_of_its_task():
    names = {"keys": ["a", "b"], "groups": ["a", "b"]}
    kept = [names | {"interval": half, "interval by": "jackknife"} for half in (0.1, 0.2)]
    place = paper_scores.Place("video", 0.4, 0.6)
    line = evaluate._line("task", "mAP", [results_table.Score(0.5, 2, {}, each) for each in kept], place)
    assert (line.group, line.paper, line.giant) == ("video", 0.4, 0.6)
    assert (line.interval, line.interval_by) == (pytest.approx(0.15), "jackknife")
    for old in (names, None):
        line = evaluate._line("task", "mAP", [results_table.Score(0.5, 2, {}, old)], place)
        assert (line.interval, line.interval_by) == (None, "")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=50))
def test_the_interval_of_independent_items_is_that_of_a_mean(values):
    outcomes = np.asarray(values)
    names = [str(index) for index in range(len(values))]
    expected = 1.96 * outcomes.std(ddof=1) / np.sqrt(len(values))
    if not expected:  # the exact interval of a share ends here
        expected = stats.binomtest(0, len(values)).proportion_ci(0.95, "exact").high
    assert evaluate.item_interval(outcomes, names) == pytest.approx(expected)


def test_the_interval_of_items_that_are_all_right_is_not_zero():
    kept = {"keys": ["a", "b"], "groups": ["a", "b"], "outcomes": [[1.0, 1.0]]}
    line = evaluate._line("task", "top-1", [results_table.Score(1.0, 2, {}, kept)], paper_scores.Place(""))
    assert line.interval == pytest.approx(1 - 0.025**0.5)
    assert line.interval_by == evaluate.EXACT


def test_items_of_one_group_count_once():
    outcomes = np.repeat([0.0, 1.0, 1.0, 0.0], 5)
    groups = np.repeat(["a", "b", "c", "d"], 5).tolist()
    alone = evaluate.item_interval(np.asarray([0.0, 1.0, 1.0, 0.0]), ["a", "b", "c", "d"])
    assert evaluate.item_interval(outcomes, groups) == pytest.approx(alone)
    assert evaluate.item_interval(outcomes, ["a"] * 20) is None


@dataclasses.dataclass(frozen=True)
class Deleting:
    """Task under which somebody deletes the work directory."""

    folder: str

    def __call__(self, towers, *, seed, cache):
        """Delete the folder, then return a fixed score."""
        shutil.rmtree(self.folder)
        return Counting()(towers, seed=seed, cache=cache)


def test_a_work_directory_deleted_during_an_evaluation_is_not_made_again(tmp_path):
    encoder, workdir = frozen_encoder.FrozenEncoder("e", {}, "digest"), tmp_path / "w"
    workdir.mkdir()
    root = evaluation.Evaluation({"open": Deleting(str(workdir))})
    with pytest.raises(errors.UserError, match=r"w was deleted while this process used it; run the same"):
        evaluate.run(root, encoder, store.of(workdir), tmp_path)
    assert not workdir.exists()


@dataclasses.dataclass(frozen=True)
class Reading:
    """Task that reads texts: it returns the length of its tokenizer, or nothing."""

    tokenizer: words.Tokenizer | None = None

    def __call__(self, towers, *, seed, cache):
        """Return a fixed score."""
        if "text" not in towers:
            return {}
        return {"length": task.Score(self.tokenizer.length, 1, {"protocol": "none"})}


def test_texts_are_tokenized_as_the_stage_was_trained_unless_the_task_says_how(tmp_path):
    own, other = (words.Tokenizer(model="m", length=length) for length in (7, 9))
    encoder = frozen_encoder.FrozenEncoder("e", {"text": Reading}, "digest", own)
    root = evaluation.Evaluation({"open": Reading(), "said": Reading(other)})
    assert [line.value for line in evaluate.run(root, encoder, store.of(tmp_path), tmp_path)] == [7, 9]


def test_a_task_without_its_tower_is_told(tmp_path):
    told = []
    encoder = frozen_encoder.FrozenEncoder("e", {}, "digest")
    root = evaluation.Evaluation({"open": Reading()})
    progress = lambda done, total, what: told.append(what)
    assert evaluate.run(root, encoder, store.of(tmp_path), tmp_path, progress=progress) == []
    assert "open: no score, the encoder lacks a tower that the task reads (text)" in told


@pytest.mark.parametrize(
    ("encoder", "weights", "match"),
    [("{folder}", None, "no stage's folder"), ("videoprism_wrong", None, "videoprism_public_v1_base")],
)
def test_an_encoder_that_does_not_exist_is_named(tmp_path, encoder, weights, match):
    with pytest.raises(errors.UserError, match=match):
        frozen_encoder.load(encoder.format(folder=tmp_path), weights)


def stage(folder, name, steps):
    path = folder / "stages" / name
    path.mkdir(parents=True)
    (path / "stage.json").write_text(json.dumps({"inputs": {"configuration": {"steps": steps}}}))
    return path


def test_the_untrained_stage_of_a_name_does_not_make_it_ambiguous(tmp_path):
    trained = stage(tmp_path, "stage1-s0-aa", 300)
    assert frozen_encoder.find(str(tmp_path / "stage1"), "--encoder") == trained
    stage(tmp_path, "stage1-s0-bb", 0)
    assert frozen_encoder.find(str(tmp_path / "stage1"), "--encoder") == trained
    stage(tmp_path, "stage1-s1-cc", 300)
    with pytest.raises(errors.UserError, match=r"fits several stages \(stage1-s0-aa, stage1-s1-cc\)"):
        frozen_encoder.find(str(tmp_path / "stage1"), "--encoder")
    untrained = stage(tmp_path, "stage2-s0-dd", 0)
    assert frozen_encoder.find(str(tmp_path / "stage2"), "--encoder") == untrained


@pytest.mark.parametrize(
    ("resolution", "frames", "remark"),
    [
        (32, 8, ""),
        (None, None, ""),
        (16, 8, "frames of 32 px for an encoder that was trained with 16; add RESOLUTION=16 unless"),
        (32, 4, "8 frames of a clip for an encoder that was trained with 4; add FRAMES=4 unless"),
        (16, 4, "frames of 32 px and 8 frames of a clip for an encoder that was trained with 16 and 4; "),
        (16, 4, "add RESOLUTION=16 FRAMES=4 unless"),
    ],
)
def test_other_frames_than_in_training_are_named(tmp_path, resolution, frames, remark):
    encoder = frozen_encoder.FrozenEncoder("e", {}, "digest", resolution=resolution, frames=frames)
    said = []
    shown = protocols.Protocol(resolution=32, frames=8)
    root = evaluation.Evaluation({"count": Shown(shown)})
    evaluate.run(
        root, encoder, store.of(tmp_path), tmp_path, progress=lambda done, total, what: said.append(what)
    )
    assert remark in said[0]
    assert bool(remark) == (said[0] != "count (seed 0)")


SMALL = (
    "FRAMES=2", "RESOLUTION=16", "TRAIN_CLIPS=64", "TEST_CLIPS=32", "clean/world.World.clips=64",
    "test/world.World.clips=32", "world.World.frames=2", "world.World.resolution=16",
    "head_grid.Grid.steps=2", "head_grid.Grid.seeds=1", "probe.Attention.heads=1",
)  # fmt: skip
TWO = "{'three': @science/benchmark.Benchmark(), 'captions': @retrieval.Retrieval()}"


def evaluated(whole, folder, *bindings):
    """Return what the command prints of a stage, its evaluation, and its page."""
    done = cli.run("eval", "eval/world.gin", "--workdir", folder, "--encoder", whole / "stage1", *bindings)
    assert done.returncode == 0, done.stderr
    page = (folder / "evaluation.html").read_text()
    assert "<script" not in page
    return done.stdout, json.loads((folder / "evaluation.json").read_text()), page


@pytest.mark.long
def test_a_trained_stage_is_evaluated(whole, tmp_path):
    printed, read, page = evaluated(whole, tmp_path / "scores", *SMALL, f"evaluation.Evaluation.tasks={TWO}")
    assert "macro accuracy" in printed
    metrics = [(line["task"], line["metric"]) for line in read["lines"]]
    assert metrics[:2] == [("three", "mAP"), ("three", "macro accuracy")]
    # Texts are tokenized as the stage was trained; captions in both directions, with four metrics each.
    assert [task for task, _ in metrics[2:]] == ["captions"] * 8
    assert "captions" in page


@pytest.mark.slow  # each probe compiles for a second
def test_a_trained_stage_is_evaluated_by_every_task_of_the_rendered_world(whole, tmp_path):
    printed, read, page = evaluated(whole, tmp_path / "scores", *SMALL)
    assert "top-1 accuracy" in printed
    tasks = list(dict.fromkeys(line["task"] for line in read["lines"]))
    assert tasks[:3] == ["species", "motion", "species, neighbours"]
    # Several labels a clip; two label sets, together and alone; a background class.
    assert [task.split(" ")[0] for task in tasks[3:6]] == ["species,", "species", "three"]
    metrics = [line["metric"] for line in read["lines"][3:9]]
    sets = ["top-1 accuracy", "top-1 accuracy (species)", "top-1 accuracy (motion)"]
    assert metrics == ["mAP", *sets, "mAP", "macro accuracy"]
    assert tasks[6:] == ["captions", "species, zero-shot", "captions, 5 options"]
    assert len(read["lines"]) == 3 + 6 + 2 * 4 + 2
    assert "species, neighbours" in page
