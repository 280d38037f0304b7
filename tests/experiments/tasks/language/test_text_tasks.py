"""Captioning and question answering: oracle, shuffled answers, the control, vocabularies, shots, notes."""

import dataclasses
import functools
import pathlib
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest
import spoken

from prismlab.core import errors, trees
from prismlab.core.language import decoding
from prismlab.experiments.kit import task_contract
from prismlab.experiments.tasks import captioning, question_answering
from prismlab.experiments.tasks.interface import items, protocols, texts
from prismlab.experiments.tasks.language import closed_answers, models, training_pairs
from prismlab.experiments.tasks.metrics.answers import exact_match, wups

HOW = protocols.Protocol(frames=2, resolution=8)


def ask(**changes):
    shuffle = changes.pop("shuffle", False)
    settings = {
        "language": models.Given(spoken.language_model()), "bridge": spoken.BRIDGE, "protocol": HOW,
        "metrics": (exact_match.ExactMatch(), wups.Wups()), "vocabulary": 5, "tokens": 6, "batch_size": 60,
        "features": spoken.Features(shuffle), **changes,
    }  # fmt: skip
    made = question_answering.QuestionAnswering(spoken.Clips(60, shuffle), **settings)
    scores = made(spoken.TOWERS, seed=0, cache=pathlib.Path())
    assert tuple(scores) == made.metric_names()
    return scores


BRIEF = dataclasses.replace(spoken.BRIDGE, steps=6)


@functools.cache
def briefly():
    """Return the scores of bridges that are hardly trained, for all but their values."""
    return ask(bridge=BRIEF)


@pytest.mark.long
class TestCaptioning(task_contract.TaskContract):
    """The contract that the kit gives to users' packages too; questions have it among the slow tests."""

    kinds = (captioning.Captioning,)
    examples = (
        captioning.Captioning(
            spoken.Clips(60), spoken.Language(), bridge=BRIEF, protocol=HOW, tokens=6, batch_size=60,
            features=spoken.Features(),
        ),
    )  # fmt: skip
    towers = spoken.TOWERS
    largest: ClassVar = {"CIDEr": 10.0}


@pytest.mark.slow
def test_questions_are_answered_with_video_and_by_chance_without():
    scores = ask()
    assert list(scores) == [
        "top-1 (open)", "top-1 (open), no video", "top-1 (closed 5)", "top-1 (closed 5), no video",
    ]  # fmt: skip
    for name, score in scores.items():
        chance = score.protocol["chance"]
        assert score.n == 120
        if name.endswith("no video"):
            assert abs(score.value - chance) < 3 * np.sqrt(0.25 / 120)
        else:
            assert score.value > 0.9
            assert score.protocol["no-video control"] == pytest.approx(
                scores[f"{name}, no video"].value, abs=1e-6
            )
    assert 0.3 < scores["top-1 (open)"].protocol["chance"] < 0.6


@pytest.mark.slow
def test_shuffled_answers_give_chance():
    scores = ask(shuffle=True, control=False, open_vocabulary=False)
    (score,) = scores.values()
    assert score.value < score.protocol["chance"] + 3 * np.sqrt(0.25 / 120)


@pytest.mark.long
def test_what_was_not_computed_is_said_and_examples_are_kept_once():
    scores = list(briefly().values())
    assert scores[0].protocol["not computed"].startswith("WUPS (morphy): no WordNet; set wups.Wups.wordnet")
    examples = scores[0].protocol["examples"]
    assert len(examples) == 8
    assert [name for name, _ in examples[0]["lines"]] == ["asked", "says", "no video", "reference"]
    assert all("examples" not in score.protocol for score in scores[1:])
    assert scores[0].outcomes["keys"][:2] == ["test0 0", "test0 1"]
    assert scores[0].outcomes["groups"][:2] == ["test0", "test0"]


@pytest.mark.long
def test_answers_of_several_words_are_ranked():
    facts = briefly()["top-1 (closed 5)"].protocol
    assert facts["answers in the vocabulary"] == 1.0
    assert "colour" in facts["by type"]
    asked = [each for _, each in texts.questions_of(spoken.clips("test", 60).found)]
    assert "dark blue" in closed_answers.most_common(asked, 5)


@pytest.mark.long
def test_an_answer_outside_the_vocabulary_is_wrong():
    right = [texts.Reference("a", "a", ("Man.",)), texts.Reference("b", "b", ("snow man",))]
    assert closed_answers.share_inside(["man"], right) == 0.5
    one = [texts.Question("0", "who", ("man",))] * 3
    with pytest.raises(
        errors.UserError, match=r"expected two different training answers or more, found \['man'\]"
    ):
        closed_answers.most_common(one, 5)


def test_the_prior_is_the_most_common_answer_to_the_same_question():
    said = lambda text, answer: texts.Question("0", text, (answer,))
    train = [said("Who?", "man"), said("who?", "man"), said("who?", "dog"), said("what?", "tree")]
    asked = [said("who?", ""), said("what?", ""), said("where?", "")]
    assert closed_answers.prior(train, asked) == ["man", "tree", "man"]


