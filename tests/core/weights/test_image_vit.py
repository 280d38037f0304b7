"""A video encoder that starts from a ViT gives the ViT's features of each frame; other files are refused."""

import functools
import math

import equinox as eqx
import jax
import numpy as np
import pytest
import safetensors.numpy

from prismlab.core import errors
from prismlab.core.towers import presets, video_encoder
from prismlab.core.weights import image_vit

DIM, HEADS, MLP, LAYERS, PATCH, SIDE = 8, 2, 12, 2, 2, 2
SIZE = presets.Size(DIM, HEADS, MLP, spatial_layers=LAYERS, temporal_layers=1, text_layers=1)
KEY = jax.random.key(0)
ENCODER = functools.partial(
    video_encoder.FactorizedVideoEncoder, SIZE, 2, SIDE * PATCH, PATCH, atten_logit_cap=0.0, scan=False
)


def arrays(layers=LAYERS, side=SIDE, prefix=""):
    random = np.random.default_rng(0)
    draw = lambda *shape: (0.3 * random.normal(size=shape)).astype(np.float32)
    made = {
        "embeddings.cls_token": draw(1, 1, DIM),
        "embeddings.position_embeddings": draw(1, 1 + side * side, DIM),
        "embeddings.patch_embeddings.projection.weight": draw(DIM, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": draw(DIM),
        "layernorm.weight": 1 + draw(DIM),
        "layernorm.bias": draw(DIM),
    }
    for layer in range(layers):
        own = f"encoder.layer.{layer}."
        for name in ("layernorm_before", "layernorm_after"):
            made |= {f"{own}{name}.weight": 1 + draw(DIM), f"{own}{name}.bias": draw(DIM)}
        sizes = {f"attention.attention.{each}": (DIM, DIM) for each in ("query", "key", "value")}
        sizes |= {"attention.output.dense": (DIM, DIM)}
        sizes |= {"intermediate.dense": (MLP, DIM), "output.dense": (DIM, MLP)}
        for name, shape in sizes.items():
            made |= {f"{own}{name}.weight": draw(*shape), f"{own}{name}.bias": draw(shape[0])}
    return {prefix + name: value for name, value in made.items()}


def norm(x, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * weight + bias


def vit(made, frame):
    """Encode the patches of a frame, without the class token, with numpy."""
    linear = lambda x, name: x @ made[f"{name}.weight"].T + made[f"{name}.bias"]
    pixels, x = (np.asarray(frame, np.float64) - 0.5) / 0.5, []
    for place in range(SIDE * SIDE):
        top, left = (PATCH * each for each in divmod(place, SIDE))
        tile = pixels[top : top + PATCH, left : left + PATCH]
        token = np.einsum("dcij,ijc->d", made["embeddings.patch_embeddings.projection.weight"], tile)
        token = token + made["embeddings.patch_embeddings.projection.bias"]
        x.append(token + made["embeddings.position_embeddings"][0, 1 + place])
    x = np.stack(x)
    for layer in range(LAYERS):
        own = f"encoder.layer.{layer}."
        y = norm(x, made[f"{own}layernorm_before.weight"], made[f"{own}layernorm_before.bias"])
        parts = [linear(y, f"{own}attention.attention.{each}") for each in ("query", "key", "value")]
        query, key, value = (each.reshape(len(x), HEADS, -1).swapaxes(0, 1) for each in parts)
        logits = query @ key.swapaxes(1, 2) / math.sqrt(DIM / HEADS)
        chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        joined = (chances @ value).swapaxes(0, 1).reshape(len(x), DIM)
        x = x + linear(joined, f"{own}attention.output.dense")
        y = norm(x, made[f"{own}layernorm_after.weight"], made[f"{own}layernorm_after.bias"])
        hidden = linear(y, f"{own}intermediate.dense")
        hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        x = x + linear(hidden, f"{own}output.dense")
    return norm(x, made["layernorm.weight"], made["layernorm.bias"])


def saved(folder, made):
    safetensors.numpy.save_file(made, folder / "model.safetensors")
    return str(folder / "model.safetensors")


def test_each_frame_has_the_features_of_the_vit(tmp_path):
    encoder = image_vit.started(encoder=ENCODER, weights=saved(tmp_path, arrays(prefix="vit.")), key=KEY)
    clips = jax.random.uniform(jax.random.key(1), (1, 2, SIDE * PATCH, SIDE * PATCH, 3))
    _, spatial = eqx.filter_jit(encoder.features)(clips)
    wanted = np.concatenate([vit(arrays(), frame) for frame in clips[0]])
    np.testing.assert_allclose(spatial[0], wanted, rtol=1e-3, atol=1e-4)
    assert eqx.tree_equal(encoder.temporal, ENCODER(key=KEY).temporal)


def test_positions_of_another_grid_are_interpolated(tmp_path):
    made = arrays(side=4)
    made["embeddings.position_embeddings"][0, 1:] = 3.0
    encoder = image_vit.started(encoder=ENCODER, weights=saved(tmp_path, made), key=KEY)
    np.testing.assert_allclose(encoder.spatial_positions.table, np.full((SIDE * SIDE, DIM), 3.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda made: {"weight": made["layernorm.weight"]},
            "expected a ViTModel of transformers .* found weight",
        ),
        (lambda made: arrays(layers=3), r"expected 2 spatial layers, found 3 in .*; change presets\.Size"),
        (
            lambda made: made | {"layernorm.bias": np.zeros(9, np.float32)},
            r"expected layernorm\.bias of shape \(8,\), found \(9,\) in .*; change the encoder's size",
        ),
        (
            lambda made: {name: made[name] for name in made if name != "layernorm.bias"},
            r"expected layernorm\.bias of shape \(8,\), found none",
        ),
    ],
)
def test_another_model_is_refused(tmp_path, change, told):
    with pytest.raises(errors.UserError, match=told):
        image_vit.started(encoder=ENCODER, weights=saved(tmp_path, change(arrays())), key=KEY)


def test_a_std_of_zero_is_refused():
    with pytest.raises(
        errors.UserError, match=r"a finite mean and a positive std, got .*\(0\.0, 0\.0, 0\.0\)"
    ):
        image_vit.started(encoder=ENCODER, weights="x", std=0.0, key=KEY)
