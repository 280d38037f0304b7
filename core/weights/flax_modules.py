"""Flax interface: public models as Flax modules and their weights as Flax variables.

The variables have the names of the release (`variables["params"]["spatial_ln"]["scale"]`), so they can be
exchanged with the official code.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from flax import core as flax_core
from flax import linen, traverse_util

from prismlab.core import errors, keys
from prismlab.core.weights import release_config, release_models, released, weight_formats

Variables = Mapping[str, Any]


def variables(model: release_models.Model) -> dict[str, Any]:
    """Convert a model to Flax variables, {"params": nested dictionary}, with the names of the release.

    Args:
        model: any public model; its arrays are shared, not copied, and may be traced.
    """
    config = release_models.describe(model)
    table = weight_formats.entries(weight_formats.RELEASE, config, model)
    flat = {name: weight_formats.field(model, entry.field) for name, entry in table.items()}
    nested: dict[str, Any] = traverse_util.unflatten_dict(flat, sep="/")
    return nested


def model(
    name_or_config: release_config.NameOrConfig, variables: Variables, *, dtype: str = "float32"
) -> Any:
    """Convert Flax variables to a model; the inverse of `variables`.

    Args:
        name_or_config: see `released.build`.
        variables: {"params": ...} with the names of the release; arrays may be traced.
        dtype: dtype of activations.

    Raises:
        UserError: one line for each array that is missing, unknown or has a wrong shape.
    """
    config = release_config.checked(name_or_config)
    empty = weight_formats.abstract(config, dtype)
    table = weight_formats.entries(weight_formats.RELEASE, config, empty)
    flat = traverse_util.flatten_dict(flax_core.unfreeze(dict(variables)), sep="/")
    faults = [f"missing: {name} {table[name].shape}" for name in sorted(table.keys() - flat.keys())]
    faults += [f"unknown: {name}" for name in sorted(flat.keys() - table.keys())]
    faults += [
        f"wrong shape: {name} expected {table[name].shape}, got {jnp.shape(flat[name])}"
        for name in sorted(table.keys() & flat.keys())
        if jnp.shape(flat[name]) != table[name].shape
    ]
    if faults:
        raise errors.UserError("\n".join(["Flax variables do not fit the configuration.", *faults]))
    fields = [entry.field for entry in table.values()]
    values = [jnp.asarray(flat[name]) for name in table]
    return eqx.tree_at(lambda tree: [weight_formats.field(tree, ours) for ours in fields], empty, values)


class Released(linen.Module):
    """Flax module of a public model, with parameters managed by Flax; same outputs and gradients.

    Args:
        name_or_config: see `released.build`.
        dtype: dtype of activations.
    """

    name_or_config: Any
    dtype: str = "float32"

    @linen.compact
    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Apply the model.

        Args:
            inputs: positional arguments, after the model, of `released.encode_video` (video_encoder),
                `released.embed` (video_text) or `released.classify` (video_classifier).
            named: keyword arguments of that function.

        Returns:
            The output of that function.
        """
        given = self.name_or_config
        config = release_config.checked(given if isinstance(given, str) else dict(given))
        if self.is_initializing():
            fresh = release_models.build(config, keys.fold(self.make_rng("params"), "released"))
            parts = variables(fresh)["params"]
        else:
            # Flax only checks the shapes of these initial values.
            shapes = variables(weight_formats.abstract(config))["params"]
            parts = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        held = {name: self.param(name, lambda _, part=part: part) for name, part in parts.items()}
        own = model(config, {"params": held}, dtype=self.dtype)
        run: dict[str, Any] = {
            "video_encoder": released.encode_video,
            "video_text": released.embed,
            "video_classifier": released.classify,
        }
        return run[config.kind](own, *inputs, **named)
