"""A frozen language model from a folder of Hugging Face: config.json, safetensors, tokenizer.json.

`experiments/tasks/language/transformers.md` shows how other models are brought in.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import safetensors

from prismlab.core import errors
from prismlab.core.io import checked_json, user_paths
from prismlab.core.language import byte_pairs, frozen_model, llama, weight_arrays

_NAMES = {
    "embedding": "model.embed_tokens.weight",
    "norm": "model.norm.weight",
    "head": "lm_head.weight",
    "attention_norm": "model.layers.{}.input_layernorm.weight",
    "query": "model.layers.{}.self_attn.q_proj.weight",
    "key": "model.layers.{}.self_attn.k_proj.weight",
    "value": "model.layers.{}.self_attn.v_proj.weight",
    "output": "model.layers.{}.self_attn.o_proj.weight",
    "mlp_norm": "model.layers.{}.post_attention_layernorm.weight",
    "gate": "model.layers.{}.mlp.gate_proj.weight",
    "up": "model.layers.{}.mlp.up_proj.weight",
    "down": "model.layers.{}.mlp.down_proj.weight",
}
_TYPES = ("F32", "F16", "BF16")
_INDEX = "model.safetensors.index.json"


def load(folder: str, *, dtype: str = "float32", remat: bool = True) -> frozen_model.LanguageModel:
    """Read a language model of the architecture LlamaForCausalLM.

    Args:
        folder: with config.json, tokenizer.json, and model.safetensors or several files with an index.
        dtype: of weights and activations, "float32" or "bfloat16".
        remat: see `llama.Llama`.

    Raises:
        UserError: a file is missing or damaged, or the model is of another kind.
    """
    home = pathlib.Path(user_paths.expand(folder))
    config = _object(home / "config.json")
    tokenizer = tokenizer_of(_object(home / "tokenizer.json"), home / "tokenizer.json")
    shape = shape_of(config, home / "config.json")
    shapes, read = _tensors(home)
    if config.get("tie_word_embeddings") is True:
        shapes.pop("lm_head.weight", None)
    decoder = weight_arrays.assemble(str(home), shape, shapes, _NAMES, read, dtype=dtype, remat=remat)
    end = config.get("eos_token_id")
    end = end[0] if isinstance(end, list) and end else end
    if type(end) is not int or not 0 <= end < shape.vocabulary:
        raise _fault(home / "config.json", "eos_token_id", repr(end)[:60])
    special = frozen_model.Special(end, end, _begin(home, config))
    return frozen_model.LanguageModel(home.name, decoder, tokenizer, special)


def shape_of(config: Mapping[str, Any], where: pathlib.Path) -> llama.Shape:
    """Return the sizes that a config.json states.

    Raises:
        UserError: it is no plain Llama.
    """
    plain = {"model_type": ("llama",), "hidden_act": ("silu", None), "rope_scaling": (None,),
             "attention_bias": (False, None), "mlp_bias": (False, None)}  # fmt: skip
    for key, allowed in plain.items():
        if config.get(key) not in allowed:
            raise _fault(where, f"{key} {allowed[0]!r}", repr(config.get(key))[:60])

    def count(key: str, default: int | None = None) -> int:
        found = config.get(key)
        found = default if found is None else found
        if type(found) is not int or not 1 <= found <= 1 << 24:
            raise _fault(where, f"{key} of 1 to {1 << 24}", repr(found)[:60])
        return found

    def number(key: str, default: float) -> float:
        found = config.get(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise _fault(where, f"a number {key}", repr(found)[:60])
        return float(found)

    rope = config.get("rope_parameters")
    if isinstance(rope, dict):  # transformers 5
        if rope.get("rope_type", "default") != "default":
            raise _fault(where, "rope_type 'default'", repr(rope.get("rope_type"))[:60])
        config = {"rope_theta": rope.get("rope_theta", 10_000.0), **config}
    width, heads = count("hidden_size"), count("num_attention_heads")
    return llama.Shape(
        vocabulary=count("vocab_size"), width=width, layers=count("num_hidden_layers"), heads=heads,
        kv_heads=count("num_key_value_heads", heads), head_width=count("head_dim", width // heads),
        mlp_width=count("intermediate_size"), context=count("max_position_embeddings", 2048),
        rope_base=number("rope_theta", 10_000.0), epsilon=number("rms_norm_eps", 1e-6), interleaved=False,
    )  # fmt: skip


def tokenizer_of(written: Mapping[str, Any], where: pathlib.Path) -> byte_pairs.BytePairs:
    """Return the tokenizer of a tokenizer.json of byte-level byte pairs.

    Raises:
        UserError: it is a tokenizer of another kind.
    """
    model = written.get("model")
    model = model if isinstance(model, dict) else {}
    vocabulary, merges, added = model.get("vocab"), model.get("merges"), written.get("added_tokens")
    splits = written.get("pre_tokenizer") or {}
    parts = splits.get("pretokenizers", [splits]) if isinstance(splits, dict) else []
    kinds = [each.get("type") for each in parts if isinstance(each, dict)]
    good = isinstance(vocabulary, dict) and isinstance(merges, list) and isinstance(added, list)
    if not good or model.get("type") != "BPE" or kinds not in (["ByteLevel"], ["Digits", "ByteLevel"]):
        raise _fault(
            where, "byte pairs with the splits of GPT-2 (ByteLevel)", f"{model.get('type')}, {kinds}"
        )
    ids = {**(vocabulary or {}), **{each["content"]: each["id"] for each in added or ()}}
    order = sorted(ids, key=lambda token: ids[token])
    if sorted(ids.values()) != list(range(len(ids))):
        raise _fault(where, f"ids 0 to {len(ids) - 1}", "gaps")
    pairs = tuple(tuple(each.split(" ") if isinstance(each, str) else each) for each in merges or ())
    if any(len(pair) != 2 for pair in pairs):
        raise _fault(where, "merges of two parts", "others")
    special = frozenset(each["id"] for each in added or () if each.get("special"))
    return byte_pairs.BytePairs(tuple(order), pairs, special, kinds[0] == "Digits")


def _begin(home: pathlib.Path, config: Mapping[str, Any]) -> int | None:
    """Return the begin id if texts of this model have one in front."""
    path = home / "tokenizer_config.json"
    adds = path.is_file() and _object(path).get("add_bos_token") is True
    begin = config.get("bos_token_id")
    return begin if adds and type(begin) is int else None


def _tensors(home: pathlib.Path) -> tuple[dict[str, tuple[int, ...]], Callable[[str], np.ndarray]]:
    """Return name -> shape, and a function that reads a tensor."""
    index = home / _INDEX
    files = ["model.safetensors"]
    if index.is_file():
        listed = _object(index).get("weight_map")
        files = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    places: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for name in files:
        path = home / pathlib.PurePath(name).name
        try:
            # numpy has no bfloat16; the flax framework of safetensors supports it.
            file: Any = safetensors.safe_open(path, framework="flax")
            for tensor in file.keys():  # noqa: SIM118
                part = file.get_slice(tensor)
                if part.get_dtype() not in _TYPES:
                    raise _fault(
                        path, f"tensors of type {', '.join(_TYPES)}", f"{tensor} of {part.get_dtype()}"
                    )
                shapes[tensor], places[tensor] = tuple(part.get_shape()), file
        except (safetensors.SafetensorError, OSError, ValueError) as fault:
            reason = " ".join(str(fault).split())[:200]
            raise _fault(path, "a safetensors file", f"none that can be read ({reason})") from fault
    return shapes, lambda name: np.asarray(places[name].get_tensor(name)).astype(np.float32)


def _object(path: pathlib.Path) -> dict[str, Any]:
    found = checked_json.load(path, "give the folder as it was downloaded")
    if not isinstance(found, dict):
        raise _fault(path, "a JSON object", type(found).__name__)
    return found


def _fault(path: pathlib.Path, expected: str, found: str) -> errors.UserError:
    return errors.UserError(f"language model: {path}: expected {expected}, found {found}")
