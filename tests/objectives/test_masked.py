"""Masked modelling: the loss over all places, the pixel baseline over hidden ones only."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors, types
from prismlab.core.towers import video
from prismlab.core.train import masking, objective
from prismlab.experiments.kit import mask_contract
from prismlab.objectives import masked

DIMS = types.Dims(tiny.FRAMES, tiny.PATCHES, 12, 8, 6)
KEY = jax.random.key(0)
TEACHER = objective.View("video", teacher=True)


@functools.cache
def _setting(target, visible=0.35, normalise=True, seed=0):
    """Return an objective, its decoder's prediction, what it sees and its batch."""
    mask = masking.BlockTube(visible)
    options = {"mask": mask, "target": target, "normalise_pixels": normalise, **tiny.SMALL}
    built = masked.MaskedModeling(**options, dims=DIMS, key=KEY)
    place = mask_contract.draw(mask, tiny.FRAMES, tiny.PATCHES, 4)(jax.random.key(seed))
    noise = lambda name, *shape: jax.random.normal(jax.random.key(seed + name), shape)
    tokens = types.Tokens(noise(1, *place.shape, 8), place)
    everywhere = jnp.broadcast_to(jnp.arange(tiny.TOKENS, dtype=jnp.int32), (4, tiny.TOKENS))
    seen = {objective.View("video", mask=mask): types.Encoded(tokens, None)}
    if target == "teacher":
        seen[TEACHER] = types.Encoded(types.Tokens(noise(2, 4, tiny.TOKENS, 6), everywhere), None)
    return built, np.asarray(built.decoder(tokens), np.float64), seen, tiny.batch()


def _hidden(seen):
    hidden = np.ones((4, tiny.TOKENS))
    place = next(value for view, value in seen.items() if not view.teacher).tokens.place
    hidden[np.arange(4)[:, None], np.asarray(place)] = 0.0
    return hidden


def test_teacher_target_equals_the_formula_over_all_places():
    built, guess, seen, batch = _setting("teacher")
    loss, named = built(seen, batch, key=KEY)
    target = np.asarray(seen[TEACHER].tokens.x, np.float64)
    lengths = np.linalg.norm(guess, axis=-1) * np.linalg.norm(target, axis=-1)
    error = 1 - (guess * target).sum(-1) / lengths
    hidden = _hidden(seen)
    np.testing.assert_allclose(loss.value, error.mean(), atol=1e-5)
    np.testing.assert_allclose(named["hidden"].value, error[hidden == 1].mean(), atol=1e-5)
    np.testing.assert_allclose(named["visible"].value, error[hidden == 0].mean(), atol=1e-5)


@pytest.mark.parametrize("normalise", [True, False])
def test_pixel_target_equals_the_formula_over_hidden_places(normalise):
    built, guess, seen, batch = _setting("pixels", normalise=normalise)
    assert built.views() == frozenset(seen)
    frames = np.asarray(batch.video, np.float64)
    error = np.zeros((4, tiny.TOKENS))
    side, step = tiny.SIDE // tiny.PATCH, tiny.PATCH
    for example, token in np.ndindex(error.shape):
        frame, row, column = token // side**2, token // side % side, token % side
        patch = frames[
            example, frame, row * step : (row + 1) * step, column * step : (column + 1) * step
        ].ravel()
        if normalise:
            patch = (patch - patch.mean()) / np.sqrt(patch.var() + 1e-6)
        error[example, token] = ((guess[example, token] - patch) ** 2).mean()
    loss, _ = built(seen, batch, key=KEY)
    np.testing.assert_allclose(loss.value, error[_hidden(seen) == 1].mean(), atol=1e-4)


def test_pixels_of_visible_places_are_no_question(monkeypatch):
    built, _, seen, batch = _setting("pixels")
    monkeypatch.setattr(jax.lax, "stop_gradient", lambda x: x)  # of the target, which is looked at here
    gradient = jax.jit(
        jax.grad(
            lambda pixels: (
                built(seen, types.Batch(pixels, batch.text_ids, batch.text_paddings, batch.weight), key=KEY)[
                    0
                ].value
            )
        )
    )(batch.video)
    by_patch = np.abs(np.asarray(video.patchify(gradient, tiny.PATCH))).sum(-1).reshape(4, tiny.TOKENS)
    np.testing.assert_array_equal(by_patch > 0, _hidden(seen) == 1)


def test_a_pixel_target_with_nothing_hidden_is_refused():
    with pytest.raises(errors.UserError, match="this mask hides none"):
        _setting("pixels", visible=1.0)


@given(st.integers(0, 99), st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_normalised_patches_ignore_brightness_and_contrast(seed, contrast, brightness):
    random = np.random.default_rng(seed)
    guess, patches = (jnp.asarray(random.normal(size=(1, 2, 12)), jnp.float32) for _ in range(2))
    plain = masked.patch_error(guess, patches, True)
    moved = masked.patch_error(guess, contrast * patches + brightness, True)
    np.testing.assert_allclose(moved, plain, rtol=2e-3)  # epsilon 1e-6 against a variance down to 0.01


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="target must be one of teacher, pixels, got 'words'"):
        masked.MaskedModeling(target="words", dims=DIMS, key=KEY)
