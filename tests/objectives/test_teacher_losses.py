"""Losses against frozen targets equal numpy formulas: static teacher, unmasked tokens, two depths."""

import equinox as eqx
import jax
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, types
from prismlab.core.train import masking, objective
from prismlab.experiments.kit import mask_contract
from prismlab.objectives import multi_layer, static_latent, unmasked

DIMS = types.Dims(tiny.FRAMES, tiny.PATCHES, 12, 8, 6)
KEY = jax.random.key(0)
MASK = masking.BlockTube(0.35)
STUDENT, TEACHER = objective.View("video", mask=MASK), objective.View("video", teacher=True)


def _seen(seed):
    """Return random encodings of a student of width 8 and a teacher of width 6."""
    random = np.random.default_rng(seed)
    place = mask_contract.draw(MASK, tiny.FRAMES, tiny.PATCHES, 4)(jax.random.key(seed))
    noise = lambda *shape: jax.numpy.asarray(random.normal(random.normal(), 2.0, shape), jax.numpy.float32)
    everywhere = jax.numpy.broadcast_to(
        jax.numpy.arange(tiny.TOKENS, dtype=jax.numpy.int32), (4, tiny.TOKENS)
    )
    return {
        STUDENT: types.Encoded(types.Tokens(noise(*place.shape, 8), place), None, noise(*place.shape, 8)),
        TEACHER: types.Encoded(
            types.Tokens(noise(4, tiny.TOKENS, 6), everywhere), None, noise(4, tiny.TOKENS, 6)
        ),
    }


def _cosine(a, b):
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@tiny.shared
def _built(kind):
    options = tiny.SMALL if kind is static_latent.StaticLatent else {}
    return kind(mask=MASK, **options, dims=DIMS, key=KEY)


@eqx.filter_jit
def _compiled(own, student, teacher):
    return own({STUDENT: student, TEACHER: teacher}, tiny.batch(), key=KEY)


def _loss(own, seen):
    return _compiled(own, seen[STUDENT], seen[TEACHER])


@given(st.integers(0, 999))
@settings(max_examples=5)
def test_static_latent_is_the_absolute_error_to_normalized_hidden_tokens(seed):
    own, seen = _built(static_latent.StaticLatent), _seen(seed)
    guess = np.asarray(eqx.filter_jit(own.decoder)(seen[STUDENT].tokens), np.float64)
    target = np.asarray(seen[TEACHER].tokens.x, np.float64)
    target = (target - target.mean(-1, keepdims=True)) / np.sqrt(target.var(-1, keepdims=True) + 1e-5)
    hidden = np.ones((4, tiny.TOKENS), bool)
    hidden[np.arange(4)[:, None], np.asarray(seen[STUDENT].tokens.place)] = False
    loss, _ = _loss(own, seen)
    np.testing.assert_allclose(loss.value, np.abs(guess - target).mean(-1)[hidden].mean(), rtol=1e-4)


@given(st.integers(0, 999))
@settings(max_examples=5)
def test_unmasked_is_the_squared_distance_of_unit_vectors_at_visible_tokens(seed):
    own, seen = _built(unmasked.UnmaskedDistillation), _seen(seed)
    guess = np.asarray(own.head(own.norm(seen[STUDENT].tokens.x)), np.float64)
    target = np.take_along_axis(
        np.asarray(seen[TEACHER].tokens.x, np.float64), np.asarray(seen[STUDENT].tokens.place)[..., None], 1
    )
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    loss, _ = _loss(own, seen)
    np.testing.assert_allclose(loss.value, ((unit(guess) - unit(target)) ** 2).sum(-1).mean(), rtol=1e-4)


@given(st.integers(0, 999))
@settings(max_examples=5)
def test_multi_layer_is_the_mean_cosine_distance_at_both_depths(seed):
    own, seen = _built(multi_layer.MultiLayerDistillation), _seen(seed)
    place = np.asarray(seen[STUDENT].tokens.place)[..., None]
    wanted = [
        1 - _cosine(head(student), np.take_along_axis(np.asarray(teacher), place, 1)).mean()
        for head, student, teacher in (
            (own.spatial, seen[STUDENT].spatial, seen[TEACHER].spatial),
            (own.temporal, seen[STUDENT].tokens.x, seen[TEACHER].tokens.x),
        )
    ]
    loss, parts = _loss(own, seen)
    np.testing.assert_allclose(loss.value, np.mean(wanted), rtol=1e-4)
    np.testing.assert_allclose([parts["spatial"].value, parts["temporal"].value], wanted, rtol=1e-4)


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(errors.UserError, match="this mask hides none"):
        static_latent.StaticLatent(mask=masking.Tube(1.0), **tiny.SMALL, dims=DIMS, key=KEY)
    seen = _seen(0)
    seen[TEACHER] = types.Encoded(seen[TEACHER].tokens, None)
    with pytest.raises(
        errors.UserError, match="the teacher's tower 'video' gives no tokens of its spatial part"
    ):
        _built(multi_layer.MultiLayerDistillation)(seen, tiny.batch(), key=KEY)
