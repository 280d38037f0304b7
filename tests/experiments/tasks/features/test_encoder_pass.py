"""What an encoder pass keeps of the tokens, by the protocol's pooling."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.features import encoder_pass
from prismlab.experiments.tasks.interface import protocols

FRAMES = 2


class Numbered:
    """A tower whose tokens, numbered from 0, have the number and its negative as channels."""

    def __init__(self, side):
        self.count = FRAMES * side * side

    def __call__(self, videos):
        number = jnp.arange(self.count, dtype=jnp.float32)
        tokens = jnp.broadcast_to(jnp.stack([number, -number], axis=-1), (len(videos), self.count, 2))
        return types.SimpleNamespace(tokens=types.SimpleNamespace(x=tokens), pooled=None)


def read(pooling, side=4):
    how = protocols.Protocol(frames=FRAMES, resolution=8, pooling=pooling)
    encoder = encoder_pass.EncoderPass(Numbered(side), how, batch_size=2)
    found = encoder(np.zeros((3, FRAMES, 8, 8, 3), np.uint8))
    assert found.shape[1:] == encoder.shape
    return found[0]


def test_frames_and_their_quarters_are_means_of_their_tokens():
    np.testing.assert_allclose(read("frames"), [[7.5, -7.5], [23.5, -23.5]])
    upper = [2.5, -2.5, 4.5, -4.5]  # tokens 0 1 4 5 and 2 3 6 7 of a grid of 4 x 4
    lower = [10.5, -10.5, 12.5, -12.5]
    first = np.asarray(upper + lower)
    np.testing.assert_allclose(read("quarters"), [first, first + np.sign(first) * 16])


def test_quarters_need_an_even_grid_for_each_frame():
    with pytest.raises(errors.UserError, match="of an even side for each frame, this tower gives 9 tokens"):
        read("quarters", side=3)
