"""The public models as Flax modules, their weights as Flax variables: for code bases that train with Flax.

The variables carry the release's names (`variables["params"]["spatial_ln"]["scale"]`), so a tree from the
official code fits, and ours fits there.
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
    """Return a model's arrays as Flax variables, {"params": nested dictionary}, with the release's names.

    Args:
        model: any public model; its arrays are shared, not copied, and may be traced.
    """
    config = release_config.checked(release_models.describe(model))
    table = weight_formats.entries(weight_formats.RELEASE, config, model)
    flat = {name: weight_formats.field(model, entry.field) for name, entry in table.items()}
    return traverse_util.unflatten_dict(flat, sep="/")


def model(name_or_config: str | Mapping[str, Any], variables: Variables, *, dtype: str = "float32") -> Any:
    """Return the model that holds a tree of Flax variables; the inverse of `variables`.

    Args:
        name_or_config: see `released.build`.
        variables: {"params": ...} with the release's names; arrays may be traced.
        dtype: of activations.

    Raises:
        UserError: one line for every array that is missing, unknown or of a wrong shape.
    """
    config = release_config.checked(name_or_config)
    empty = weight_formats.abstract(config, dtype)
    table = weight_formats.entries(weight_formats.RELEASE, config, empty)
    flat = traverse_util.flatten_dict(flax_core.unfreeze(dict(variables)), sep="/")
    faults = [f"missing: {name} {table[name].shape}" for name in sorted(table.keys() - flat.keys())]
    faults += [f"unknown: {name}" for name in sorted(flat.keys() - table.keys())]
    faults += [
        f"wrong shape: {name} wanted {table[name].shape}, got {jnp.shape(flat[name])}"
        for name in sorted(table.keys() & flat.keys())
        if jnp.shape(flat[name]) != table[name].shape
    ]
    if faults:
        raise errors.UserError("\n".join(["Flax variables do not fit the configuration.", *faults]))
    fields = [entry.field for entry in table.values()]
    values = [jnp.asarray(flat[name]) for name in table]
    return eqx.tree_at(lambda tree: [weight_formats.field(tree, ours) for ours in fields], empty, values)


class Released(linen.Module):
    """A public model as a Flax module: the same numbers and gradients as ours, parameters held by Flax.

    Args:
        name_or_config: see `released.build`.
        dtype: of activations.
    """

    name_or_config: Any
    dtype: str = "float32"

    @linen.compact
    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Run the model.

        Args:
            inputs: what `released.encode_video` (video_encoder), `released.embed` (video_text) or
                `released.classify` (video_classifier) takes after the model.
            named: the same, by name.

        Returns:
            What that function returns.
        """
        given = self.name_or_config
        config = release_config.checked(given if isinstance(given, str) else dict(given))
        if self.is_initializing():
            fresh = release_models.build(config, keys.fold(self.make_rng("params"), "released"))
            parts = variables(fresh)["params"]
        else:
            # Flax asks an initial value for its shapes alone.
            shapes = variables(weight_formats.abstract(config))["params"]
            parts = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        held = {name: self.param(name, lambda _, part=part: part) for name, part in parts.items()}
        own = model(config, {"params": held}, dtype=self.dtype)
        run: dict[str, Any] = {
            "video_encoder": released.encode_video,
            "video_text": released.embed,
            "video_classifier": released.classify,
        }
        return run[config["kind"]](own, *inputs, **named)