def test_shots_are_questions_of_the_two_most_common_answers():
    found = spoken.clips("train", 60).found
    pairs = training_pairs.Questions(shots=2)
    front = pairs.front(found, 3)
    assert front == pairs.front(found, 3)
    assert front.count("question: which shape is it? answer: ") == 2
    assert front.endswith("star. ") or front.endswith("ring. ")
    made = pairs.of(found, 3)[0]
    assert made.prompt == front + "question: which colour is it? answer:"
    assert training_pairs.Questions().front(found, 3) == ""


@pytest.mark.parametrize(
    ("generated", "expected"),
    [("man. question: what is it? answer: dog.", "man"), ("a man", "a man"), ("man.", "man"), ("", ""),
     ("question: who", "")],
)  # fmt: skip
def test_the_answer_is_what_stands_before_the_next_question(generated, expected):
    assert closed_answers.first_answer(generated) == expected


@pytest.mark.slow
def test_a_bridge_of_captions_answers_questions_without_training_on_them():
    scores = ask(
        train_pairs=training_pairs.Captions(), pairs=training_pairs.Questions(shots=2), control=False,
        vocabulary=0, bridge=dataclasses.replace(spoken.BRIDGE, steps=10, longest=64),
    )  # fmt: skip
    (score,) = scores.values()
    assert score.protocol["training pairs"] == 60
    assert score.n == 120


@pytest.mark.slow
def test_captions_are_scored_beside_the_control():
    made = captioning.Captioning(
        spoken.Clips(60), models.Given(spoken.language_model()), bridge=spoken.BRIDGE, protocol=HOW, tokens=8,
        batch_size=60, features=spoken.Features(),
    )  # fmt: skip
    scores = made(spoken.TOWERS, seed=0, cache=pathlib.Path())
    assert tuple(scores) == made.metric_names() == ("CIDEr", "CIDEr, no video")
    assert scores["CIDEr"].value > 5 * scores["CIDEr, no video"].value
    facts = scores["CIDEr"].protocol
    first, last = map(float, facts["training loss"].split(" -> "))
    assert last < 0.7 * first
    assert facts["parameters trained"] < 2000
    assert facts["examples"][0]["lines"][0][0] == "says"


def test_clips_without_captions_or_questions_are_refused():
    @dataclasses.dataclass(frozen=True)
    class Silent:
        def read(self, split, cache):
            kept = tuple(items.Item(item.key) for item in spoken.clips(split, 60).found.items)
            return items.ItemSet(split, kept, (), spoken.picture)

    @dataclasses.dataclass(frozen=True)
    class Plain:
        def encode(self, found, encoder, cache):
            return dataclasses.replace(spoken.clips(found.name, len(found)), found=found)

    settings = {"language": models.Given(spoken.language_model()), "protocol": HOW, "features": Plain()}
    made = captioning.Captioning(Silent(), **settings)
    with pytest.raises(errors.UserError, match="item 'test0' has no caption to compare with"):
        made(spoken.TOWERS, seed=0, cache=pathlib.Path())
    asked = question_answering.QuestionAnswering(Silent(), **settings)
    with pytest.raises(errors.UserError, match="train: expected clips with questions, found none"):
        asked(spoken.TOWERS, seed=0, cache=pathlib.Path())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocabulary": 0, "open_vocabulary": False}, "set a vocabulary, open_vocabulary, or both"),
        ({"metrics": ()}, "expected a metric"),
        ({"protocol": protocols.Protocol(pooling="mean")}, "a bridge reads tokens of one view"),
        ({"protocol": protocols.Protocol(crop="three")}, "a bridge reads tokens of one view"),
        ({"tokens": 0}, "expected tokens and batch_size of at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_evaluated_are_refused(changes, message):
    with pytest.raises(errors.UserError, match=message):
        question_answering.QuestionAnswering(spoken.Clips(), models.Given(None), **changes)


@pytest.mark.long
def test_without_a_metric_that_can_be_computed_there_is_no_score():
    with pytest.raises(errors.UserError, match="no score can be computed: WUPS"):
        ask(
            metrics=(wups.Wups(),),
            vocabulary=0,
            control=False,
            bridge=dataclasses.replace(spoken.BRIDGE, steps=6),
        )


@pytest.mark.slow
def test_the_small_language_model_learns_its_texts_and_is_the_same_every_time():
    made = spoken.SMALL.load(pathlib.Path())
    end = made.special.end
    for asked, known in (("shape", spoken.SHAPES), ("colour", spoken.COLOURS)):
        ids = jnp.asarray(
            [[end, *made.tokenizer.encode(f"question: which {asked} is it? answer:")]], jnp.int32
        )
        every = jnp.ones(ids.shape, bool)
        found = decoding.greedy(made.decoder, made.special, made.decoder.embed(ids), every, 4)
        assert made.text(found[0].tolist()) in known
    short = dataclasses.replace(spoken.SMALL, steps=2)
    again = dataclasses.replace(short, seed=0, rate=0.01)
    assert trees.digest(trees.flatten(short.load(pathlib.Path()).decoder)) == trees.digest(
        trees.flatten(again.load(pathlib.Path("other")).decoder)
    )
