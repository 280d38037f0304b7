"""The contrastive loss against a plain formula, and what may be a negative."""

import functools

import equinox as eqx
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, types
from prismlab.core.train import objective
from prismlab.objectives import contrastive

DIMS = types.Dims(frames=1, patches=1, patch_values=3, video_dim=6, teacher_dim=6, text_dim=6)


def _call(clips, captions, weight, ids=None, paddings=None, **options):
    size = len(clips)
    built = contrastive.Contrastive(**options, dims=DIMS, key=jax.random.key(0))
    ids = jnp.arange(1, size + 1, dtype=jnp.int32)[:, None] if ids is None else jnp.asarray(ids, jnp.int32)
    batch = types.Batch(
        jnp.zeros((size, 1, 1, 1, 3)),
        ids,
        jnp.zeros(ids.shape) if paddings is None else jnp.asarray(paddings, jnp.float32),
        jnp.asarray(weight, jnp.float32),
    )
    return _compiled(built, jnp.asarray(clips, jnp.float32), jnp.asarray(captions, jnp.float32), batch)


@eqx.filter_jit
def _compiled(built, clips, captions, batch):
    seen = {
        objective.View("video", mask=built.drop): types.Encoded(None, clips),
        objective.View("text"): types.Encoded(None, captions),
    }
    return built(seen, batch, key=jax.random.key(0))


