"""SIGReg: the published statistic, small for a Gaussian and large for what has collapsed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, keys, types
from prismlab.core.nn import layers
from prismlab.core.train import masking, objective
from prismlab.objectives import sigreg

DIMS = types.Dims(tiny.FRAMES, tiny.PATCHES, 12, 8, 8)
KEY = jax.random.key(0)
STATISTIC = jax.jit(sigreg.epps_pulley)


@tiny.shared
def _own():
    return sigreg.SigReg(slices=5, hidden=16, dim=3, balance=0.25, dims=DIMS, key=KEY)


def _published(z, directions):
    """The statistic of LeJEPA's MINIMAL.md, with complex numbers and numpy's trapezoid rule."""
    t = np.linspace(0, 3, 17)
    normal = np.exp(-(t**2) / 2)
    empirical = np.exp(1j * (z @ directions)[..., None] * t).mean(0)
    values = np.abs(empirical - normal) ** 2 * normal
    return (2 * ((values[:, 1:] + values[:, :-1]) / 2 * np.diff(t)).sum(-1) * len(z)).mean()


@given(st.integers(0, 999), st.floats(0.2, 4.0))
@settings(max_examples=10)
def test_the_statistic_equals_the_published_one(seed, scale):
    random = np.random.default_rng(seed)
    z, directions = random.normal(0.3, scale, (6, 3)), random.normal(size=(3, 5))
    directions /= np.linalg.norm(directions, axis=0)
    weight = np.array([1.0, 1, 0, 1, 1, 1])
    found = STATISTIC(*(jnp.asarray(x, jnp.float32) for x in (z, directions, weight)))
    np.testing.assert_allclose(found, _published(z[weight > 0], directions), rtol=1e-3)


def test_collapse_costs_more_than_a_gaussian():
    random = np.random.default_rng(0)
    z = jnp.asarray(random.normal(size=(256, 3)), jnp.float32)
    directions, weight = jnp.eye(3), jnp.ones(256)
    gauss = float(STATISTIC(z, directions, weight))
    for bad in (0.0 * z, z.at[:, 1:].set(0.0), 3.0 * z, z + 1.0):
        assert float(STATISTIC(bad, directions, weight)) > 10 * gauss


def test_it_equals_the_formula():
    views = [objective.View("video", mask=mask) for mask in sigreg.MASKS]
    vectors = [jax.random.normal(jax.random.key(seed), (4, 8)) for seed in (1, 2)]
    own = _own()

    @jax.jit
    def compiled(vectors):
        seen = {view: types.Encoded(None, each) for view, each in zip(views, vectors, strict=True)}
        return own(seen, tiny.batch(), key=KEY)

    loss, named = compiled(vectors)
    z = [np.asarray(own.leave(layers.gelu(own.norm(own.enter(each)))), np.float64) for each in vectors]
    directions = np.asarray(jax.random.normal(keys.fold(KEY, "directions"), (3, 5)))
    directions = directions / np.linalg.norm(directions, axis=0)
    apart = np.mean([(each - np.mean(z, 0)) ** 2 for each in z])
    statistic = np.mean([_published(each, directions) for each in z])
    np.testing.assert_allclose(named["between_views"].value, apart, rtol=1e-4)
    np.testing.assert_allclose(named["sigreg"].value, statistic, rtol=1e-3)
    np.testing.assert_allclose(loss.value, 0.75 * apart + 0.25 * statistic, rtol=1e-3)


def test_what_cannot_work_is_refused():
    make = lambda **options: sigreg.SigReg(**options, dims=DIMS, key=KEY)
    for masks in ((), (masking.Tube(0.5), masking.Tube(0.5))):
        with pytest.raises(errors.UserError, match="masks must be at least one and all different"):
            make(masks=masks)
    with pytest.raises(errors.UserError, match=r"balance must be in \[0, 1\], got 1.5"):
        make(balance=1.5)
    with pytest.raises(errors.UserError, match="slices must be at least 1, got 0"):
        make(slices=0)
    with pytest.raises(errors.UserError, match="batch_size=1; use 2 or more"):
        _own().check_batch(1)
