"""Arrays of a Llama decoder from named tensors, one at a time: peak memory is the model and one stack."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from prismlab.core import errors
from prismlab.core.language import llama


def assemble(
    where: str,
    shape: llama.Shape,
    shapes: Mapping[str, tuple[int, ...]],
    names: Mapping[str, str],
    read: Callable[[str], np.ndarray],
    *,
    dtype: str,
    remat: bool,
) -> llama.Llama:
    """Return a decoder.

    Args:
        where: the file, for messages.
        shape: sizes of the decoder.
        shapes: name -> shape of each tensor of the file.
        names: array of the decoder ("embedding", "norm", "head", or of a layer, with "{}" for its number) ->
            name of the tensor. The head is tied to the embedding if there is no tensor for it.
        read: name -> tensor.
        dtype: "float32" or "bfloat16"; of the weights and all activations.
        remat: see `llama.Llama`.

    Raises:
        UserError: a tensor is missing, is of another shape, or is none of a plain Llama.
    """
    if dtype not in ("float32", "bfloat16"):
        raise errors.UserError(f"language model: expected dtype 'float32' or 'bfloat16', got {dtype!r}")
    whole = (shape.vocabulary, shape.width)
    tied = names["head"] not in shapes
    expected = {names["embedding"]: whole, names["norm"]: (shape.width,)}
    expected |= {} if tied else {names["head"]: whole}
    of_layer = shape.arrays()
    # A damaged file may state any number of layers.
    for number in range(min(shape.layers, len(shapes))):
        expected |= {names[part].format(number): size for part, size in of_layer.items()}
    missing = [name for name in expected if name not in shapes]
    foreign = [name for name in shapes if name not in expected]
    if missing or foreign:
        raise errors.UserError(
            f"language model: {where}: expected the {len(expected)} tensors of a plain Llama, found "
            f"{len(missing)} missing ({', '.join(map(repr, missing[:2])) or '-'}) and {len(foreign)} others "
            f"({', '.join(map(repr, foreign[:2])) or '-'}); biases, scaled rotary positions and "
            "experts are not read"
        )
    for name, size in expected.items():
        if tuple(shapes[name]) != size:
            raise errors.UserError(
                f"language model: {where}: expected {name} of shape {size}, found {tuple(shapes[name])}"
            )

    def one(name: str) -> jax.Array:
        return jnp.asarray(read(name), dtype)

    stacks: dict[str, Any] = {}
    for part, size in of_layer.items():
        stack = np.empty((shape.layers, *size), jnp.dtype(dtype))
        for number in range(shape.layers):
            stack[number] = read(names[part].format(number))
        stacks[part] = jax.block_until_ready(jnp.asarray(stack))
    head = None if tied else one(names["head"])
    return llama.Llama(
        one(names["embedding"]), llama.Layers(**stacks), one(names["norm"]), head, shape, remat
    )
