"""Features of several layers: the last is the encoder's own output; other towers and poolings are refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.towers import presets, video, video_encoder
from prismlab.experiments.tasks.features import encoder_pass, last_layers
from prismlab.experiments.tasks.interface import protocols

SIZE = presets.Size(dim=8, heads=2, mlp_dim=8, spatial_layers=1, temporal_layers=2, text_layers=1)
ENCODER = functools.partial(
    video_encoder.FactorizedVideoEncoder, SIZE, 2, 8, 4, remat="none", scan=True, position_std=1.0
)
CLIPS = np.random.default_rng(0).integers(0, 255, (3, 2, 8, 8, 3), np.uint8)
FLOATS = jnp.asarray(CLIPS, jnp.float32) / 255.0
HOW = {"frames": 2, "resolution": 8}


@functools.cache
def tower():
    with jax.ensure_compile_time_eval():
        return video.VideoTower(ENCODER, use_pooler=False, key=jax.random.key(1))


@pytest.mark.long
def test_the_last_layer_is_the_encoder_s_own_output():
    both = lambda clips: (last_layers.last_layers(2, tower().encoder, clips), tower().encoder(clips).x)
    found, last = jax.jit(both)(FLOATS)
    assert len(found) == 2
    np.testing.assert_allclose(found[-1], last, atol=1e-5)
    assert not np.allclose(found[0], found[1], atol=1e-2)
    with pytest.raises(errors.UserError, match=r"layers must be between 1 and 2"):
        last_layers.last_layers(3, tower().encoder, FLOATS)


@pytest.mark.long
def test_the_encoder_pass_stacks_the_layers_of_the_protocol():
    both = encoder_pass.EncoderPass(tower(), protocols.Protocol(**HOW, layers=2), 2)(CLIPS)
    assert both.shape == (3, 2, 8, 8)
    last = encoder_pass.EncoderPass(tower(), protocols.Protocol(**HOW), 2)(CLIPS)
    np.testing.assert_allclose(both[:, 1], last, atol=1e-5)


def test_layers_of_a_pooled_vector_or_of_another_tower_are_refused():
    with pytest.raises(errors.UserError, match="2 layers need pooling='attention'"):
        encoder_pass.EncoderPass(tower(), protocols.Protocol(**HOW, layers=2, pooling="mean"))
    with pytest.raises(errors.UserError, match=r"a tower with an encoder, got .* and function"):
        encoder_pass.EncoderPass(lambda video: video, protocols.Protocol(**HOW, layers=2))
