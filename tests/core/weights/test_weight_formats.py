"""There and back in every layout: the same bits, the same numbers as the official models, faults by name."""

import dataclasses
import json

import equinox as eqx
import golden_models
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from prismlab.core import errors, trees
from prismlab.core.nn import positions
from prismlab.core.weights import (
    hf_names,
    matching,
    release_config,
    release_models,
    released,
    weight_files,
    weight_formats,
)

CONFIGS = golden_models.CONFIGS
ENDINGS = (".npz", ".safetensors", ".bundle")


def _arrays(path):
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


@pytest.mark.parametrize("name", CONFIGS)
def test_there_and_back_are_the_same_bits_in_every_layout(name, tmp_path):
    model = released.load(CONFIGS[name], golden_models.parameters(name))
    first = trees.digest(trees.flatten(model))
    for ending in ENDINGS:
        path = tmp_path / f"model{ending}"
        released.save(model, path)
        again = released.load(CONFIGS[name], path)
        assert trees.digest(trees.flatten(again)) == first, ending
        assert jax.tree.structure(again) == jax.tree.structure(model)
        model = again
    released.save(model, tmp_path / "last.npz")
    official, ours = _arrays(golden_models.parameters(name)), _arrays(tmp_path / "last.npz")
    assert trees.digest(official) == trees.digest(ours)


def test_the_names_of_the_hugging_face_layout(tmp_path):
    # Read off transformers 5.24; test_transformers.py holds this against the real package.
    released.save(
        released.load(CONFIGS["video_text_pre"], golden_models.parameters("video_text_pre")),
        tmp_path / "a.safetensors",
    )
    found = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    vision = "video_model.vision_model."
    assert found[vision + "spatial_embeddings.patch_embeddings.projection.weight"].shape == (32, 3, 1, 6, 6)
    assert found[vision + "temporal_embeddings.position_embeddings"].shape == (1, 4, 32)
    assert found[vision + "spatial_layers.1.mlp.fc1.weight"].shape == (128, 32)
    assert found["video_model.auxiliary_layers.0.attention.o_proj.weight"].shape == (32, 32)
    assert found["video_model.head.k_proj.weight"].shape == (128, 32)
    assert found["text_model.layers.1.layernorm_after.bias"].shape == (32,)
    assert found["text_model.embeddings.position_embedding"].shape == (64, 32)
    official = _arrays(golden_models.parameters("video_text_pre"))
    kernel = official["params/vision_encoder/patch_projection/linear/kernel"]
    # One pixel of one filter: row 2, column 5, channel 1.
    theirs = found[vision + "spatial_embeddings.patch_embeddings.projection.weight"][7, 1, 0, 2, 5]
    assert theirs == kernel[(2 * 6 + 5) * 3 + 1, 7]
    query = official["params/text_encoder/unimodal_transformer/x_layers/self_attention/query/w"]
    assert found["text_model.layers.1.attention.q_proj.weight"][3 * 8 + 2, 9] == query[1, 9, 3, 2]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["VideoPrismClipModel"]
    assert config["text_config"]["num_hidden_layers"] == 2


def test_config_json_is_not_taken_from_another_model(tmp_path):
    released.save(
        released.load(CONFIGS["video_encoder"], golden_models.parameters("video_encoder")),
        tmp_path / "a.safetensors",
    )
    other = released.load(CONFIGS["video_classifier"], golden_models.parameters("video_classifier"))
    with pytest.raises(errors.UserError, match=r"belongs to a.safetensors"):
        released.save(other, tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()
    with pytest.raises(errors.UserError, match=r"ends in one of"):
        released.save(other, tmp_path / "b.pt")


def test_files_of_transformers_keep_its_text_positions(tmp_path):
    config, path = CONFIGS["video_text_pre"], tmp_path / "model.safetensors"
    released.save(released.load(config, golden_models.parameters("video_text_pre")), path)
    arrays = safetensors.numpy.load_file(path)
    even = np.asarray(positions.sinusoids(64, 32, last_included=False))
    frequency = 10_000.0 ** (-np.arange(0, 32, 2) / 32)  # as transformers writes it
    np.testing.assert_allclose(even[:, :16], np.sin(np.arange(64)[:, None] * frequency), atol=1e-5)
    arrays[hf_names.POSITIONS] = even
    safetensors.numpy.save_file(arrays, path)
    model = released.load(config, path)
    assert release_models.describe(model).text_sines == "transformers"
    np.testing.assert_array_equal(model.text.sines(5), even[:5])
    arrays[hf_names.POSITIONS] = even + 0.1
    safetensors.numpy.save_file(arrays, path)
    with pytest.raises(errors.UserError, match="neither the release's table"):
        released.load(config, path)


def test_half_precision_files_are_read(tmp_path):
    model = released.load(CONFIGS["video_encoder"], golden_models.parameters("video_encoder"))
    released.save(model, tmp_path / "a.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    half = {name: np.asarray(jnp.asarray(value, jnp.bfloat16)) for name, value in arrays.items()}
    safetensors.numpy.save_file(half, tmp_path / "half.safetensors")
    again = released.load(CONFIGS["video_encoder"], tmp_path / "half.safetensors")
    assert again.spatial_norm.bias.dtype == jnp.float32
    np.testing.assert_array_equal(again.spatial_norm.bias, model.spatial_norm.bias.astype(jnp.bfloat16))


def test_a_wrong_preset_is_told_which_one_fits(tmp_path, monkeypatch):
    presets = {"videoprism_tiny": CONFIGS["video_encoder"], "videoprism_lvt_tiny": CONFIGS["video_text_pre"]}
    monkeypatch.setattr(release_config, "CONFIGS", presets)
    for ending in ENDINGS:
        path = tmp_path / f"model{ending}"
        released.save(released.load("videoprism_tiny", golden_models.parameters("video_encoder")), path)
        with pytest.raises(errors.UserError, match="it fits 'videoprism_tiny'"):
            released.load("videoprism_lvt_tiny", path)
    with pytest.raises(errors.UserError, match="it fits no preset either"):
        released.load("videoprism_tiny", golden_models.parameters("video_classifier"))


def test_truncated_and_lying_files_are_refused_by_name(tmp_path):
    model = released.load(CONFIGS["video_encoder"], golden_models.parameters("video_encoder"))
    for ending in ENDINGS:
        path = tmp_path / f"model{ending}"
        released.save(model, path)
        data = path.read_bytes()
        for kept in (0, 10, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:kept])
            with pytest.raises(errors.UserError, match=f"model{ending} is not a plain"):
                released.load(CONFIGS["video_encoder"], path)
    flipped = bytearray(golden_models.parameters("video_encoder").read_bytes())
    flipped[len(flipped) // 2] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(flipped)
    with pytest.raises(errors.UserError, match=r"flipped.npz is not a plain"):
        released.load(CONFIGS["video_encoder"], tmp_path / "flipped.npz")


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_flipped_bit_is_noticed(tmp_path, ending):
    model = released.load(CONFIGS["video_encoder"], golden_models.parameters("video_encoder"))
    path = tmp_path / f"model{ending}"
    released.save(model, path)
    data, draw = path.read_bytes(), np.random.default_rng(0)
    for trial in range(40):
        # Some of the trials hit the header of the file.
        at = int(draw.integers(len(data) if trial % 4 else 4000))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << trial % 8]) + data[at + 1 :])
        try:
            found = released.load(CONFIGS["video_encoder"], path)
        except errors.UserError:
            continue
        # A bit that says nothing, such as of a date.
        jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(found), jax.tree.leaves(model))


