"""Configurations of the public VideoPrism models: presets by name, and validation of custom ones."""

from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.towers import presets

_VIDEO = {
    "patch_size",
    "pos_emb_shape",
    "model_dim",
    "num_spatial_layers",
    "num_temporal_layers",
    "num_heads",
    "mlp_dim",
}
_TEXT = {"vocabulary_size", "num_unimodal_layers"}
REQUIRED = {
    "video_encoder": _VIDEO,
    "video_text": _VIDEO | _TEXT,
    "video_classifier": _VIDEO | {"num_classes"},
}
# Defaults of the release for optional fields.
_SHARED: dict[str, Any] = {"atten_logit_cap": 0.0, "norm_policy": "pre", "scan": False}
OPTIONAL: dict[str, dict[str, Any]] = {
    "video_encoder": _SHARED,
    # `text_sines` is our own field: wavelengths of the text positions, see `positions.sinusoids`.
    "video_text": {
        **_SHARED,
        "num_auxiliary_layers": 0,
        "enable_causal_atten": True,
        "text_sines": "release",
    },
    "video_classifier": _SHARED,
}
TEXT_SINES = ("release", "transformers")
KINETICS_400_CLASSES = 400


def _public(kind: str, size: presets.Size, frames: int, **more: Any) -> dict[str, Any]:
    config = {
        "kind": kind,
        "patch_size": 18,
        "pos_emb_shape": (frames, 16, 16),
        "model_dim": size.dim,
        "num_spatial_layers": size.spatial_layers,
        "num_temporal_layers": size.temporal_layers,
        "num_heads": size.heads,
        "mlp_dim": size.mlp_dim,
        "atten_logit_cap": 50.0,
        "scan": True,
    }
    if kind == "video_text":
        config |= {
            "vocabulary_size": 32_000,
            "num_unimodal_layers": size.text_layers,
            "num_auxiliary_layers": 2,
        }
    if kind == "video_classifier":
        config |= {"num_classes": KINETICS_400_CLASSES}
    return config | more


CONFIGS = {
    "videoprism_public_v1_base": _public("video_encoder", presets.base(), 16),
    "videoprism_public_v1_large": _public("video_encoder", presets.large(), 8),
    "videoprism_lvt_public_v1_base": _public("video_text", presets.base(), 16),
    "videoprism_lvt_public_v1_large": _public("video_text", presets.large(), 8),
    "videoprism_v1_giant": _public("video_encoder", presets.giant(), 8),
    "videoprism_lvt_v1_giant": _public("video_text", presets.giant(), 8, norm_policy="primer_hybrid"),
    # No weights were released. For another number of classes: {**CONFIGS[name], "num_classes": n}.
    "videoprism_vc_v1_base": _public("video_classifier", presets.base(), 16),
    "videoprism_vc_v1_large": _public("video_classifier", presets.large(), 8),
    "videoprism_vc_v1_giant": _public("video_classifier", presets.giant(), 8),
}

# Aliases: names of the release's builders, and model ids on Hugging Face.
ALIASES = {
    "videoprism_v1_base": "videoprism_public_v1_base",
    "videoprism_v1_large": "videoprism_public_v1_large",
    "videoprism_lvt_v1_base": "videoprism_lvt_public_v1_base",
    "videoprism_lvt_v1_large": "videoprism_lvt_public_v1_large",
    "google/videoprism-base-f16r288": "videoprism_public_v1_base",
    "google/videoprism-large-f8r288": "videoprism_public_v1_large",
    "google/videoprism-lvt-base-f16r288": "videoprism_lvt_public_v1_base",
    "google/videoprism-lvt-large-f8r288": "videoprism_lvt_public_v1_large",
}

# Weight file of each model on its Hugging Face page.
FILES = {
    "videoprism_public_v1_base": "flax_base_f16r288_repeated.npz",
    "videoprism_public_v1_large": "flax_large_f8r288_repeated.npz",
    "videoprism_lvt_public_v1_base": "flax_lvt_base_f16r288_repeated.npz",
    "videoprism_lvt_public_v1_large": "flax_lvt_large_f8r288_repeated.npz",
}
LICENCE = "Apache-2.0"


def page(name: str) -> str | None:
    """Return the Hugging Face id of a public model, or None if it has no released weights."""
    return next((alias for alias, model in ALIASES.items() if model == name and "/" in alias), None)


def checked(name_or_config: str | Mapping[str, Any]) -> dict[str, Any]:
    """Validate a configuration and fill in defaults; accepts a preset name or a mapping.

    Args:
        name_or_config: a name in CONFIGS or ALIASES, or a mapping with `kind` ("video_encoder",
            "video_text", "video_classifier") and the field names of the release.

    Raises:
        UserError: for an unknown name or kind, or listing all missing, unknown and invalid fields.

    Source: public release, models.py.
    """
    if isinstance(name_or_config, str):
        name = ALIASES.get(name_or_config, name_or_config)
        if name not in CONFIGS:
            known = sorted(CONFIGS) + sorted(ALIASES)
            raise errors.UserError(f"released model must be one of {known}; got {name_or_config!r}.")
        name_or_config = CONFIGS[name]
    kind = name_or_config.get("kind")
    if kind not in REQUIRED:
        raise errors.UserError(f"released model: kind must be one of {sorted(REQUIRED)}; got {kind!r}.")
    given = set(name_or_config) - {"kind"}
    faults = [f"{kind}: field {name!r} is missing." for name in sorted(REQUIRED[kind] - given)]
    known_fields = REQUIRED[kind] | set(OPTIONAL[kind])
    faults += [
        f"{kind}: unknown field {name!r}; known: {sorted(known_fields)}."
        for name in sorted(given - known_fields, key=str)
    ]
    if faults:
        raise errors.UserError("\n".join(faults))
    full = {**OPTIONAL[kind], **name_or_config}
    faults = [
        f"{kind}: {name} must be an integer of at least {least}; got {full[name]!r}."
        for name in sorted(full)
        if name in REQUIRED[kind] - {"pos_emb_shape"} or name == "num_auxiliary_layers"
        for least in (0 if name == "num_auxiliary_layers" else 1,)
        if not isinstance(full[name], int) or isinstance(full[name], bool) or full[name] < least
    ]
    shape = full["pos_emb_shape"]
    whole = isinstance(shape, list | tuple) and len(shape) == 3 and all(isinstance(x, int) for x in shape)
    if not whole or shape[1] != shape[2] or min(shape) < 1:
        faults.append(f"{kind}: pos_emb_shape must be (frames, side, side); got {shape!r}.")
    if full.get("text_sines", "release") not in TEXT_SINES:
        faults.append(f"{kind}: text_sines must be one of {TEXT_SINES}; got {full['text_sines']!r}.")
    if faults:
        raise errors.UserError("\n".join(faults))
    return {**full, "pos_emb_shape": tuple(shape)}
