"""Write small GGUF files for tests: a Llama with a byte-level tokenizer, in any of the types."""

import struct

import numpy as np

from prismlab.core.language import byte_pairs

TYPES = {"F32": 0, "F16": 1, "Q4_1": 3, "Q8_0": 8}
WIDTH, LAYERS, HEADS, KV, MLP = 32, 2, 2, 1, 32


def text(value: str) -> bytes:
    """Return a string of the format."""
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, value) -> bytes:
    """Return an entry of the metadata."""
    kinds = {bool: (7, "<?"), int: (4, "<I"), float: (6, "<f")}
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        strings = isinstance(value[0], str)
        items = b"".join(text(each) if strings else struct.pack("<i", each) for each in value)
        return text(key) + struct.pack("<IIQ", 9, 8 if strings else 5, len(value)) + items
    number, form = kinds[type(value)]
    return text(key) + struct.pack("<I", number) + struct.pack(form, value)


def quantised(array: np.ndarray, kind: str) -> bytes:
    """Return the bytes of an array in a type of the format, block by block."""
    if kind in ("F32", "F16"):
        return array.astype("<f4" if kind == "F32" else "<f2").tobytes()
    made = b""
    for block in array.reshape(-1, 32):
        if kind == "Q8_0":
            step = np.float16(np.abs(block).max() / 127)
            made += step.tobytes() + np.round(block / np.float32(step)).astype(np.int8).tobytes()
        else:
            least = np.float16(block.min())
            step = np.float16((block.max() - block.min()) / 15)
            levels = np.clip(np.round((block - np.float32(least)) / np.float32(step)), 0, 15).astype(np.uint8)
            made += step.tobytes() + least.tobytes() + (levels[:16] | levels[16:] << 4).tobytes()
    return made


def metadata(**changes) -> dict:
    """Return the metadata of the small model; a value None leaves an entry out."""
    tokens = [*byte_pairs.byte_signs().values(), "ab", "<end>"]
    known = {
        "general.architecture": "llama", "general.name": "tiny", "llama.block_count": LAYERS,
        "llama.context_length": 64, "llama.embedding_length": WIDTH, "llama.feed_forward_length": MLP,
        "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KV,
        "llama.rope.freq_base": 10000.0, "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * 257 + [3], "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": 257, "tokenizer.ggml.add_bos_token": False,
    }  # fmt: skip
    known |= {key.replace("__", "."): value for key, value in changes.items()}
    return {key: value for key, value in known.items() if value is not None}


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Return random tensors of the small model by name."""
    rng = np.random.default_rng(seed)
    head = WIDTH // HEADS
    shapes = {"token_embd.weight": (258, WIDTH), "output_norm.weight": (WIDTH,)}
    for number in range(LAYERS):
        for name, shape in {
            "attn_norm": (WIDTH,), "attn_q": (HEADS * head, WIDTH), "attn_k": (KV * head, WIDTH),
            "attn_v": (KV * head, WIDTH), "attn_output": (WIDTH, HEADS * head), "ffn_norm": (WIDTH,),
            "ffn_gate": (MLP, WIDTH), "ffn_up": (MLP, WIDTH), "ffn_down": (WIDTH, MLP),
        }.items():  # fmt: skip
            shapes[f"blk.{number}.{name}.weight"] = shape
    scale = lambda shape: 1.0 if len(shape) == 1 else 0.3
    return {
        name: scale(shape) * rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }


def write(path, kind: str = "F32", tensors: dict | None = None, facts: dict | None = None) -> str:
    """Write a file and return its path; vectors are F32 in files of every type."""
    tensors, facts = tensors or arrays(), facts or metadata()
    listed, data = b"", b""
    for name, array in tensors.items():
        own = "F32" if array.ndim == 1 else kind
        data += b"\0" * (-len(data) % 32)
        listed += text(name) + struct.pack("<I", array.ndim)
        listed += struct.pack(f"<{array.ndim}Q", *array.shape[::-1]) + struct.pack(
            "<IQ", TYPES[own], len(data)
        )
        data += quantised(array, own)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(facts))
    head += b"".join(entry(key, value) for key, value in facts.items()) + listed
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
    return str(path)
