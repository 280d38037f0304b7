"""Configurations of the public VideoPrism models: presets by name, and validation of custom ones."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.nn import layers
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
_COUNTS = _VIDEO - {"pos_emb_shape"} | {
    "vocabulary_size",
    "num_unimodal_layers",
    "num_auxiliary_layers",
    "num_classes",
}
_SHARED = {"atten_logit_cap", "norm_policy", "scan"}
_POOLER = {"pooler_heads", "pooler_dim"}
_AUXILIARY = {
    "num_auxiliary_layers",
    "auxiliary_heads",
    "auxiliary_mlp_dim",
    "auxiliary_logit_cap",
    "auxiliary_norm_policy",
}
_TEXT = {"text_dim", "text_heads", "text_logit_cap", "video_norm_policy", "enable_causal_atten", "text_sines"}
# Not in the release: sizes that a recipe may choose, and that follow from the others there (None).
OWN_COUNTS = ("pooler_heads", "pooler_dim", "auxiliary_heads", "auxiliary_mlp_dim", "text_dim", "text_heads")
OWN_CAPS = ("auxiliary_logit_cap", "text_logit_cap")
OWN = (*OWN_COUNTS, *OWN_CAPS, "auxiliary_norm_policy", "video_norm_policy")
REQUIRED = {
    "video_encoder": _VIDEO,
    "video_tower": _VIDEO,
    "video_text": _VIDEO | {"vocabulary_size", "num_unimodal_layers"},
    "video_classifier": _VIDEO | {"num_classes"},
}
OPTIONAL = {
    "video_encoder": _SHARED,
    "video_tower": _SHARED | _POOLER | _AUXILIARY,
    "video_text": _SHARED | _POOLER | _AUXILIARY | _TEXT,
    "video_classifier": _SHARED | _POOLER,
}
TEXT_SINES = ("release", "transformers")
KINETICS_400_CLASSES = 400


@dataclasses.dataclass(frozen=True)
class ReleaseConfig:
    """Complete configuration of a model, with the field names of the release.

    Args:
        kind: "video_encoder", "video_text" or "video_classifier"; "video_tower" (not in the release) is an
            encoder with a pooler.
        patch_size: side of a patch in pixels.
        pos_emb_shape: (frames, rows, columns) of the position tables; rows equal columns.
        model_dim: token width.
        num_spatial_layers: layers that attend within a frame.
        num_temporal_layers: layers that attend over time.
        num_heads: attention heads.
        mlp_dim: hidden width of the video tower's feed-forward layers.
        atten_logit_cap: see `layers.attend`; 0 for no cap.
        norm_policy: see `transformer_stack.Block`; of the text tower in a video_text model.
        scan: loop over layers instead of unrolling them.
        vocabulary_size: number of token ids; video_text only, else 0, as in the next two.
        num_unimodal_layers: layers of the text tower.
        num_auxiliary_layers: full-attention layers before the pooler; also in a video_tower.
        enable_causal_atten: causal attention in the text tower; video_text only.
        text_sines: wavelengths of the text positions, see `positions.sinusoids`; video_text only. Not a field
            of the release.
        num_classes: classes of a video_classifier, else 0.
        pooler_heads: heads of the pooler; None for num_heads. Neither this nor a field below is in the
            release.
        pooler_dim: total width of the pooler's heads; None for 4 * model_dim (video_classifier: model_dim).
        auxiliary_heads: heads of the auxiliary layers; None for num_heads.
        auxiliary_mlp_dim: their feed-forward width; None for mlp_dim.
        auxiliary_logit_cap: their logit cap; None for atten_logit_cap.
        auxiliary_norm_policy: their norm policy; None for "pre".
        video_norm_policy: norm policy of the encoder of a video_text model; None for "pre".
        text_dim: width of the text tower; None for model_dim.
        text_heads: its heads; None for num_heads.
        text_logit_cap: its logit cap; None for atten_logit_cap.

    Raises:
        UserError: one line for each field with an invalid value.
    """

    kind: str
    patch_size: int
    pos_emb_shape: tuple[int, int, int]
    model_dim: int
    num_spatial_layers: int
    num_temporal_layers: int
    num_heads: int
    mlp_dim: int
    atten_logit_cap: float = 0.0
    norm_policy: str = "pre"
    scan: bool = False
    vocabulary_size: int = 0
    num_unimodal_layers: int = 0
    num_auxiliary_layers: int = 0
    enable_causal_atten: bool = True
    text_sines: str = "release"
    num_classes: int = 0
    pooler_heads: int | None = None
    pooler_dim: int | None = None
    auxiliary_heads: int | None = None
    auxiliary_mlp_dim: int | None = None
    auxiliary_logit_cap: float | None = None
    auxiliary_norm_policy: str | None = None
    video_norm_policy: str | None = None
    text_dim: int | None = None
    text_heads: int | None = None
    text_logit_cap: float | None = None

    def __post_init__(self) -> None:
        faults = _faults(dataclasses.asdict(self))
        if faults:
            raise errors.UserError("\n".join(faults))

    @property
    def frames(self) -> int:
        """Number of frames in the temporal position table."""
        return self.pos_emb_shape[0]

    @property
    def side(self) -> int:
        """Number of patches along one side of a frame."""
        return self.pos_emb_shape[1]

    @property
    def resolution(self) -> int:
        """Side of a frame in pixels."""
        return self.side * self.patch_size

    def plain(self) -> dict[str, Any]:
        """Return `kind` and the fields of this kind, for JSON; `checked` reads it back."""
        known = {"kind"} | REQUIRED[self.kind] | OPTIONAL[self.kind]
        named = {name: value for name, value in dataclasses.asdict(self).items() if name in known}
        return {name: value for name, value in named.items() if name not in OWN or value is not None}

    @property
    def is_of_release(self) -> bool:
        """True if the official code and transformers can build this model: its own sizes are as there."""
        return self.kind != "video_tower" and all(getattr(self, name) is None for name in OWN)

    @property
    def encoder_norm_policy(self) -> str:
        """Norm policy of the video encoder."""
        return (self.video_norm_policy or "pre") if self.kind == "video_text" else self.norm_policy


def _faults(values: Mapping[str, Any]) -> list[str]:
    """Return one line for each invalid value; absent fields have their valid defaults."""
    kind, faults = values["kind"], []
    for name in sorted((REQUIRED[kind] | OPTIONAL[kind]) & _COUNTS & values.keys()):
        value, least = values[name], 0 if name == "num_auxiliary_layers" else 1
        if type(value) is not int or value < least:
            faults.append(f"{kind}: {name} must be an integer of at least {least}; got {value!r}.")
    shape = values["pos_emb_shape"]
    whole = isinstance(shape, list | tuple) and len(shape) == 3 and all(type(x) is int for x in shape)
    if not whole or shape[1] != shape[2] or min(shape) < 1:
        faults.append(f"{kind}: pos_emb_shape must be (frames, side, side); got {shape!r}.")
    for name in ("scan", "enable_causal_atten"):
        if not isinstance(values.get(name, True), bool):
            faults.append(f"{kind}: {name} must be True or False; got {values[name]!r}.")
    for name in OWN_COUNTS:
        value = values.get(name)
        if value is not None and (type(value) is not int or value < 1):
            faults.append(f"{kind}: {name} must be an integer of at least 1, or None; got {value!r}.")
    for name in ("atten_logit_cap", *OWN_CAPS):
        cap = values.get(name)
        if cap is None and (name in OWN_CAPS or name not in values):
            continue
        if isinstance(cap, bool) or not isinstance(cap, int | float) or not cap >= 0:
            faults.append(f"{kind}: {name} must be a number of at least 0; got {cap!r}.")
    policies = ("norm_policy", "auxiliary_norm_policy", "video_norm_policy")
    for name, known in (*((each, layers.NORM_POLICIES) for each in policies), ("text_sines", TEXT_SINES)):
        value = values.get(name)
        if value not in known and not (value is None and (name in OWN or name not in values)):
            faults.append(f"{kind}: {name} must be one of {known}; got {value!r}.")
    return faults


# A preset name, a mapping with `kind` and the field names of the release, or a checked configuration.
NameOrConfig = str | Mapping[str, Any] | ReleaseConfig


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


def checked(name_or_config: NameOrConfig) -> ReleaseConfig:
    """Validate a configuration and fill in defaults; accepts a preset name or a mapping.

    Args:
        name_or_config: a name in CONFIGS or ALIASES, or a mapping with `kind` (see ReleaseConfig) and the
            field names of the release.

    Raises:
        UserError: for an unknown name or kind, or listing all missing, unknown and invalid fields.

    Source: public release, models.py.
    """
    if isinstance(name_or_config, ReleaseConfig):
        return name_or_config
    if isinstance(name_or_config, str):
        name = ALIASES.get(name_or_config, name_or_config)
        if name not in CONFIGS:
            known = sorted(CONFIGS) + sorted(ALIASES)
            raise errors.UserError(f"released model must be one of {known}; got {name_or_config!r}.")
        name_or_config = CONFIGS[name]
    kind = name_or_config.get("kind")
    if kind not in REQUIRED:
        raise errors.UserError(f"released model: kind must be one of {sorted(REQUIRED)}; got {kind!r}.")
    names = set(name_or_config) - {"kind"}
    faults = [f"{kind}: field {name!r} is missing." for name in sorted(REQUIRED[kind] - names)]
    known_fields = REQUIRED[kind] | OPTIONAL[kind]
    faults += [
        f"{kind}: unknown field {name!r}; known: {sorted(known_fields)}."
        for name in sorted(names - known_fields, key=str)
    ]
    faults = faults or _faults(name_or_config)
    if faults:
        raise errors.UserError("\n".join(faults))
    whole: dict[str, Any] = {"pos_emb_shape": tuple(name_or_config["pos_emb_shape"])}
    for name in ("atten_logit_cap", *OWN_CAPS):
        if name_or_config.get(name) is not None:
            whole[name] = float(name_or_config[name])
    return ReleaseConfig(**{**name_or_config, **whole})
