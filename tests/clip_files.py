"""Small image encoders of CLIP as files, in the names of transformers and of OpenCLIP, and one in numpy."""

import json
import math

import numpy as np
import safetensors.numpy

DIM, HEADS, MLP, LAYERS, PATCH, SIDE = 8, 2, 12, 2, 2, 2
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Names of modules in transformers -> in OpenCLIP, within a layer.
IN_LAYER = {
    "layer_norm1": "ln_1",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def transformers_arrays(layers=LAYERS, side=SIDE):
    """Return the arrays of a CLIPModel of transformers; embeddings are small, so that epsilon counts."""
    random = np.random.default_rng(0)
    draw = lambda *shape: (0.3 * random.normal(size=shape)).astype(np.float32)
    made = {
        "embeddings.class_embedding": 0.01 * draw(DIM),
        "embeddings.patch_embedding.weight": 0.01 * draw(DIM, 3, PATCH, PATCH),
        "embeddings.position_embedding.weight": 0.01 * draw(1 + side * side, DIM),
        "embeddings.position_ids": np.arange(1 + side * side)[None],
    }
    names = {f"encoder.layers.{layer}.": DIM for layer in range(layers)}
    for own in names:
        sizes = {f"self_attn.{each}_proj": (DIM, DIM) for each in ("q", "k", "v", "out")}
        sizes |= {"mlp.fc1": (MLP, DIM), "mlp.fc2": (DIM, MLP)}
        for name, shape in sizes.items():
            made |= {f"{own}{name}.weight": draw(*shape), f"{own}{name}.bias": draw(shape[0])}
    norms = [f"{own}layer_norm{each}" for own in names for each in (1, 2)]
    for name in ("pre_layrnorm", "post_layernorm", *norms):
        made |= {f"{name}.weight": 1 + draw(DIM), f"{name}.bias": draw(DIM)}
    return {f"vision_model.{name}": value for name, value in made.items()} | {"logit_scale": np.ones(1)}


def open_clip_arrays(made, coca=False):
    """Return the same arrays in the names of OpenCLIP; of a CoCa, the last norm is that of its pooler."""
    get = lambda name: made[f"vision_model.{name}"]
    found = {
        "class_embedding": get("embeddings.class_embedding"),
        "conv1.weight": get("embeddings.patch_embedding.weight"),
        "positional_embedding": get("embeddings.position_embedding.weight"),
        "proj": np.ones((DIM, 4), np.float32),
    }
    last = "attn_pool.ln_k" if coca else "ln_post"
    for part in ("weight", "bias"):
        found[f"ln_pre.{part}"] = get(f"pre_layrnorm.{part}")
        found[f"{last}.{part}"] = get(f"post_layernorm.{part}")
        if coca:
            found[f"ln_post.{part}"] = np.ones(4, np.float32)
    for layer in range(LAYERS):
        theirs, ours = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for part in ("weight", "bias"):
            packed = [get(f"{theirs}self_attn.{each}_proj.{part}") for each in ("q", "k", "v")]
            found[f"{ours}attn.in_proj_{part}"] = np.concatenate(packed)
            for name, other in IN_LAYER.items():
                found[f"{ours}{other}.{part}"] = get(f"{theirs}{name}.{part}")
    return {f"visual.{name}": value for name, value in found.items()} | {"text.cls_emb": np.ones(4)}


def transformers_config(**changes):
    """Return a config.json of transformers."""
    return {"model_type": "clip", "vision_config": {"num_attention_heads": HEADS, **changes}}


def open_clip_config(quick_gelu=True, **changes):
    """Return an open_clip_config.json."""
    vision = {"width": DIM, "head_width": DIM // HEADS, "layers": LAYERS, **changes}
    pixels = {"mean": list(MEAN), "std": list(STD)}
    return {"model_cfg": {"quick_gelu": quick_gelu, "vision_cfg": vision}, "preprocess_cfg": pixels}


def saved(folder, made, config):
    """Write weights and configuration, and return the arguments that name them."""
    safetensors.numpy.save_file(made, folder / "clip.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return {"weights": str(folder / "clip.safetensors"), "config": str(folder / "config.json")}


def norm(x, made, name):
    """Normalize the last axis as torch does, with the epsilon of CLIP."""
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return scaled * made[f"{name}.weight"] + made[f"{name}.bias"]


def features(made, frame, quick=True):
    """Return the normalized features of the patches of a frame, computed with numpy from CLIP's equations."""
    made = {name.removeprefix("vision_model."): np.asarray(made[name], np.float64) for name in made}
    linear = lambda x, name: x @ made[f"{name}.weight"].T + made[f"{name}.bias"]
    pixels = (np.asarray(frame, np.float64) - MEAN) / STD
    x = [made["embeddings.class_embedding"]]
    for place in range(SIDE * SIDE):
        top, left = (PATCH * each for each in divmod(place, SIDE))
        tile = pixels[top : top + PATCH, left : left + PATCH]
        x.append(np.einsum("dcij,ijc->d", made["embeddings.patch_embedding.weight"], tile))
    x = norm(np.stack(x) + made["embeddings.position_embedding.weight"], made, "pre_layrnorm")
    for layer in range(LAYERS):
        own = f"encoder.layers.{layer}."
        y = norm(x, made, f"{own}layer_norm1")
        parts = [linear(y, f"{own}self_attn.{each}_proj") for each in ("q", "k", "v")]
        query, key, value = (each.reshape(len(x), HEADS, -1).swapaxes(0, 1) for each in parts)
        logits = query @ key.swapaxes(1, 2) / math.sqrt(DIM / HEADS)
        chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        x = x + linear((chances @ value).swapaxes(0, 1).reshape(len(x), DIM), f"{own}self_attn.out_proj")
        hidden = linear(norm(x, made, f"{own}layer_norm2"), f"{own}mlp.fc1")
        exact = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
        hidden = hidden / (1 + np.exp(-1.702 * hidden)) if quick else exact
        x = x + linear(hidden, f"{own}mlp.fc2")
    return norm(x, made, "post_layernorm")[1:]
