"""The official models' numbers at tiny size, reproduced from the official names.

The golden files were written by the official code with random weights, noise added to every leaf. They
change only if the public release changes its numerics.
"""

import equinox as eqx
import golden_models
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.weights import released

SHARED = golden_models.SHARED
ENCODER, CLASSIFIER = golden_models.CONFIGS["video_encoder"], golden_models.CONFIGS["video_classifier"]
ENCODE = eqx.filter_jit(released.encode_video)
PARAMETERS = golden_models.parameters("video_encoder")


def _text(policy):
    return golden_models.CONFIGS[f"video_text_{policy}"]


def _io(name):
    with np.load(golden_models.inputs_and_outputs(name), allow_pickle=False) as archive:
        return {key: jnp.asarray(archive[key]) for key in archive.files}


@pytest.mark.parametrize("scan", [True, False])
def test_video_encoder_golden(scan):
    io, model = _io("video_encoder"), released.load({**ENCODER, "scan": scan}, PARAMETERS)
    tokens, spatial = ENCODE(model, io["video"])
    np.testing.assert_allclose(tokens, io["embeddings"], atol=1e-5)
    np.testing.assert_allclose(spatial, io["spatial_features"], atol=1e-5)
    if not scan:
        return  # the same layers in turn; each input is a program of its own
    resized, _ = ENCODE(model, io["video_resized"])
    np.testing.assert_allclose(resized, io["embeddings_resized"], atol=1e-5)
    padded, _ = ENCODE(model, io["video"], io["frame_paddings"])
    np.testing.assert_allclose(padded, io["embeddings_padded"], atol=1e-5)


def test_video_encoder_golden_in_bfloat16():
    io = _io("video_encoder")
    model = released.load(ENCODER, PARAMETERS, dtype="bfloat16")
    tokens = ENCODE(model, io["video"])[0]
    assert tokens.dtype == jnp.bfloat16
    ours, theirs, exact = np.asarray(tokens, np.float32), io["embeddings_bf16"], io["embeddings"]

    def rms(x):
        return np.sqrt(np.square(x).mean())

    # Nearer to the official rounding than that is to the exact numbers; nowhere off by more than 4 steps
    # of the largest value (2 to 4 has a step of 1/64).
    assert rms(ours - theirs) < rms(theirs - exact)
    np.testing.assert_allclose(ours, theirs, atol=4 / 64)


def test_video_classifier_golden():
    io, model = (
        _io("video_classifier"),
        released.load(CLASSIFIER, golden_models.parameters("video_classifier")),
    )

    @eqx.filter_jit
    def run(model, clips):
        return released.classify(model, clips), model.video(clips).pooled

    logits, pooled = run(model, io["video"])
    np.testing.assert_allclose(logits, io["logits"], atol=1e-5)
    np.testing.assert_allclose(pooled, io["global_embeddings"], atol=1e-5)


@pytest.mark.parametrize("policy", ["pre", pytest.param("primer_hybrid", marks=pytest.mark.long)])
def test_video_text_golden(policy):
    io = _io(f"video_text_{policy}")
    model = released.load(_text(policy), golden_models.parameters(f"video_text_{policy}"))
    captions = (io["text_token_ids"], io["text_paddings"])

    @eqx.filter_jit
    def run(model, clips, captions):
        pairs = [released.embed(model, clips, *captions, normalize=normalize) for normalize in (True, False)]
        return pairs, released.frame_embeddings(model, clips), released.embed(model, None, *captions)

    pairs, frames, alone = run(model, io["video"], captions)
    for (seen, read), suffix in zip(pairs, ("", "_unnormalized")):
        np.testing.assert_allclose(seen, io[f"video_embeddings{suffix}"], atol=1e-5)
        np.testing.assert_allclose(read, io[f"text_embeddings{suffix}"], atol=1e-5)
    np.testing.assert_allclose(frames, io["frame_embeddings"], atol=1e-5)
    assert alone[0] is None
    np.testing.assert_array_equal(alone[1], pairs[0][1])
    with pytest.raises(errors.UserError, match="without text_paddings"):
        released.embed(model, None, captions[0])


def test_every_fault_of_a_file_is_listed_at_once(tmp_path):
    with np.load(PARAMETERS, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays["params/extra"] = np.zeros(3)
    arrays["params/spatial_ln/scale"] = np.zeros(5, np.float32)
    arrays["params/temporal_ln/bias"] = np.zeros(32, np.int32)
    del arrays["params/temporal_ln/scale"]
    np.savez(tmp_path / "broken.npz", **arrays)
    with pytest.raises(errors.UserError) as caught:
        released.load(ENCODER, tmp_path / "broken.npz")
    said = str(caught.value)
    assert "missing: params/temporal_ln/scale (32,)" in said
    assert "unknown: params/extra (3,)" in said
    assert "wrong shape: params/spatial_ln/scale expected (32,), got (5,)" in said
    assert "not floating: params/temporal_ln/bias is int32" in said


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "pickled.npz", **{"params/spatial_ln/scale": np.array([print], dtype=object)})
    with pytest.raises(errors.UserError, match="not a plain"):
        released.load(ENCODER, tmp_path / "pickled.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(errors.UserError, match="not a plain"):
        released.load(ENCODER, tmp_path / "text.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(errors.UserError, match="not a plain"):
        released.load(ENCODER, tmp_path / "single.npy")
    with pytest.raises(errors.UserError, match="no file at"):
        released.load(ENCODER, tmp_path / "absent.npz")


def test_configurations_are_checked():
    key = jax.random.key(0)
    with pytest.raises(errors.UserError, match="got 'image_encoder'"):
        released.build({**ENCODER, "kind": "image_encoder"}, key)
    with pytest.raises(errors.UserError, match="'videoprism_public_v1_base'"):
        released.build("videoprism_public_v1_huge", key)
    bad = {**ENCODER, "model_dims": 3}
    del bad["num_heads"]
    with pytest.raises(errors.UserError) as caught:
        released.build(bad, key)
    assert "'num_heads' is missing" in str(caught.value)
    assert "unknown field 'model_dims'" in str(caught.value)


def test_public_base_has_the_release_names():
    table = released.npz_names.names("video_encoder")
    assert len(table) == 40
    assert len(released.npz_names.names("video_classifier")) == 54
    assert len(released.npz_names.names("video_text", auxiliary=True)) == 88
    assert "params/temporal_encoder/transformers_stack/x_layers/ff_layer/ffn_layer2/linear/kernel" in table
