"""What the configuration beside weights of CLIP says that the arrays do not: heads, activation, pixels.

Source: transformers, configuration_clip.py (values that a file leaves out); open_clip, model.py
(CLIPVisionCfg) and transformer.py.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json
from prismlab.core.towers import clip_input

_LARGEST = 1 << 20  # bytes
_ADVICE = "name the configuration that was saved with the weights"
_ACTIVATIONS = ("gelu", "quick_gelu")
# Settings of open_clip's image encoder that change no feature of a patch, or are seen in the arrays.
_HARMLESS = (
    "attentional_pool", "attn_pooler_heads", "attn_pooler_queries", "final_ln_after_pool", "head_width",
    "image_size", "layers", "ls_init_value", "mlp_ratio", "no_ln_pre", "output_tokens", "patch_dropout",
    "patch_size", "pool_type", "pos_embed_type", "width",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ClipConfig:
    """Configuration of an image encoder of CLIP.

    Args:
        heads: number of attention heads.
        activation: "quick_gelu" or "gelu".
        mean: of the pixels, by channel, or None if not stated.
        std: of the pixels, by channel, or None if not stated.
    """

    heads: int
    activation: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def of_transformers(path: pathlib.Path) -> ClipConfig:
    """Read the config.json of a CLIPModel or CLIPVisionModel of transformers.

    Args:
        path: the file.

    Raises:
        UserError: it is another model's, or states something that the encoder has not.
    """
    whole = _object(checked_json.load(path, _ADVICE, _LARGEST), path, "an object")
    kind = whole.get("model_type")
    if kind not in ("clip", "clip_vision_model"):
        raise _fault(path, "model_type 'clip' or 'clip_vision_model'", kind)
    vision = whole
    if kind == "clip":
        parts = [whole.get(name) or {} for name in ("vision_config", "vision_config_dict")]
        vision = {k: v for part in parts for k, v in _object(part, path, "a vision_config").items()}
    epsilon = vision.get("layer_norm_eps", clip_input.EPSILON)
    if epsilon != clip_input.EPSILON:
        raise _fault(path, f"layer_norm_eps {clip_input.EPSILON}", epsilon)
    activation = vision.get("hidden_act", "quick_gelu")
    if activation not in _ACTIVATIONS:
        raise _fault(path, f"hidden_act {' or '.join(_ACTIVATIONS)}", activation)
    return ClipConfig(_count(vision, "num_attention_heads", 12, path), activation)


def of_open_clip(path: pathlib.Path) -> ClipConfig:
    """Read the open_clip_config.json of a CLIP or CoCa of OpenCLIP.

    Args:
        path: the file, or one of open_clip's model_configs.

    Raises:
        UserError: it is another model's, or states something that the encoder has not.
    """
    whole = _object(checked_json.load(path, _ADVICE, _LARGEST), path, "an object")
    model = _object(whole.get("model_cfg", whole), path, "a model_cfg")
    vision = _object(model.get("vision_cfg"), path, "a vision_cfg")
    others = sorted(name for name in vision if name not in _HARMLESS)
    if others:
        raise _fault(path, f"settings of {', '.join(_HARMLESS)} in vision_cfg", others[0])
    if not isinstance(vision.get("attentional_pool", False), bool):
        raise _fault(path, "attentional_pool true or false", vision["attentional_pool"])
    quick = model.get("quick_gelu", False)
    if not isinstance(quick, bool):
        raise _fault(path, "quick_gelu true or false", quick)
    width, head = _count(vision, "width", 768, path), _count(vision, "head_width", 64, path)
    pixels = _object(whole.get("preprocess_cfg", {}), path, "a preprocess_cfg")
    mean, std = (_channels(pixels.get(name), name, path) for name in ("mean", "std"))
    return ClipConfig(width // head, "quick_gelu" if quick else "gelu", mean, std)


def _object(value: Any, path: pathlib.Path, wanted: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _fault(path, wanted, value)
    return value


def _count(found: Mapping[str, Any], name: str, default: int, path: pathlib.Path) -> int:
    value = found.get(name, default)
    if type(value) is not int or not 1 <= value <= 1 << 16:
        raise _fault(path, f"{name} of 1 to {1 << 16}", value)
    return value


def _channels(value: Any, name: str, path: pathlib.Path) -> tuple[float, ...] | None:
    if value is None:
        return None
    numbers = isinstance(value, list) and [each for each in value if type(each) in (int, float)]
    if not numbers or len(numbers) != len(value) or len(value) != 3:
        raise _fault(path, f"three numbers {name}", value)
    return tuple(float(each) for each in numbers)


def _fault(path: pathlib.Path, wanted: str, found: Any) -> errors.UserError:
    return errors.UserError(f"{path}: expected {wanted}, found {found!r:.60}; {_ADVICE}")
