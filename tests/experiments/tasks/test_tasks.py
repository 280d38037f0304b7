"""Evaluations: they read what is there, say how, and read nothing where nothing is."""

import dataclasses
import importlib
import inspect
import pkgutil
import types

import cli
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings

from prismlab.data.loader import loader, source, tokenizer
from prismlab.data.world import world
from prismlab.experiments import tasks
from prismlab.experiments.kit import task_contract
from prismlab.experiments.tasks import (
    benchmark,
    box_localisation,
    captioning,
    multiple_choice,
    probe,
    question_answering,
    retrieval,
    temporal_localisation,
    zero_shot,
)
from prismlab.experiments.tasks.features import encoder_pass, feature_set
from prismlab.experiments.tasks.heads import head_grid
from prismlab.experiments.tasks.heads import probe as heads
from prismlab.experiments.tasks.interface import protocols
from prismlab.experiments.tasks.language import bridge_fit, small_model, training_pairs
from prismlab.experiments.tasks.readers import captioned_source
from prismlab.experiments.tasks.readers.rendered_world import rendered, rendered_questions

quick = settings(max_examples=25, deadline=None)
HOME = source.Rendered(world.World(clips=160, resolution=16, frames=2), workers=0)
UNSEEN = source.Rendered(world.World(clips=64, resolution=16, frames=2, split="test"), workers=0)
WORDS = tokenizer.Tokenizer((HOME,), vocabulary=64, length=8)
SIZES = {"frames": 2, "resolution": 16}
POOLED = protocols.Protocol(**SIZES, pooling="tower")
ASKED = rendered_questions.RenderedQuestions(
    rendered.RenderedWorld(HOME, UNSEEN, train_clips=16, test_clips=8)
)
IN_WORDS = {
    "reader": ASKED,
    "language": small_model.SmallModel(
        ASKED, (training_pairs.Captions(), training_pairs.Questions()), layers=1, width=16, heads=2,
        mlp_width=32, vocabulary=300, steps=2, batch_size=8,
    ),
    "bridge": bridge_fit.Bridge(latents=2, heads=1, steps=2, batch_size=8),
    "protocol": protocols.Protocol(**SIZES),
    "tokens": 2,
    "batch_size": 8,
}  # fmt: skip

# One example of each task; a new task adds one line here.
EXAMPLES = {
    probe.AttentiveProbe: probe.AttentiveProbe(
        HOME,
        UNSEEN,
        labels=("motion",),
        train_clips=32,
        test_clips=16,
        heads=1,
        steps=2,
        batch_size=8,
        learning_rates=(1e-2,),
        **SIZES,
    ),
    retrieval.Retrieval: retrieval.Retrieval(
        captioned_source.CaptionedSource(UNSEEN),
        WORDS,
        protocol=POOLED,
        same_caption="drop",
        clips=10,
        batch_size=8,
    ),
    zero_shot.ZeroShot: zero_shot.ZeroShot(
        rendered.RenderedWorld(HOME, UNSEEN, ("species",), test_clips=16),
        WORDS,
        protocol=POOLED,
        batch_size=8,
    ),
    multiple_choice.MultipleChoice: multiple_choice.MultipleChoice(
        rendered.RenderedWorld(HOME, UNSEEN, test_clips=16, options=3), WORDS, protocol=POOLED, batch_size=8
    ),
    benchmark.Benchmark: benchmark.Benchmark(
        rendered.RenderedWorld(HOME, UNSEEN, train_clips=32, test_clips=16),
        head=heads.Probe(heads.Attention(heads=1), head_grid.Grid((1e-2,), seeds=2, steps=2, batch_size=8)),
        protocol=protocols.Protocol(**SIZES),
        batch_size=8,
    ),
    captioning.Captioning: captioning.Captioning(**IN_WORDS),
    question_answering.QuestionAnswering: question_answering.QuestionAnswering(**IN_WORDS, vocabulary=2),
}  # fmt: skip
CLASSES = [
    each
    for found in pkgutil.iter_modules(tasks.__path__)
    for _, each in inspect.getmembers(
        importlib.import_module(f"{tasks.__name__}.{found.name}"), inspect.isclass
    )
    if each.__module__ == f"{tasks.__name__}.{found.name}" and task_contract.is_task(each)
]


LONG = (captioning.Captioning, question_answering.QuestionAnswering)
# test_localisation.py has the contract of these.
ELSEWHERE = (temporal_localisation.TemporalLocalisation, box_localisation.BoxLocalisation)
Pixels, TOWERS = task_contract.Pixels, task_contract.TOWERS


def test_every_task_is_found():
    assert set(CLASSES) >= {probe.AttentiveProbe, retrieval.Retrieval}


class TestTasks(task_contract.TaskContract):
    """The contract that the kit gives to users' packages too."""

    kinds = tuple(kind for kind in CLASSES if kind not in LONG + ELSEWHERE)
    examples = tuple(example for kind, example in EXAMPLES.items() if kind not in LONG)

    @pytest.fixture
    def cache(self):
        """Return the cache of these tests."""
        return cli.CACHE


