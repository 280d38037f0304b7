"""Released models take clips as floats in [0, 1] or uint8, and refuse other ranges."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.weights import released

SIZES = {
    "kind": "video_encoder", "model_dim": 16, "num_heads": 2, "mlp_dim": 16, "num_spatial_layers": 1,
    "num_temporal_layers": 1, "patch_size": 8, "pos_emb_shape": (2, 2, 2), "scan": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return released.build(SIZES, jax.random.key(0))


@pytest.fixture(scope="module")
def compiled(model):
    return eqx.filter_jit(lambda video: released.encode_video(model, video)[0])


def clip():
    return np.random.default_rng(0).integers(0, 256, (1, 2, 16, 16, 3)).astype(np.uint8)


def test_bytes_equal_the_floats_that_they_stand_for(compiled):
    floats = jnp.asarray(clip().astype(np.float32) / 255.0)
    np.testing.assert_allclose(compiled(jnp.asarray(clip())), compiled(floats), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: clip().astype(np.float32), "expected floats in .0, 1., got 0 to 255; divide by 255"),
        (lambda: clip() / np.float32(127.5) - 1, "got -1 to 1"),
        (lambda: clip().astype(np.int32), "got int32"),
        (lambda: np.full((1, 2, 16, 16, 3), np.nan, np.float32), "got nan"),
    ],
)
def test_another_range_is_refused(model, make, match):
    with pytest.raises(errors.UserError, match=match):
        released.encode_video(model, make())


@pytest.mark.long  # compiles each operation on its own
def test_a_compiled_program_gives_the_tokens_of_python(model, compiled):
    found = compiled(jnp.asarray(clip()))
    for given in (clip(), clip().astype(np.float32) / 255.0):
        expected, _ = released.encode_video(model, given)
        np.testing.assert_allclose(found, expected, atol=1e-5)
