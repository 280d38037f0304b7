"""Weight decay: which parameters it applies to, decided by their shape and the kind of their module."""

from typing import Any

import equinox as eqx
import jax

# Metadata of a field that is never decayed: `bias: Array = eqx.field(metadata=weight_decay.UNDECAYED)`.
UNDECAYED = {"weight_decay": False}
# Modules of Equinox without matrices: norms, embeddings, activations with a slope.
_KINDS = (
    eqx.nn.LayerNorm,
    eqx.nn.RMSNorm,
    eqx.nn.GroupNorm,
    eqx.nn.BatchNorm,
    eqx.nn.Embedding,
    eqx.nn.PReLU,
)


def mask(params: Any) -> Any:
    """Return a tree of booleans: True for the arrays that weight decay applies to.

    Matrices decay: arrays with two axes or more, whatever their name. Not decayed are

    - fields marked with `UNDECAYED`: the biases, norms, positions, embeddings, mask and class tokens and
      queries of this package. Arrays of stacked layers have an axis more, so the shape alone does not tell
      a bias; mark the biases of your own layers if you stack them;
    - norms and embeddings of Equinox, and the biases of its layers.

    Args:
        params: any pytree of arrays or shape structs.

    Source: VideoGLUE appendix D (biases and norms do not decay).
    """
    children, structure = jax.tree_util.tree_flatten_with_path(
        params, is_leaf=lambda node: node is not params
    )
    if len(children) == 1 and children[0][1] is params:  # a leaf
        return getattr(params, "ndim", 0) >= 2
    kept = _undecayed(params)
    masks = [
        jax.tree.map(lambda leaf: False, child) if path and _name(path[0]) in kept else mask(child)
        for path, child in children
    ]
    return jax.tree_util.tree_unflatten(structure, masks)


def _name(key: Any) -> str:
    return key.name if isinstance(key, jax.tree_util.GetAttrKey) else ""


def _undecayed(node: Any) -> set[str]:
    """Return the fields of a module that do not decay."""
    if not isinstance(node, eqx.Module):
        return set()
    names = {field.name: field.metadata for field in node.__dataclass_fields__.values()}
    if isinstance(node, _KINDS):
        return set(names)
    marked = {name for name, metadata in names.items() if not metadata.get("weight_decay", True)}
    return marked | ({"bias"} if type(node).__module__.startswith("equinox.") else set())
