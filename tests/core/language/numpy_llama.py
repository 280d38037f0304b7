"""A Llama in numpy for tests, written from the papers: loops over heads, positions and pairs."""

import numpy as np


def logits(arrays, ids, heads, kv_heads, base, epsilon, halves=False):
    """Return the logits after each id.

    Args:
        arrays: tensors by their names in GGUF files.
        ids: the text.
        heads, kv_heads, base, epsilon: as the file states them.
        halves: rotate channels i and i + half together, as in Hugging Face files.
    """
    layers = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("blk."))
    head = arrays["blk.0.attn_q.weight"].shape[0] // heads
    x = arrays["token_embd.weight"][ids].astype(np.float32)
    for layer in range(layers):
        get = lambda name, layer=layer: arrays[f"blk.{layer}.{name}.weight"]
        h = norm(x, get("attn_norm"), epsilon)
        q, k, v = (h @ get(f"attn_{name}").T for name in "qkv")
        parts = []
        for number in range(heads):
            group = number // (heads // kv_heads)
            of = lambda y, at: y[:, at * head : (at + 1) * head]
            query = np.stack([turned(row, place, base, halves) for place, row in enumerate(of(q, number))])
            key = np.stack([turned(row, place, base, halves) for place, row in enumerate(of(k, group))])
            said = []
            for place in range(len(ids)):
                weight = key[: place + 1] @ query[place] / np.sqrt(head)
                weight = np.exp(weight - weight.max())
                said.append(weight @ of(v, group)[: place + 1] / weight.sum())
            parts.append(np.stack(said))
        x = x + np.concatenate(parts, axis=1) @ get("attn_output").T
        h = norm(x, get("ffn_norm"), epsilon)
        gate = h @ get("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ get("ffn_up").T)) @ get("ffn_down").T
    table = arrays.get("output.weight", arrays["token_embd.weight"])
    return norm(x, arrays["output_norm.weight"], epsilon) @ table.T


def norm(x, scale, epsilon):
    """Divide by the root mean square."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * scale


def turned(x, place, base, halves):
    """Rotate the pairs of a head as complex numbers."""
    half = len(x) // 2
    pairs = x[:half] + 1j * x[half:] if halves else x[0::2] + 1j * x[1::2]
    pairs = pairs * np.exp(1j * place * base ** (-np.arange(half) / half))
    if halves:
        return np.concatenate([pairs.real, pairs.imag])
    return np.stack([pairs.real, pairs.imag], 1).reshape(-1)


def permuted(array, heads):
    """Return the rows of queries or keys as the GGUF converter orders them: halves of a head become pairs."""
    half = array.shape[0] // heads // 2
    return array.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(array.shape)
