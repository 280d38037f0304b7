"""Folders of Hugging Face: the same model as its GGUF file, several files, bfloat16, what is refused."""

import json

import gguf_writer
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import numpy_llama
import pytest
import safetensors.numpy

from prismlab.core import errors
from prismlab.core.language import byte_pairs, gguf_model, hugging_face_model

NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
CONFIG = {
    "model_type": "llama", "vocab_size": 258, "hidden_size": gguf_writer.WIDTH,
    "num_hidden_layers": gguf_writer.LAYERS, "num_attention_heads": gguf_writer.HEADS,
    "num_key_value_heads": gguf_writer.KV, "intermediate_size": gguf_writer.MLP, "rope_theta": 10000.0,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "hidden_act": "silu", "eos_token_id": 257,
    "tie_word_embeddings": True,
}  # fmt: skip


def named(arrays):
    """Return tensors under the names of Hugging Face."""
    found = {}
    for name, array in arrays.items():
        parts = name.split(".")
        plain = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
        new = plain.get(parts[0]) or f"model.layers.{parts[1]}.{NAMES[parts[2]]}"
        found[f"{new}.weight"] = array
    return found


def folder(home, arrays, config=CONFIG, files=1, **tokenizer):
    """Write a folder."""
    home.mkdir(exist_ok=True)
    (home / "config.json").write_text(json.dumps(config))
    signs = [*byte_pairs.byte_signs().values(), "ab"]
    model = {"type": "BPE", "vocab": {sign: number for number, sign in enumerate(signs)}, "merges": ["a b"]}
    written = {
        "model": model, "added_tokens": [{"id": 257, "content": "<end>", "special": True}],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]},
        **tokenizer,
    }  # fmt: skip
    (home / "tokenizer.json").write_text(json.dumps(written))
    tensors = named(arrays)
    if files == 1:
        safetensors.numpy.save_file(tensors, home / "model.safetensors")
        return str(home)
    places = {name: f"model-{number % files}.safetensors" for number, name in enumerate(tensors)}
    for file in set(places.values()):
        safetensors.numpy.save_file({n: a for n, a in tensors.items() if places[n] == file}, home / file)
    (home / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return str(home)


def said(model):
    ids = jnp.asarray([[40, 256, 7, 99]], jnp.int32)
    whole = jax.jit(lambda ids: model.decoder.logits(model.decoder.embed(ids), jnp.ones(ids.shape, bool))[0])
    return whole(ids)[0].astype(jnp.float32)


def permuted(arrays):
    """Return the tensors as the GGUF converter writes them."""
    heads = {"attn_q": gguf_writer.HEADS, "attn_k": gguf_writer.KV}
    turn = lambda name: heads.get(name.split(".")[-2])
    return {
        name: numpy_llama.permuted(array, turn(name)) if turn(name) else array
        for name, array in arrays.items()
    }


def test_a_folder_and_its_gguf_file_are_the_same_model(tmp_path):
    arrays = gguf_writer.arrays(3)
    file = gguf_model.load(gguf_writer.write(tmp_path / "a.gguf", tensors=permuted(arrays)))
    made = hugging_face_model.load(folder(tmp_path / "one", arrays))
    np.testing.assert_allclose(said(made), said(file), atol=2e-4)
    ids = [40, 256, 7, 99]
    own = numpy_llama.logits(arrays, ids, gguf_writer.HEADS, gguf_writer.KV, 1e4, 1e-5, halves=True)
    np.testing.assert_allclose(said(made), own, atol=2e-4)
    assert made.tokenizer.encode("ab 12<end>") == file.tokenizer.encode("ab 12<end>")
    assert made.special == file.special
    several = hugging_face_model.load(folder(tmp_path / "several", arrays, files=3))
    np.testing.assert_array_equal(said(several), said(made))


def test_an_own_head_and_bfloat16_are_read(tmp_path):
    arrays = gguf_writer.arrays(3) | {"output.weight": gguf_writer.arrays(4)["token_embd.weight"]}
    small = {name: array.astype(ml_dtypes.bfloat16) for name, array in arrays.items()}
    made = hugging_face_model.load(
        folder(tmp_path / "a", small, CONFIG | {"tie_word_embeddings": False}), dtype="bfloat16"
    )
    assert made.decoder.head.dtype == jnp.bfloat16
    rounded = {name: array.astype(np.float32) for name, array in small.items()}
    own = numpy_llama.logits(
        rounded, [40, 256, 7, 99], gguf_writer.HEADS, gguf_writer.KV, 1e4, 1e-5, halves=True
    )
    assert np.abs(said(made) - own).max() < 0.05 * np.abs(own).max()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt_neox"}, "model_type 'llama', found 'gpt_neox'"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope_scaling None, found"),
        ({"attention_bias": True}, "attention_bias False, found True"),
        ({"hidden_size": "32"}, "hidden_size of 1 to .*, found '32'"),
        ({"eos_token_id": 4000}, "expected eos_token_id, found 4000"),
        ({"intermediate_size": 64}, r"mlp.gate_proj.weight of shape \(64, 32\), found \(32, 32\)"),
        ({"vocab_size": 300}, r"embed_tokens.weight of shape \(300, 32\), found \(258, 32\)"),
        ({"num_hidden_layers": 3}, "9 missing"),
    ],
)
def test_models_of_another_kind_are_refused(tmp_path, changes, message):
    with pytest.raises(errors.UserError, match=message):
        hugging_face_model.load(folder(tmp_path / "other", gguf_writer.arrays(), CONFIG | changes))


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({"model": {"type": "Unigram", "vocab": []}}, "byte pairs with the splits of GPT-2"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, r"found BPE, \['Metaspace'\]"),
        ({"added_tokens": [{"id": 999, "content": "<end>", "special": True}]}, "ids 0 to 257, found gaps"),
    ],
)
def test_tokenizers_of_another_kind_are_refused(tmp_path, tokenizer, message):
    with pytest.raises(errors.UserError, match=message):
        hugging_face_model.load(folder(tmp_path / "other", gguf_writer.arrays(), **tokenizer))


def test_truncated_and_missing_files_are_one_line(tmp_path):
    home = folder(tmp_path / "cut", gguf_writer.arrays())
    path = tmp_path / "cut" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(errors.UserError, match="expected a safetensors file, found none that can be read"):
        hugging_face_model.load(home)
    path.unlink()
    with pytest.raises(errors.UserError, match="expected a safetensors file, found none that can be read"):
        hugging_face_model.load(home)