def _formula(clips, captions, weight, temperature, left_out=()):
    """Return the weighted loss in float64, pair by pair."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    similar = unit(np.asarray(clips, np.float64)) @ unit(np.asarray(captions, np.float64)).T / temperature
    there = [i for i in range(len(clips)) if weight[i]]
    losses = []
    for i in there:
        row = [similar[i, j] for j in there if (i, j) not in left_out]
        column = [similar[j, i] for j in there if (j, i) not in left_out]
        losses.append(0.5 * (np.log(np.exp(row).sum()) + np.log(np.exp(column).sum())) - similar[i, i])
    return np.mean(losses) if losses else 0.0


def _draw(seed, size):
    return np.random.default_rng(seed).normal(size=(2, size, 6))


@given(
    seed=st.integers(0, 999),
    weight=st.lists(st.sampled_from([0.0, 1.0]), min_size=4, max_size=4),
    temperature=st.sampled_from([0.07, 0.5, 2.0]),
)
def test_equals_the_formula(seed, weight, temperature):
    clips, captions = _draw(seed, 4)
    loss, _ = _call(clips, captions, weight, temperature=temperature)
    np.testing.assert_allclose(loss.value, _formula(clips, captions, weight, temperature), atol=1e-4)


@given(seed=st.integers(0, 999))
def test_equal_captions_are_left_out_when_asked(seed):
    clips, captions = _draw(seed, 4)
    ids = [[1, 2], [3, 4], [1, 2], [1, 5]]
    loss, _ = _call(clips, captions, np.ones(4), ids, temperature=0.5, ignore_same_caption=True)
    np.testing.assert_allclose(
        loss.value, _formula(clips, captions, np.ones(4), 0.5, {(0, 2), (2, 0)}), atol=1e-4
    )
    plain, _ = _call(clips, captions, np.ones(4), ids, temperature=0.5)
    np.testing.assert_allclose(plain.value, _formula(clips, captions, np.ones(4), 0.5), atol=1e-4)


def test_a_perfect_match_costs_nothing_and_a_swap_costs_much():
    eye = np.eye(4, 6)
    loss, named = _call(eye, eye, np.ones(4))
    assert float(loss.value) < 1e-4
    assert float(named["video_to_text"].value) == float(named["text_to_video"].value) == 1.0
    assert float(named["temperature"].value) == pytest.approx(0.07, rel=1e-5)
    loss, named = _call(eye, eye[::-1], np.ones(4))
    assert float(loss.value) > 10.0
    assert float(named["video_to_text"].value) == float(named["text_to_video"].value) == 0.0


def test_accuracy_counts_an_equal_caption_and_skips_placeholders():
    eye = np.eye(4, 6)
    _, named = _call(eye[[1, 0, 2, 3]], eye, np.ones(4), [[7], [7], [8], [9]])
    assert float(named["video_to_text"].value) == 1.0
    # The caption that fits clip 0 best is a placeholder's: clip 0 must not choose it.
    captions = np.array([eye[0] + 0.5 * eye[1], eye[1], eye[0], eye[3]])
    _, named = _call(eye[[0, 1, 2, 3]], captions, [1, 1, 0, 1])
    assert float(named["video_to_text"].value) == 1.0


def test_the_scale_stops_at_100_and_comes_back():
    clips, captions = np.eye(3, 6), np.roll(np.eye(3, 6), 1, axis=0)  # every match is wrong
    batch = types.Batch(
        jnp.zeros((3, 1, 1, 1, 3)), jnp.arange(3, dtype=jnp.int32)[:, None], jnp.zeros((3, 1)), jnp.ones(3)
    )
    built = contrastive.Contrastive(temperature=0.01, dims=DIMS, key=jax.random.key(0))
    seen = [jnp.asarray(each, jnp.float32) for each in (clips, captions)]
    above = eqx.tree_at(lambda own: own.log_scale, built, jnp.float32(7.0)).projected()
    assert float(jnp.exp(above.log_scale)) == pytest.approx(100.0, rel=1e-5)
    assert above.projected().log_scale == above.log_scale
    slope = eqx.filter_jit(eqx.filter_grad(lambda own: _compiled(own, *seen, batch)[0].value))(above)
    assert float(slope.log_scale) > 1.0  # descent lowers the scale, although it is at its bound


@pytest.mark.parametrize("temperature", [0.0, -1.0, 0.0099, float("inf"), float("nan")])
def test_a_temperature_outside_its_range_is_refused(temperature):
    with pytest.raises(errors.UserError, match=r"temperature must be at least 0\.01 and finite"):
        contrastive.Contrastive(temperature=temperature, dims=DIMS, key=jax.random.key(0))


def test_towers_of_different_widths_are_refused():
    with pytest.raises(ValueError, match="video width 6 and text width 5 must be equal"):
        contrastive.Contrastive(dims=types.Dims(1, 1, 3, 6, 6, 5), key=jax.random.key(0))


@functools.partial(jax.jit, static_argnums=3)
def _loss_and_slopes(vectors, weight, ids, chunk):
    def run(vectors):
        mean, named = _call(*vectors, weight, ids, chunk=chunk, ignore_same_caption=True)
        return mean.value, {name: each.value for name, each in named.items()}

    return jax.value_and_grad(run, has_aux=True)(vectors)


@given(
    seed=st.integers(0, 99),
    weight=st.lists(st.sampled_from([0.0, 1.0, 1.0]), min_size=8, max_size=8),
    captions=st.lists(st.integers(1, 5), min_size=8, max_size=8),
    chunk=st.sampled_from([2, 4]),
)
def test_by_chunks_it_is_the_same_loss_with_the_same_slopes(seed, weight, captions, chunk):
    given = jnp.asarray(_draw(seed, 8), jnp.float32), jnp.asarray(weight), jnp.asarray(captions)[:, None]
    (whole, named), slopes = _loss_and_slopes(*given, None)
    (parts, other), others = _loss_and_slopes(*given, chunk)
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    np.testing.assert_allclose(others, slopes, atol=1e-5)
    assert named.keys() == other.keys()
    for name in named:
        np.testing.assert_allclose(other[name], named[name], atol=1e-6, err_msg=name)


def test_by_chunks_no_matrix_of_the_batch_is_ever_made():
    size, chunk = 512, 16

    def loss_of(vectors, chunk):
        return _call(*vectors, np.ones(size), [[i] for i in range(size)], chunk=chunk)[0].value

    def largest(chunk):
        program = jax.make_jaxpr(jax.grad(lambda v: loss_of(v, chunk)))(jnp.ones((2, size, 6)))
        return max(_sizes(program.jaxpr))

    assert largest(None) >= size * size
    assert largest(chunk) <= chunk * size * 2


def _sizes(program):
    for line in program.eqns:
        yield from (each.aval.size for each in line.outvars)
        for inner in jax.extend.core.jaxprs_in_params(line.params):
            yield from _sizes(inner)


def test_a_chunk_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(errors.UserError, match=r"chunk=3 does not divide the batch of 8; use 2 or 4"):
        _call(*_draw(0, 8), np.ones(8), chunk=3)
    with pytest.raises(ValueError, match="chunk must be at least 1"):
        contrastive.Contrastive(chunk=0, dims=DIMS, key=jax.random.key(0))


@given(seed=st.integers(0, 999), silent=st.lists(st.booleans(), min_size=4, max_size=4))
@settings(max_examples=4)
def test_clips_without_captions_are_left_out(seed, silent):
    """They have no loss, are no negatives of others, and their text vectors are unused."""
    clips, captions = _draw(seed, 4)
    silent = np.asarray(silent)
    ids, paddings = np.where(silent, 0, np.arange(1, 5))[:, None], silent[:, None]
    for chunk in (None, 2):
        call = functools.partial(_call, ids=ids, paddings=paddings, temperature=0.5, chunk=chunk)
        loss, named = call(clips, captions, np.ones(4))
        np.testing.assert_allclose(loss.value, _formula(clips, captions, ~silent, 0.5), atol=1e-4)
        assert float(loss.count) == float(named["video_to_text"].count) == (~silent).sum()
        other, _ = call(clips, np.where(silent[:, None], 7.0, captions), np.ones(4))
        np.testing.assert_allclose(other.value, loss.value, atol=1e-6)