@pytest.mark.slow
class TestLongTasks(TestTasks):
    """The same of those that test_text_tasks.py has with a language model that is trained already."""

    kinds = LONG
    examples = tuple(EXAMPLES[kind] for kind in LONG)


@pytest.mark.parametrize("kind", [retrieval.Retrieval, zero_shot.ZeroShot, multiple_choice.MultipleChoice])
def test_what_reads_texts_says_nothing_without_a_text_tower(kind):
    assert EXAMPLES[kind]({"video": Pixels()}, seed=0, cache=cli.CACHE) == {}


PLANTED = dataclasses.replace(
    EXAMPLES[probe.AttentiveProbe], labels=("species", "motion"), train_clips=160, test_clips=64, heads=2,
    steps=150, batch_size=32, learning_rates=(1e-2, 3e-2),
)  # fmt: skip


@pytest.fixture(scope="module")
def planted():
    """Return the scores of features that are drawn: noise, or noise with the labels written into it."""

    def encoded(found, strength: float):
        rng = np.random.default_rng(len(found))
        tokens = rng.normal(size=(len(found), 1, 4, 24)).astype(np.float32)
        for start, labels in zip((0, 12), found.set_targets().T):
            where = rng.integers(0, 4, len(found))  # any one token: attention has to find it
            tokens[np.arange(len(found)), 0, where, start + labels] += strength
        return feature_set.Encoded(found, feature_set.InMemory(tokens), {})

    def scores(strength: float):
        reader = rendered.RenderedWorld(HOME, UNSEEN, ("species", "motion"), label_sets=True)
        train, test = (encoded(reader.read(split, cli.CACHE), strength) for split in ("train", "test"))
        return PLANTED.scores(train, test, seed=0)

    return scores


@pytest.mark.slow
def test_the_probe_reads_planted_labels(planted):
    scores = planted(8.0)
    assert scores["species"].value > 0.8
    assert scores["motion"].value > 0.8
    assert scores["reversal"].value > 0.85
    assert scores["reversal_xy"].n <= scores["reversal"].n == 64


@pytest.mark.slow
def test_the_probe_reads_nothing_from_noise(planted):
    scores = planted(0.0)
    for name, chance in (("species", 0.1), ("motion", 0.125), ("reversal", 0.5)):
        assert scores[name].protocol["chance"] == chance
        assert abs(scores[name].value - chance) < 4 * np.sqrt(chance * (1 - chance) / 64)


@pytest.mark.long
def test_the_probe_averages_heads_and_keeps_the_outcome_of_each_clip():
    each = dataclasses.replace(EXAMPLES[probe.AttentiveProbe], head_seeds=2, labels=("species", "motion"))
    found = each(TOWERS, seed=0, cache=cli.CACHE)
    assert tuple(found) == each.metric_names() == ("species", "motion", "reversal", "reversal_xy")
    _, records = loader.read_all(UNSEEN, cli.CACHE, frames=2, resolution=16, limit=16)
    clips = [each.key for each in records]
    for name, score in found.items():
        kept = score.outcomes
        assert np.shape(kept["outcomes"]) == (2, score.n)
        assert np.mean(kept["outcomes"]) == pytest.approx(score.value)
        assert kept["keys"] == kept["groups"]
        assert set(kept["keys"]) <= set(clips)
        assert score.protocol["heads averaged"] == 2
        assert name == "reversal_xy" or kept["keys"] == clips


def test_whitened_scores_have_names_of_their_own():
    each = dataclasses.replace(EXAMPLES[probe.AttentiveProbe], whiten=True, labels=("motion",))
    assert set(each(TOWERS, seed=0, cache=cli.CACHE)) == {
        "motion_whitened",
        "reversal_whitened",
        "reversal_xy_whitened",
    }


@pytest.mark.parametrize(
    "fields",
    [{"labels": ("colours",)}, {"train_clips": 7}, {"test_clips": 0}, {"steps": 0}, {"head_seeds": 0}],
)
def test_settings_that_cannot_be_meant_are_refused(fields):
    with pytest.raises(ValueError, match="|".join(fields)):
        dataclasses.replace(EXAMPLES[probe.AttentiveProbe], **fields)


def test_statistics_of_bfloat16_tokens_are_those_of_float32():
    # numpy sums bfloat16 in bfloat16: the mean of many ones would stop at 256.
    class Cast(eqx.Module):
        def __call__(self, video):
            tokens = (video[..., 0].reshape(len(video), -1, 4) + 0.5).astype(jnp.bfloat16)
            return types.SimpleNamespace(tokens=types.SimpleNamespace(x=tokens))

    videos = np.random.default_rng(0).integers(0, 256, (500, 2, 8, 8, 3), dtype=np.uint8)
    how = protocols.Protocol(frames=2, resolution=8)
    tokens = encoder_pass.EncoderPass(Cast(), how, 100)(videos)[:, None]
    assert tokens.dtype == np.float32
    mean, deviation = head_grid.moments(feature_set.InMemory(tokens), np.arange(500), 100)
    flat = tokens.reshape(-1, 4).astype(np.float64)
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-6)
    np.testing.assert_allclose(deviation, flat.std(0), rtol=1e-5)
