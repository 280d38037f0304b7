"""Weight formats: for each array in a file, the model field that it fills and the conversion.

`npz_names` and `hf_names` hold the names; this module combines them into one table for loading, saving,
converting and inspecting.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from prismlab.core import trees
from prismlab.core.nn import positions
from prismlab.core.weights import arrangement, hf_names, npz_names, release_config, release_models

RELEASE, HUGGING_FACE, BUNDLE = "release", "hugging_face", "bundle"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One array of a weight file.

    Args:
        field: dotted path of our field.
        layer: layer index in a stacked field, or None for the whole field.
        how: conversion between our array and the array in the file.
        own: our shape (of that layer).
    """

    field: str
    layer: int | None
    how: arrangement.Arrangement
    own: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array in the file."""
        return self.how.shape(self.own)


def field(model: Any, dotted: str) -> Any:
    """Return a field of a module by its dotted path."""
    return functools.reduce(getattr, dotted.split("."), model)


@functools.lru_cache(maxsize=16)
def abstract(
    config: release_config.ReleaseConfig, dtype: str = "float32", remat: str = release_models.REMAT
) -> Any:
    """Build a model with shapes (jax.ShapeDtypeStruct) instead of arrays; see `released.build`."""
    make = functools.partial(release_models.build, config, dtype=dtype, remat=remat)
    return eqx.filter_eval_shape(lambda: make(key=jax.random.key(0)))


def entries(layout: str, config: release_config.ReleaseConfig, empty: Any) -> dict[str, Entry]:
    """Return the arrays that a file of this weight format must contain: name in the file -> Entry.

    Args:
        layout: RELEASE, HUGGING_FACE or BUNDLE.
        config: from `release_config.checked`.
        empty: the model, or `abstract` of the configuration.
    """
    table: dict[str, Entry] = {}
    if layout == HUGGING_FACE:
        for theirs, (ours, how) in hf_names.names(config).items():
            shape = field(empty, ours).shape
            if "{}" in theirs:
                for layer in range(shape[0]):
                    table[theirs.format(layer)] = Entry(ours, layer, how, shape[1:])
            else:
                table[theirs] = Entry(ours, None, how, shape)
    else:
        names = npz_names.names(
            config.kind,
            config.norm_policy,
            bool(config.num_auxiliary_layers),
            video_norm_policy=config.video_norm_policy or "pre",
            auxiliary_norm_policy=config.auxiliary_norm_policy or "pre",
        )
        for theirs, ours in names.items():
            name = theirs if layout == RELEASE else bundle_name(config.kind, ours)
            table[name] = Entry(ours, None, arrangement.SAME, field(empty, ours).shape)
    filled = {entry.field for entry in table.values()}
    if len(filled) != len(trees.flatten(empty)):
        raise RuntimeError(f"a field of the model is missing in the table of the format {layout!r}")
    return table


def bundle_name(kind: str, ours: str) -> str:
    """Return the name of a field in a checkpoint of a training run, with towers "video" and "text".

    Args:
        kind: kind of the model.
        ours: dotted path of our field.
    """
    dotted = {"video_encoder": "video.encoder.", "video_tower": "video."}.get(kind, "") + ours
    return "towers/" + dotted.replace(".", "/")


def computed(layout: str, config: release_config.ReleaseConfig) -> dict[str, np.ndarray]:
    """Return the arrays of a file that are no fields of the model: the text positions of transformers.

    Args:
        layout: weight format of the file.
        config: from `release_config.checked`.
    """
    if layout != HUGGING_FACE or config.kind != "video_text":
        return {}
    length = hf_names.LONGEST_TEXT
    sines = positions.sinusoids(length, config.text_dim or config.model_dim, config.text_sines == "release")
    return {
        hf_names.POSITIONS: np.asarray(sines),
        hf_names.POSITION_IDS: np.arange(length, dtype=np.int64)[None],
    }


def arrays(layout: str, config: release_config.ReleaseConfig, model: Any) -> dict[str, np.ndarray]:
    """Convert a model's arrays to a weight format.

    Args:
        layout: weight format of the file.
        config: `release_models.describe(model)`.
        model: a public model.
    """
    host: dict[str, np.ndarray] = {}
    out: dict[str, np.ndarray] = {}
    for name, entry in entries(layout, config, model).items():
        if entry.field not in host:
            host[entry.field] = np.asarray(field(model, entry.field))
        own = host[entry.field] if entry.layer is None else host[entry.field][entry.layer]
        out[name] = np.ascontiguousarray(entry.how.there(own)).reshape(entry.shape)
    return out | computed(layout, config)


def fill(
    empty: Any, table: Mapping[str, Entry], read: Callable[[Iterable[str]], Mapping[str, np.ndarray]]
) -> Any:
    """Return the model with all fields filled from a file's arrays, as float32.

    Fields are read one at a time, so that the file's arrays are never all in memory with the model.

    Args:
        empty: from `abstract`.
        table: from `entries`.
        read: names -> arrays, each with the shape of its entry.
    """
    fields: dict[str, dict[int | None, str]] = {}
    for name, entry in table.items():
        fields.setdefault(entry.field, {})[entry.layer] = name
    values = []
    for ours, layers in fields.items():
        found = read(layers.values())
        own = np.empty(field(empty, ours).shape, np.float32)
        for layer, name in layers.items():
            entry = table[name]
            own[... if layer is None else layer] = entry.how.back(found[name], entry.own)
        values.append(jnp.asarray(own))
    return eqx.tree_at(lambda model: [field(model, ours) for ours in fields], empty, values)
