"""A video encoder that starts from CLIP gives CLIP's features of each frame; other files are refused."""

import functools

import clip_files
import equinox as eqx
import jax
import numpy as np
import pytest

from prismlab.core import errors
from prismlab.core.towers import presets, video_encoder
from prismlab.core.weights import image_clip, release_models

SIZE = presets.Size(
    clip_files.DIM, clip_files.HEADS, clip_files.MLP, spatial_layers=clip_files.LAYERS, temporal_layers=1,
    text_layers=1,
)  # fmt: skip
KEY = jax.random.key(0)
FRAME = clip_files.SIDE * clip_files.PATCH
ENCODER = functools.partial(
    video_encoder.FactorizedVideoEncoder, SIZE, 2, FRAME, clip_files.PATCH, atten_logit_cap=0.0, scan=False
)
ARRAYS = clip_files.transformers_arrays()
OPEN = functools.partial(clip_files.open_clip_arrays, ARRAYS)
VISION = {"model_type": "clip_vision_model", "num_attention_heads": clip_files.HEADS, "hidden_act": "gelu"}
BARE = {name.removeprefix("vision_model."): array for name, array in ARRAYS.items() if "vision" in name}
# Arrays, configuration, and whether it states the sigmoid approximation of GELU.
FILES = {
    "transformers": (ARRAYS, clip_files.transformers_config(), True),
    "transformers 5": (BARE, VISION, False),
    "open_clip": (OPEN(), clip_files.open_clip_config(), True),
    "open_clip, model alone": (OPEN(), clip_files.open_clip_config(False)["model_cfg"], False),
    "CoCa": (OPEN(coca=True), clip_files.open_clip_config(False, attentional_pool=True), False),
}


@functools.cache
def clips():
    return jax.random.uniform(jax.random.key(1), (1, 2, FRAME, FRAME, 3))


@functools.cache
def temporal():
    return ENCODER(key=KEY).temporal


@eqx.filter_jit
def spatial_features(encoder, clips):
    return encoder.features(clips)[1]


@pytest.mark.parametrize("file", FILES)
def test_each_frame_has_the_features_of_clip(file, tmp_path):
    made, config, quick = FILES[file]
    encoder = image_clip.started(encoder=ENCODER, key=KEY, **clip_files.saved(tmp_path, made, config))
    spatial = spatial_features(encoder, clips())
    wanted = np.concatenate([clip_files.features(ARRAYS, frame, quick) for frame in clips()[0]])
    np.testing.assert_allclose(spatial[0], wanted, atol=1e-4)
    assert eqx.tree_equal(encoder.temporal, temporal())


def test_another_activation_would_be_seen():
    quick, exact = (clip_files.features(ARRAYS, clips()[0, 0], each) for each in (True, False))
    assert np.abs(quick - exact).max() > 3e-3


def test_weight_formats_refuse_the_encoder(tmp_path):
    made, config, _ = FILES["transformers"]
    encoder = image_clip.started(encoder=ENCODER, key=KEY, **clip_files.saved(tmp_path, made, config))
    with pytest.raises(
        errors.UserError, match="encoders without class token and with gelu, got a spatial part"
    ):
        release_models.describe(encoder)


def _broken(change=lambda made: made, config=None, names="transformers", **options):
    made, usual, _ = FILES[names]
    return change(dict(made)), config or usual, options


