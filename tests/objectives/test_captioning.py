"""Captioning: cross-entropy of the words, none of which knows itself or the words after it."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, types
from prismlab.core.train import learner, objective
from prismlab.objectives import captioning

DIMS = types.Dims(tiny.FRAMES, tiny.PATCHES, 12, 8, 8, 8, tiny.VOCABULARY)
KEY = jax.random.key(0)
CLIP = objective.View("video")


@functools.cache
def own():
    with jax.ensure_compile_time_eval():
        return eqx.filter_jit(captioning.Captioning)(**tiny.SMALL, dims=DIMS, key=KEY)


@jax.jit
def _compiled(clip, words, batch):
    return own()({CLIP: clip, captioning.TEXT: words}, batch, key=KEY)


@jax.jit
def _logits(words, clip):
    return own().decoder(words, clip)


def _seen(seed):
    noise = lambda name, *shape: types.Tokens(
        jax.random.normal(jax.random.fold_in(jax.random.key(seed), name), shape),
        jnp.broadcast_to(jnp.arange(shape[1], dtype=jnp.int32), shape[:2]),
    )
    return {
        CLIP: types.Encoded(noise(0, 4, tiny.TOKENS, 8), None),
        captioning.TEXT: types.Encoded(noise(1, 4, tiny.WORDS, 8), None),
    }


@pytest.mark.long
@given(st.integers(0, 99))
@settings(max_examples=5)
def test_it_is_the_mean_cross_entropy_of_the_words(seed):
    seen, batch = _seen(seed), tiny.batch(seed)
    logits = np.asarray(_logits(seen[captioning.TEXT].tokens.x, seen[CLIP].tokens.x), np.float64)
    wanted, words, right = 0.0, 0, 0
    for example, word in np.ndindex(4, tiny.WORDS):
        if batch.text_paddings[example, word] == 0:
            row, chosen = logits[example, word], int(batch.text_ids[example, word])
            wanted += np.log(np.exp(row).sum()) - row[chosen]
            right += row.argmax() == chosen
            words += 1
    loss, named = _compiled(seen[CLIP], seen[captioning.TEXT], batch)
    np.testing.assert_allclose(loss.value, wanted / words, rtol=1e-4)
    np.testing.assert_allclose(named["accuracy"].value, right / words, rtol=1e-5)


def test_clips_without_captions_are_left_out():
    seen, batch = _seen(0), tiny.batch(0)
    silent = jnp.asarray([0.0, 1.0, 0.0, 1.0])
    unheard = eqx.tree_at(
        lambda own: own.text_paddings, batch, jnp.maximum(batch.text_paddings, silent[:, None])
    )
    padding = eqx.tree_at(lambda own: own.weight, batch, batch.weight * (1 - silent))
    call = lambda given: _compiled(seen[CLIP], seen[captioning.TEXT], given)[0].value
    np.testing.assert_array_equal(call(unheard), call(padding))


def test_a_word_is_predicted_from_the_words_before_it_and_the_clip():
    seen = _seen(0)
    words, clip = seen[captioning.TEXT].tokens.x, seen[CLIP].tokens.x
    logits = _logits(words, clip)
    other = _logits(words.at[:, 2].add(1.0), clip)
    np.testing.assert_array_equal(other[:, :3], logits[:, :3])
    assert (jnp.abs(other[:, 3:] - logits[:, 3:]).max(axis=(0, 2)) > 1e-4).all()
    assert jnp.abs(_logits(words, clip + 1.0) - logits).max() > 1e-4


def test_a_missing_or_not_causal_text_tower_is_refused():
    make = functools.partial(captioning.Captioning, **tiny.SMALL)
    with pytest.raises(errors.UserError, match=r"captioning needs the tower 'text'.* add it to recipe.Stage"):
        learner.build({"video": tiny.video_tower}, {"caption": make}, None, key=KEY)
    towers = {"video": tiny.video_tower, "text": functools.partial(tiny.text_tower, causal=False)}
    with pytest.raises(errors.UserError, match=r"expected text.TextTower.causal=True, found False"):
        learner.build(towers, {"caption": make}, None, key=KEY)
