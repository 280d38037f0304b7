"""Every benchmark of the catalog is a score of its gin file; other scores say why the paper has none."""

import functools
import types

import pytest
import test_gin_eval

from prismlab.experiments.tasks import captioning, retrieval
from prismlab.experiments.tasks.evaluations import catalog, paper_scores
from prismlab.experiments.tasks.readers.rendered_world import rendered_questions


@functools.cache
def scores(name):
    more = ["WORDNET='made/up'"] if name == "nextqa_open.gin" else []  # else WUPS is left out
    tasks = test_gin_eval.load(name, *more).tasks
    return {(title, score) for title, task in tasks.items() for score in task.metric_names()}


@pytest.mark.parametrize("row", catalog.ROWS, ids=lambda row: row.benchmark)
def test_a_benchmark_is_a_score_of_its_gin_file(row):
    task, score = paper_scores.scored(row)
    if row.benchmark == "ActivityNet 1.3":  # a variant that needs a file
        score = score.removesuffix(", external classifier")
    assert (task, score) in scores(row.gin.removeprefix("eval/"))
    place = paper_scores.place(task, None, paper_scores.scored(row)[1])
    assert place == paper_scores.Place(place.group, row.base / 100, row.giant / 100, "")
    assert place.group in paper_scores.GROUPS


def test_no_two_benchmarks_are_one_score():
    assert len({paper_scores.scored(row) for row in catalog.ROWS}) == len(catalog.ROWS)


def test_other_scores_have_a_group_and_a_reason():
    def task(kind, reader):
        made = object.__new__(kind)
        object.__setattr__(made, "reader", reader)
        return made

    world = object.__new__(rendered_questions.RenderedQuestions)
    place = paper_scores.place("captions", task(captioning.Captioning, world), "CIDEr")
    assert place == paper_scores.Place("captions and questions", otherwise="rendered world: not comparable")
    other = paper_scores.place("MSRVTT 1kA", task(retrieval.Retrieval, None), "text_to_video_R@5")
    assert other == paper_scores.Place("retrieval and zero-shot", otherwise="no such score in the paper")
    # Own classes of ActivityNet are not what the paper scored.
    own = paper_scores.place("ActivityNet", None, "mAP, tIoU .5:.95 (official)")
    assert (own.group, own.base) == ("video understanding", None)
    assert paper_scores.place("mine", types.SimpleNamespace(), "score").group == ""
