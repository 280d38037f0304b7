"""Every size that a recipe can state goes through each weight format and comes back."""

import functools
import pathlib
import tempfile

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors, keys, trees
from prismlab.core.nn import layers, transformer_stack
from prismlab.core.towers import presets, text, video, video_encoder
from prismlab.core.weights import release_models, released, weight_formats
from prismlab.experiments.released import weights

POLICIES = st.sampled_from(layers.NORM_POLICIES)
CAPS = st.sampled_from([0.0, 20.0, 50.0])
FEW = st.integers(1, 3)


@st.composite
def towers(draw):
    """Draw constructors as a recipe states them: of a tower of clips, and of one of captions or None."""
    heads = draw(FEW)
    size = presets.Size(
        dim=heads * draw(FEW), heads=heads, mlp_dim=draw(FEW), spatial_layers=draw(FEW),
        temporal_layers=draw(FEW), text_layers=draw(FEW),
    )  # fmt: skip
    patch = draw(FEW)
    encoder = functools.partial(
        video_encoder.FactorizedVideoEncoder, size, draw(FEW), patch * draw(FEW), patch,
        atten_logit_cap=draw(CAPS), norm_policy=draw(POLICIES), scan=draw(st.booleans()),
    )  # fmt: skip
    has_pooler = draw(st.booleans())
    pooler_heads = draw(st.none() | FEW)
    width = (pooler_heads or heads) * draw(FEW)
    auxiliary_heads = draw(FEW)
    auxiliary = functools.partial(
        transformer_stack.Stack, draw(FEW), size.dim,
        auxiliary_heads if size.dim % auxiliary_heads == 0 else 1, draw(FEW),
        atten_logit_cap=draw(CAPS), norm_policy=draw(POLICIES),
    )  # fmt: skip
    more = {"auxiliary": draw(st.none() | st.just(auxiliary))} if has_pooler else {"use_pooler": False}
    seen = functools.partial(video.VideoTower, encoder, pooler_heads=pooler_heads, pooler_dim=width, **more)
    own_heads = draw(FEW)
    words = presets.Size(own_heads * 2 * draw(FEW), own_heads, 1, 1, 1, draw(FEW))
    read = functools.partial(
        text.TextTower, words, draw(FEW), atten_logit_cap=draw(CAPS), norm_policy=draw(POLICIES),
        causal=draw(st.booleans()), wavelengths=draw(st.sampled_from(text.WAVELENGTHS)),
    )  # fmt: skip
    return seen, draw(st.none() | st.just(read)) if has_pooler else None


def model_of(seen, read):
    """Return the model of towers, with arrays of numpy: nothing is compiled."""

    def build():
        tower = seen(key=keys.seeded(0))
        if tower.pooler is None:
            return tower.encoder
        return tower if read is None else released.VideoText(tower, read(key=keys.seeded(0)))

    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), jax.eval_shape(build))


@pytest.mark.long
@settings(max_examples=2, deadline=None)
@given(towers())
def test_towers_of_a_recipe_go_through_each_weight_format(made):
    _goes_through_each_format(made)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(towers())
def test_many_towers_of_a_recipe_go_through_each_weight_format(made):
    _goes_through_each_format(made)


def _goes_through_each_format(made):
    model = model_of(*made)
    config = release_models.describe(model)
    built = weight_formats.abstract(config)
    assert [leaf.shape for leaf in jax.tree.leaves(built)] == [x.shape for x in jax.tree.leaves(model)]
    assert release_models.describe(built) == config
    first = trees.digest(trees.flatten(model))
    with tempfile.TemporaryDirectory() as folder:
        for ending in (".npz", ".safetensors", ".bundle"):
            path = pathlib.Path(folder) / f"model{ending}"
            released.save(model, path)
            found = weights.configuration(path, None)  # nobody says the sizes
            assert found == config, ending
            assert trees.digest(trees.flatten(released.load(found, path))) == first, ending
        assert (pathlib.Path(folder) / "config.json").exists() == config.is_of_release


def test_layers_that_no_format_holds_are_named():
    size = presets.Size(2, 1, 2, 1, 1, 1)
    encoder = functools.partial(video_encoder.FactorizedVideoEncoder, size, 1, 2, 2)
    auxiliary = functools.partial(transformer_stack.Stack, 1, 2, 1, 2, activation="relu")
    model = model_of(functools.partial(video.VideoTower, encoder, auxiliary=auxiliary), None)
    with pytest.raises(errors.UserError, match="auxiliary layers with gelu, got relu"):
        release_models.describe(model)
    with pytest.raises(errors.UserError, match=r"hold video\.VideoTower and text\.TextTower, got Linear"):
        release_models.describe(layers.Linear(1, 1, key=keys.seeded(0)))
