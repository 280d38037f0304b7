"""Layer-wise learning rate decay for fine-tuning: smaller learning rates for layers near the input.

Source: Clark et al. 2020 (ELECTRA); Bao et al. 2022 (BEiT); VideoGLUE appendix D for end-to-end tuning.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from prismlab.core import errors

# The stacks of a tower from input to output, and the parameters before the first of them.
STACKS = ("spatial", "temporal", "auxiliary", "transformer")
INPUTS = ("patch_projection", "spatial_positions", "token_table", "class_token")
# Parameters between two stacks get the distance of the last layer of the preceding stack.
_BETWEEN = {"spatial_norm": "spatial", "temporal_positions": "spatial"}


def check(decay: float) -> None:
    """Raise ValueError if the decay is outside (0, 1]."""
    if not 0.0 < decay <= 1.0:
        raise errors.UserError(f"layer_decay must be in (0, 1], got {decay}")


def distances(tree: Any) -> Any:
    """Return the distance of each parameter from the output of its tower, in layers.

    Heads, poolers, final norms and objectives have distance 0, the last layer 1, the one before it 2; the
    patch projection, the token table and the spatial positions have one more than the first layer. Only
    trainable layers are counted.

    Args:
        tree: trainable parameters; arrays of a stack have the layers on axis 0.

    Returns:
        The same tree with one int array per leaf, broadcastable against it: [layers, 1, ...] in a stack,
        a scalar elsewhere.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    depths: dict[tuple[str, ...], dict[str, int]] = {}
    for path, leaf in leaves:
        tower, part, inside = _place(path)
        if inside:
            depths.setdefault(tower, {})[part] = leaf.shape[0]

    def distance(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        tower, part, inside = _place(path)
        known = depths.get(tower, {})
        stack = _BETWEEN.get(part, part)
        if part in INPUTS:
            return np.array(sum(known.values()) + 1)
        if stack not in STACKS:
            return np.array(0)
        after = sum(known.get(name, 0) for name in STACKS[STACKS.index(stack) + 1 :])
        if not inside:
            return np.array(after + 1)
        count: int = leaf.shape[0]
        return (after + count - np.arange(count)).reshape(count, *[1] * (leaf.ndim - 1))

    return jax.tree_util.tree_map_with_path(distance, tree)


def _place(path: tuple[Any, ...]) -> tuple[tuple[str, ...], str, bool]:
    """Return the path of the tower, the part that a leaf belongs to, and whether it is in stack blocks."""
    words = tuple(jax.tree_util.keystr((step,), simple=True) for step in path)
    if words[0] == "objectives":  # decoders are not layers of a tower
        return words, "", False
    for at, word in enumerate(words):
        inside = word in STACKS and words[at + 1 : at + 2] == ("blocks",)
        if inside or word in INPUTS or word in _BETWEEN:
            # The encoder and the layers after it belong to one tower.
            return tuple(name for name in words[:at] if name != "encoder"), word, inside
    return words, "", False


def scale_by_layer(decay: float) -> optax.GradientTransformation:
    """Return a transformation that multiplies each update by decay ** distance.

    Args:
        decay: in (0, 1].
    """

    def scaled(updates: Any, params: Any) -> Any:
        del params
        return jax.tree.map(
            lambda update, away: update * jnp.asarray(decay**away, update.dtype), updates, distances(updates)
        )

    return optax.stateless(scaled)
