"""State of objectives that no gradient trains: moving averages of towers, running statistics, queues.

An objective marks such a field with `STATE`:

    queue: Float[Array, "n d"] = eqx.field(metadata=objective_state.STATE)

Everything below the field stays out of gradients, optimizer, weight decay, gradient norm and the count of
trained parameters; it is part of checkpoints, digests and sharding like the rest of the learner. The
objective changes it in `advanced`, once per step, also if the batch is encoded in several parts.
"""

from typing import Any

import equinox as eqx
import jax

# Metadata of a field whose arrays no gradient trains.
STATE = {"trained": False}


def mask(tree: Any) -> Any:
    """Return a tree of booleans: True for every leaf below a field marked with `STATE`.

    Args:
        tree: a learner, an objective or any other pytree.
    """
    children, structure = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: node is not tree)
    if len(children) == 1 and children[0][1] is tree:  # a leaf
        return False
    marked = _marked(tree)
    masks = [
        jax.tree.map(lambda leaf: True, child) if path and _name(path[0]) in marked else mask(child)
        for path, child in children
    ]
    return jax.tree_util.tree_unflatten(structure, masks)


def without(tree: Any) -> Any:
    """Return the tree with None for every leaf of state: what gradients may train."""
    return eqx.filter(tree, mask(tree), inverse=True)


def stopped(tree: Any) -> Any:
    """Return the tree with gradients stopped at its state."""
    return jax.tree.map(
        lambda leaf, state: jax.lax.stop_gradient(leaf) if state and eqx.is_array(leaf) else leaf,
        tree,
        mask(tree),
    )


def _name(key: Any) -> str:
    return key.name if isinstance(key, jax.tree_util.GetAttrKey) else ""


def _marked(node: Any) -> set[str]:
    if not isinstance(node, eqx.Module):
        return set()
    fields = node.__dataclass_fields__.values()
    return {field.name for field in fields if not field.metadata.get("trained", True)}
