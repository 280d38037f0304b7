"""Our models inside Flax: outputs and gradients equal, variables as the official code holds them."""

import equinox as eqx
import golden_models
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from prismlab.core import errors
from prismlab.core.weights import flax_modules, released

CONFIG = golden_models.CONFIGS["video_encoder"]
SOURCE = golden_models.parameters("video_encoder")


def _variables():
    # As the official code reads its file: keys cut at "/".
    with np.load(SOURCE) as archive:
        return traverse_util.unflatten_dict({name: archive[name] for name in archive.files}, sep="/")


@pytest.mark.long
def test_outputs_and_gradients_are_equal():
    with np.load(golden_models.inputs_and_outputs("video_encoder")) as archive:
        video, expected = jnp.asarray(archive["video"]), archive["embeddings"]
    module, official = flax_modules.Released(CONFIG), _variables()
    model = released.load(CONFIG, SOURCE)

    def theirs(variables):
        tokens, _ = module.apply(variables, video)
        return jnp.sum(jnp.sin(tokens)), tokens

    def ours(model):
        tokens, _ = released.encode_video(model, video)
        return jnp.sum(jnp.sin(tokens)), tokens

    (_, tokens), slopes = jax.jit(jax.value_and_grad(theirs, has_aux=True))(official)
    (_, own_tokens), own_slopes = eqx.filter_jit(eqx.filter_value_and_grad(ours, has_aux=True))(model)
    np.testing.assert_allclose(tokens, expected, atol=1e-5)
    np.testing.assert_allclose(tokens, own_tokens, atol=1e-6)
    expected_slopes = flax_modules.variables(own_slopes)
    assert jax.tree.structure(slopes) == jax.tree.structure(expected_slopes)
    for got, wanted in zip(jax.tree.leaves(slopes), jax.tree.leaves(expected_slopes)):
        np.testing.assert_allclose(got, wanted, atol=1e-5, rtol=1e-5)


def test_variables_go_there_and_back():
    official = _variables()
    model = flax_modules.model(CONFIG, official)
    assert eqx.tree_equal(model, released.load(CONFIG, SOURCE))
    back = flax_modules.variables(model)
    assert jax.tree.structure(back) == jax.tree.structure(official)
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(official)))


def test_flax_initialises_the_same_tree():
    module = flax_modules.Released(CONFIG)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 4, 24, 24, 3)))
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == jax.tree.map(np.shape, _variables())


def test_every_fault_is_listed():
    variables = traverse_util.flatten_dict(_variables(), sep="/")
    variables["params/extra"] = np.zeros(1)
    variables["params/spatial_ln/bias"] = np.zeros(3)
    del variables["params/temporal_ln/bias"]
    with pytest.raises(errors.UserError) as caught:
        flax_modules.model(CONFIG, traverse_util.unflatten_dict(variables, sep="/"))
    for line in (
        "missing: params/temporal_ln/bias",
        "unknown: params/extra",
        "wrong shape: params/spatial_ln/bias",
    ):
        assert line in str(caught.value)
