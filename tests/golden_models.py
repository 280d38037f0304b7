"""The configurations of the golden files: the official models at tiny size (see golden/, and its makers)."""

import pathlib

GOLDEN = pathlib.Path(__file__).parent / "golden"
SHARED = {
    "patch_size": 6,
    "pos_emb_shape": (4, 4, 4),
    "model_dim": 32,
    "num_spatial_layers": 2,
    "num_temporal_layers": 2,
    "num_heads": 4,
    "mlp_dim": 64,
    "atten_logit_cap": 50.0,
    "scan": True,
}
TEXT = {
    **SHARED,
    "kind": "video_text",
    "mlp_dim": 128,
    "num_auxiliary_layers": 1,
    "num_unimodal_layers": 2,
    "vocabulary_size": 64,
    "enable_causal_atten": True,
}
CONFIGS = {
    "video_encoder": {**SHARED, "kind": "video_encoder"},
    "video_classifier": {**SHARED, "kind": "video_classifier", "num_classes": 7},
    "video_text_pre": {**TEXT, "norm_policy": "pre"},
    "video_text_primer_hybrid": {**TEXT, "norm_policy": "primer_hybrid"},
}


def parameters(name):
    """Return the file with a case's weights."""
    return GOLDEN / f"{name}_params.npz"


def inputs_and_outputs(name):
    """Return the file with a case's inputs and what the official code gives for them."""
    return GOLDEN / f"{name}_io.npz"