SPATIAL = "vision_model.encoder.layers.0."
REFUSED = {
    "another model": (
        _broken(lambda made: {"weight": np.ones(3, np.float32)}),
        r"expected the image encoder of a CLIP .*, found weight in .*; name such a file",
    ),
    "fewer layers": (
        _broken(lambda made: clip_files.transformers_arrays(layers=1)),
        r"expected 2 spatial layers, found 1 in .*; change presets\.Size",
    ),
    "another width": (
        _broken(lambda made: made | {f"{SPATIAL}mlp.fc1.bias": np.zeros(9, np.float32)}),
        r"expected vision_model\.encoder\.layers\.0\.mlp\.fc1\.bias of shape \(12,\), found \(9,\)",
    ),
    "packed attention of another width": (
        _broken(
            lambda made: made | {"visual.transformer.resblocks.0.attn.in_proj_bias": np.zeros(9, np.float32)},
            names="open_clip",
        ),
        r"in_proj_bias of shape \(24,\), found \(9,\)",
    ),
    "no array": (
        _broken(lambda made: {name: made[name] for name in made if "pre_layrnorm.bias" not in name}),
        r"expected vision_model\.pre_layrnorm\.bias of shape \(8,\), found none",
    ),
    "layer scale": (
        _broken(
            lambda made: made | {"visual.transformer.resblocks.0.ls_1.gamma": np.ones(8, np.float32)},
            names="open_clip",
        ),
        r"holds visual\.transformer\.resblocks\.0\.ls_1\.gamma, a part that this encoder has not",
    ),
    "whole numbers": (
        _broken(lambda made: made | {f"{SPATIAL}mlp.fc1.bias": np.zeros(12, np.int8)}),
        "of one of the types float16, bfloat16, float32, float64, found int8",
    ),
    "not finite": (
        _broken(lambda made: made | {f"{SPATIAL}mlp.fc1.bias": np.full(12, np.nan, np.float32)}),
        r"mlp\.fc1\.bias in .* holds values that are not finite",
    ),
    "other heads": (
        _broken(config=clip_files.transformers_config(num_attention_heads=4)),
        r"expected 2 heads, found 4 in .*; change presets\.Size\.heads",
    ),
    "a cap of logits": (
        _broken(encoder=functools.partial(ENCODER, atten_logit_cap=50.0)),
        r"CLIP has no cap of logits .*atten_logit_cap=0\.0",
    ),
    "other pixels": (
        _broken(names="open_clip", mean=(0.5, 0.5, 0.5)),
        r"image_clip\.started\.mean: expected \(0\.48.*which .* states, got \(0\.5, 0\.5, 0\.5\)",
    ),
    "a std of zero": (
        _broken(std=(0.0, 1.0, 1.0)),
        r"expected a finite mean and a positive std, got .*\(0\.0, 1\.0, 1\.0\)",
    ),
    "a configuration of SigLIP": (
        _broken(config={"model_type": "siglip"}),
        "expected model_type 'clip' or 'clip_vision_model', found 'siglip'",
    ),
    "another epsilon": (
        _broken(config=clip_files.transformers_config(layer_norm_eps=1e-6)),
        "expected layer_norm_eps 1e-05, found 1e-06",
    ),
    "another activation": (
        _broken(config=clip_files.transformers_config(hidden_act="silu")),
        "expected hidden_act gelu or quick_gelu, found 'silu'",
    ),
    "a list": (_broken(config=[1]), r"expected an object, found \[1\]; name the configuration"),
    "an unknown setting": (
        _broken(config=clip_files.open_clip_config(act_kwargs={"approximate": "tanh"}), names="open_clip"),
        "expected settings of .* in vision_cfg, found 'act_kwargs'",
    ),
    "two poolers": (
        _broken(config=clip_files.open_clip_config(attentional_pool="cascade"), names="CoCa"),
        "expected attentional_pool true or false, found 'cascade'",
    ),
    "a head of no width": (
        _broken(config=clip_files.open_clip_config(head_width=0), names="open_clip"),
        "expected head_width of 1 to 65536, found 0",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_give_other_features_is_refused(case, tmp_path):
    (made, config, options), message = REFUSED[case]
    given = {"encoder": ENCODER, **clip_files.saved(tmp_path, made, config), **options}
    with pytest.raises(errors.UserError, match=message) as caught:
        image_clip.started(key=KEY, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 7, 500, -1])
def test_a_truncated_file_is_one_line(length, tmp_path):
    made, config, _ = FILES["transformers"]
    given = clip_files.saved(tmp_path, made, config)
    whole = (tmp_path / "clip.safetensors").read_bytes()
    (tmp_path / "clip.safetensors").write_bytes(whole[:length])
    with pytest.raises(errors.UserError, match=r"is not a plain \.safetensors of arrays") as caught:
        image_clip.started(encoder=ENCODER, key=KEY, **given)
    assert "\n" not in str(caught.value)


def test_only_safetensors_are_read(tmp_path):
    (tmp_path / "clip.pt").write_bytes(b"\x80\x04.")
    given = {"weights": str(tmp_path / "clip.pt"), "config": str(tmp_path / "config.json")}
    with pytest.raises(errors.UserError, match="is not a plain"):
        image_clip.started(encoder=ENCODER, key=KEY, **given)
