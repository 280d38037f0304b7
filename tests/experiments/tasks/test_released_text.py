"""Zero-shot tasks on a released video-text model: its own embeddings, and a tokenizer that the user names."""

import dataclasses

import cli
import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import small_models

from prismlab.core import errors
from prismlab.core.weights import released
from prismlab.data.loader import loader, source, tokenizer
from prismlab.data.world import world
from prismlab.experiments.encoders import evaluate, frozen_encoder
from prismlab.experiments.released import released_weights
from prismlab.experiments.store import store
from prismlab.experiments.tasks import retrieval, zero_shot
from prismlab.experiments.tasks.evaluations import evaluation
from prismlab.experiments.tasks.features import clip_vectors, encoder_pass, keeping, text_pass
from prismlab.experiments.tasks.interface import protocols
from prismlab.experiments.tasks.readers import captioned_source
from prismlab.experiments.tasks.readers.rendered_world import rendered

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return released_weights.load(*small_models.named(tmp_path_factory.mktemp("sizes"), "video_text_pre"))


@pytest.fixture(scope="module")
def home(model):
    tower = model.video
    made = world.World(clips=6, resolution=tower.resolution, frames=tower.frames, split="test")
    return source.Rendered(made, workers=0)


def test_vectors_are_those_of_released_embed(model, home, tmp_path):
    towers = released_weights.towers_of(model)
    how = protocols.Protocol(model.video.frames, model.video.resolution, pooling="tower")
    found = captioned_source.CaptionedSource(home).read("test", cli.CACHE)
    words = tokenizer.Tokenizer((home,), vocabulary=model.text.vocabulary, length=8)
    clips = clip_vectors.of(found, towers, how, 4, keeping.Keeping(), tmp_path)
    texts = [item.texts[0] for item in found.items]
    read = text_pass.TextPass(towers, words, cli.CACHE, 4)(texts)
    videos, _ = loader.read_all(home, cli.CACHE, frames=how.frames, resolution=how.resolution)
    ids, paddings = (jnp.stack(part) for part in zip(*map(words.prepare(cli.CACHE), texts)))
    wanted = eqx.filter_jit(released.embed)(model, videos, ids, paddings)
    for got, expected in zip((clips.vectors, read), wanted, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5)


def test_a_released_model_needs_a_tokenizer_that_fits(model, home, tmp_path):
    towers = released_weights.towers_of(model)
    encoder = frozen_encoder.FrozenEncoder("released", towers, "digest")
    how = protocols.Protocol(model.video.frames, model.video.resolution, pooling="tower")
    task = retrieval.Retrieval(captioned_source.CaptionedSource(home), protocol=how, same_caption="hit")
    run = lambda task: evaluate.run(
        evaluation.Evaluation({"captions": task}), encoder, store.of(tmp_path), cli.CACHE
    )
    with pytest.raises(errors.UserError, match="comes without a tokenizer, so texts cannot be encoded; set"):
        run(task)
    words = tokenizer.Tokenizer((home,), vocabulary=model.text.vocabulary, length=8)
    lines = run(dataclasses.replace(task, tokenizer=words))
    assert [line.metric for line in lines] == ["text_to_video_R@1", "video_to_text_R@1"]
    assert [(line.n, line.chance is not None) for line in lines] == [(6, True)] * 2
    assert all(line.interval is not None for line in lines)


def test_the_second_task_on_the_same_clips_needs_no_encoder_pass(model, home, tmp_path, monkeypatch):
    towers = released_weights.towers_of(model)
    how = protocols.Protocol(model.video.frames, model.video.resolution, pooling="tower")
    words = tokenizer.Tokenizer((home,), vocabulary=model.text.vocabulary, length=8)
    passes, encode = [], encoder_pass.EncoderPass.__call__
    monkeypatch.setattr(
        encoder_pass.EncoderPass,
        "__call__",
        lambda own, clips: passes.append(len(clips)) or encode(own, clips),
    )
    first = retrieval.Retrieval(captioned_source.CaptionedSource(home), words, protocol=how)
    second = zero_shot.ZeroShot(rendered.RenderedWorld(home, home), words, protocol=how)
    counts = []
    for task in (first, second):
        assert task(towers, seed=0, cache=tmp_path)
        counts.append(sum(passes))
    assert counts[0] >= 6
    assert counts[1] == counts[0]