def test_a_huge_array_is_refused_before_it_is_read(tmp_path):
    # Zeros in a small compressed file may be more than fits any memory.
    arrays = _arrays(golden_models.parameters("video_encoder"))
    arrays["params/spatial_ln/scale"] = np.broadcast_to(np.float32(0), (2**14, 2**8))
    np.savez_compressed(tmp_path / "bomb.npz", **arrays)
    with pytest.raises(errors.UserError, match=r"got \(16384, 256\)"):
        released.load(CONFIGS["video_encoder"], tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("google/videoprism-base-f16r288", 114_365_184),
        ("google/videoprism-large-f8r288", 353_965_056),
        ("google/videoprism-lvt-base-f16r288", 247_623_424),
        ("videoprism_lvt_v1_large", 579_877_120),
        ("videoprism_v1_giant", 1_112_755_072),
        ("videoprism_lvt_v1_giant", 1_621_074_016),
    ],
)
def test_presets_have_the_sizes_of_the_release(name, count):
    # Counts by jax.eval_shape on the official code (the release's page says 114M and 354M).
    config = release_config.checked(name)
    empty = weight_formats.abstract(config)
    assert trees.count(empty) == count
    for layout in (weight_formats.RELEASE, weight_formats.HUGGING_FACE, weight_formats.BUNDLE):
        table = weight_formats.entries(layout, config, empty)
        assert sum(int(np.prod(entry.shape)) for entry in table.values()) == count


def test_a_model_describes_the_configuration_that_builds_it():
    for config in CONFIGS.values():
        full = release_config.checked(config)
        assert release_models.describe(weight_formats.abstract(full)) == full


def test_impossible_fields_are_told_all_at_once():
    with pytest.raises(errors.UserError) as caught:
        released.build(
            {**CONFIGS["video_text_pre"], "num_heads": 0, "model_dim": "768", "text_sines": "x"},
            key=jax.random.key(0),
        )
    assert all(name in str(caught.value) for name in ("num_heads", "model_dim", "text_sines"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("scan", 1), ("atten_logit_cap", -1.0), ("norm_policy", "none"), ("pos_emb_shape", [4, 4])],
)
def test_values_that_no_model_can_have_are_refused_by_field(field, value):
    with pytest.raises(errors.UserError, match=f"video_encoder: {field} must be .*; got"):
        release_config.checked({**CONFIGS["video_encoder"], field: value})


def test_a_configuration_is_immutable_and_survives_json():
    for config in CONFIGS.values():
        full = release_config.checked(config)
        assert release_config.checked(json.loads(json.dumps(full.plain()))) == full
        with pytest.raises(dataclasses.FrozenInstanceError, match="kind"):
            full.kind = "video_text"


def test_a_stage_of_a_training_run_loads(tmp_path):
    model = released.load(CONFIGS["video_text_pre"], golden_models.parameters("video_text_pre"))
    flat = trees.flatten({"towers": {"video": model.video, "text": model.text}})
    flat["objectives/contrastive/log_scale"] = jnp.ones(())
    contents = weight_files.Contents(
        tmp_path,
        weight_formats.BUNDLE,
        {name: value.shape for name, value in flat.items()},
        {name: value.dtype.name for name, value in flat.items()},
        lambda wanted: {name: np.asarray(flat[name]) for name in wanted},
        step=3,
    )
    for kind in ("video_text_pre", "video_encoder"):
        config = release_config.checked({**CONFIGS[kind], "mlp_dim": 128})
        empty = weight_formats.abstract(config)
        table = weight_formats.entries(weight_formats.BUNDLE, config, empty)
        matching.require(config, table, contents)
        filled = weight_formats.fill(empty, table, contents.read)
        own = model if kind == "video_text_pre" else model.video.encoder
        assert eqx.tree_equal(filled, own)
