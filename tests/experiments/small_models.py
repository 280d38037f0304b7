"""The golden models as users name them: a .json file of sizes, and an .npz in the release's layout."""

import json
import pathlib

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
_SHARED = {
    "patch_size": 6, "pos_emb_shape": [4, 4, 4], "model_dim": 32, "num_spatial_layers": 2,
    "num_temporal_layers": 2, "num_heads": 4, "mlp_dim": 64, "atten_logit_cap": 50.0, "scan": True,
}  # fmt: skip
CONFIGS = {
    "video_encoder": {**_SHARED, "kind": "video_encoder"},
    "video_classifier": {**_SHARED, "kind": "video_classifier", "num_classes": 7},
    "video_text_pre": {
        **_SHARED, "kind": "video_text", "mlp_dim": 128, "num_auxiliary_layers": 1,
        "num_unimodal_layers": 2, "vocabulary_size": 64, "norm_policy": "pre",
    },
}  # fmt: skip


def named(folder: pathlib.Path, kind: str) -> tuple[str, str]:
    """Write the sizes into a folder; return model and weights as a user would type them."""
    path = folder / f"{kind}.json"
    path.write_text(json.dumps(CONFIGS[kind]))
    return str(path), str(GOLDEN / f"{kind}_params.npz")
