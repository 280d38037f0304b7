"""A Llama in numpy for tests, written from the papers: one token at a time, loops over heads."""

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
    kept = [([], []) for _ in range(layers)]
    found = []
    for place, token in enumerate(ids):
        x = arrays["token_embd.weight"][token].astype(np.float32)
        for layer in range(layers):
            get = lambda name, layer=layer: arrays[f"blk.{layer}.{name}.weight"]
            h = norm(x, get("attn_norm"), epsilon)
            q, k, v = (get(f"attn_{name}") @ h for name in "qkv")
            turn = lambda y, place=place: np.concatenate(
                [turned(part, place, base, halves) for part in y.reshape(-1, head)]
            )
            kept[layer][0].append(turn(k))
            kept[layer][1].append(v)
            keys, values = (np.stack(each).reshape(place + 1, kv_heads, head) for each in kept[layer])
            parts = []
            for number, query in enumerate(turn(q).reshape(heads, head)):
                group = number // (heads // kv_heads)
                weight = np.exp(keys[:, group] @ query / np.sqrt(head) - 20)
                parts.append(weight @ values[:, group] / weight.sum())
            x = x + get("attn_output") @ np.concatenate(parts)
            h = norm(x, get("ffn_norm"), epsilon)
            gate = get("ffn_gate") @ h
            x = x + get("ffn_down") @ (gate / (1 + np.exp(-gate)) * (get("ffn_up") @ h))
        table = arrays.get("output.weight", arrays["token_embd.weight"])
        found.append(table @ norm(x, arrays["output_norm.weight"], epsilon))
    return np.stack(found)


def norm(x, scale, epsilon):
    """Divide by the root mean square."""
    return x / np.sqrt(np.mean(x * x) + epsilon) * scale


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
