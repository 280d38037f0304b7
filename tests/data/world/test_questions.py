"""Questions about rendered clips: true, and of equally frequent answers in each type."""

import collections
import functools

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.loader import source
from prismlab.data.world import questions, world
from prismlab.experiments.tasks.interface import texts
from prismlab.experiments.tasks.readers.rendered_world import rendered, rendered_questions

WORLD = world.World(clips=6)


@functools.cache
def labels_of(index):
    truth = WORLD.truth(index)
    return {name: getattr(truth, name) for name in ("species", "colour", "background", "motion")}


@pytest.mark.parametrize("kind", questions.ASKED)
def test_answers_of_a_type_are_equally_frequent(kind):
    counts = collections.Counter()
    for index in range(400):
        (answer,) = [
            a for _, a, k in questions.balanced(labels_of(index), np.random.default_rng(index)) if k == kind
        ]
        counts[answer] += 1
    answers = questions.ASKED[kind][1]
    share = 1 / len(answers)
    assert set(counts) == set(answers)
    assert max(abs(count / 400 - share) for count in counts.values()) < 4 * np.sqrt(share * (1 - share) / 400)


def test_yes_is_said_of_the_motion_that_is_shown_and_no_of_another():
    labels = {"species": "star", "colour": "red", "background": "checks", "motion": "left"}
    said = collections.defaultdict(set)
    for seed in range(60):
        asked = {kind: (text, a) for text, a, kind in questions.balanced(labels, np.random.default_rng(seed))}
        assert asked["motion"] == ("what is the shape doing", "moving left")
        text, answer = asked["yes or no"]
        said[answer].add(text)
    assert said["yes"] == {"is the shape moving left"}
    assert len(said["no"]) == 7
    assert "is the shape moving left" not in said["no"]


def test_the_reader_asks_the_same_questions_every_time(tmp_path):
    home = source.Rendered(WORLD, workers=0)
    reader = rendered_questions.RenderedQuestions(rendered.RenderedWorld(home, home), ("colour", "yes or no"))
    found = reader.read("test", tmp_path)
    asked = texts.questions_of(found)
    assert asked == texts.questions_of(reader.read("test", tmp_path))
    assert [each.kind for _, each in asked[:2]] == ["colour", "yes or no"]
    assert asked[0][1].answers == (WORLD.truth(0).colour,)
    assert found.load(found.items[0]).video
    with pytest.raises(errors.UserError, match=r"kinds are .*, got \['size'\]"):
        rendered_questions.RenderedQuestions(reader.world, ("size",))
