"""A frozen language model from a GGUF file: sizes, weights and tokenizer are all in it."""

from typing import Any

from prismlab.core import errors
from prismlab.core.language import byte_pairs, frozen_model, gguf_file, llama, weight_arrays

_NAMES = {
    "embedding": "token_embd.weight",
    "norm": "output_norm.weight",
    "head": "output.weight",
    "attention_norm": "blk.{}.attn_norm.weight",
    "query": "blk.{}.attn_q.weight",
    "key": "blk.{}.attn_k.weight",
    "value": "blk.{}.attn_v.weight",
    "output": "blk.{}.attn_output.weight",
    "mlp_norm": "blk.{}.ffn_norm.weight",
    "gate": "blk.{}.ffn_gate.weight",
    "up": "blk.{}.ffn_up.weight",
    "down": "blk.{}.ffn_down.weight",
}
# How texts are split before bytes merge -> whether digits stand alone.
_SPLITS = {"gpt-2": False, "default": False, "smollm": True}
_CONTROL, _USER = 3, 4  # types of tokens that texts never contain


def load(path: str, *, dtype: str = "float32", remat: bool = True) -> frozen_model.LanguageModel:
    """Read a language model.

    The converter permutes the rows of queries and keys, so rotary pairs are neighbours (`llama.Shape`).

    Args:
        path: the .gguf file.
        dtype: of weights and activations, "float32" or "bfloat16".
        remat: see `llama.Llama`.

    Raises:
        UserError: the file is damaged, of another architecture or quantised in a way that is not read.
    """
    file = gguf_file.Gguf(path)
    facts = _Facts(file)
    facts.expect("general.architecture", ("llama",))
    facts.expect("tokenizer.ggml.model", ("gpt2",))
    facts.expect("llama.rope.scaling.type", ("none",), "none")
    split = facts.expect("tokenizer.ggml.pre", tuple(_SPLITS), "default")
    width, heads = facts.count("embedding_length"), facts.count("attention.head_count")
    head_width = facts.count("attention.key_length", width // heads)
    facts.expect("llama.rope.dimension_count", (head_width,), head_width)
    tokens, kinds = facts.listed("tokens", str), facts.listed("token_type", int)
    shape = llama.Shape(
        vocabulary=len(tokens), width=width, layers=facts.count("block_count"), heads=heads,
        kv_heads=facts.count("attention.head_count_kv", heads), head_width=head_width,
        mlp_width=facts.count("feed_forward_length"), context=facts.count("context_length"),
        rope_base=facts.number("rope.freq_base", 10_000.0),
        epsilon=facts.number("attention.layer_norm_rms_epsilon", 1e-5), interleaved=True,
    )  # fmt: skip
    merges = [tuple(each.split(" ")) for each in facts.listed("merges", str)]
    if len(kinds) != len(tokens) or any(len(pair) != 2 for pair in merges):
        raise facts.fault("a type for each token and merges of two parts", "others")
    special = frozenset(index for index, kind in enumerate(kinds) if kind in (_CONTROL, _USER))
    tokenizer = byte_pairs.BytePairs(tuple(tokens), tuple(merges), special, _SPLITS[split])
    decoder = weight_arrays.assemble(
        str(file.path), shape, {name: each.shape for name, each in file.tensors.items()}, _NAMES, file.read,
        dtype=dtype, remat=remat,
    )  # fmt: skip
    end = facts.token("eos_token_id")
    begins = file.metadata.get("tokenizer.ggml.add_bos_token") is True
    begin = facts.token("bos_token_id") if begins else None
    name = str(file.metadata.get("general.name", file.path.stem))[:60]
    return frozen_model.LanguageModel(name, decoder, tokenizer, frozen_model.Special(end, end, begin))


class _Facts:
    """The metadata of a file, checked."""

    def __init__(self, file: gguf_file.Gguf):
        self.file = file

    def fault(self, expected: str, found: str) -> errors.UserError:
        """Return the error of a file that is not what is read."""
        return errors.UserError(f"language model: {self.file.path}: expected {expected}, found {found}")

    def expect(self, key: str, allowed: tuple[Any, ...], default: Any = None) -> Any:
        """Return an entry that must be one of a few values."""
        found = self.file.metadata.get(key, default)
        if found not in allowed:
            raise self.fault(f"{key} {' or '.join(map(repr, allowed))}", repr(found)[:60])
        return found

    def count(self, key: str, default: int | None = None) -> int:
        """Return a positive whole number of the architecture."""
        found = self.file.metadata.get(f"llama.{key}", default)
        if type(found) is not int or not 1 <= found <= 1 << 24:
            raise self.fault(f"llama.{key} of 1 to {1 << 24}", repr(found)[:60])
        return found

    def number(self, key: str, default: float) -> float:
        """Return a number of the architecture."""
        found = self.file.metadata.get(f"llama.{key}", default)
        if not isinstance(found, float):
            raise self.fault(f"a number llama.{key}", repr(found)[:60])
        return found

    def listed(self, key: str, kind: type) -> list[Any]:
        """Return a list of the tokenizer."""
        found = self.file.metadata.get(f"tokenizer.ggml.{key}")
        if not isinstance(found, list) or not all(type(each) is kind for each in found) or not found:
            raise self.fault(f"a list tokenizer.ggml.{key}", type(found).__name__)
        return found

    def token(self, key: str) -> int:
        """Return the id of a special token."""
        found = self.file.metadata.get(f"tokenizer.ggml.{key}")
        if type(found) is not int or not 0 <= found < len(self.file.metadata["tokenizer.ggml.tokens"]):
            raise self.fault(f"an id tokenizer.ggml.{key}", repr(found)[:60])
        return found
