"""Fill the spatial part of a video encoder from the arrays of a ViT, whatever their names are."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from prismlab.core import errors
from prismlab.core.nn import positions
from prismlab.core.towers import video_encoder
from prismlab.core.weights import arrangement, weight_files, weight_formats

# An array of a file holds one of our fields, or several of equal shape one after another along axis 0.
Fields = tuple[tuple[str, arrangement.Arrangement], ...]
Names = dict[str, Fields]
# Layer norms of these files store the scale itself; ours store scale - 1.
_SCALE = arrangement.Arrangement(lambda x: x + 1.0, lambda x, shape: x - 1.0, lambda shape: shape)
_MOST_PLACES = 1 << 16
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def heads(theirs: str, ours: Sequence[str], separator: str = ".") -> Names:
    """Return the names of projections to heads.

    Args:
        theirs: module in the file.
        ours: dotted paths of the projections that it holds, one after another.
        separator: between the module and "weight" or "bias".
    """
    return {
        f"{theirs}{separator}weight": tuple((f"{each}.w", arrangement.HEADS_IN) for each in ours),
        f"{theirs}{separator}bias": tuple((f"{each}.b", arrangement.FLAT) for each in ours),
    }


def heads_out(theirs: str, ours: str) -> Names:
    """Return the names of a projection from heads: module in the file, dotted path of our field."""
    weight, bias = (f"{ours}.w", arrangement.HEADS_OUT), (f"{ours}.b", arrangement.SAME)
    return {f"{theirs}.weight": (weight,), f"{theirs}.bias": (bias,)}


def linear(theirs: str, ours: str) -> Names:
    """Return the names of a linear layer: module in the file, dotted path of our field."""
    kernel, bias = (f"{ours}.kernel", arrangement.TRANSPOSED), (f"{ours}.bias", arrangement.SAME)
    return {f"{theirs}.weight": (kernel,), f"{theirs}.bias": (bias,)}


def norm(theirs: str, ours: str) -> Names:
    """Return the names of a layer norm: module in the file, dotted path of our field."""
    return {
        f"{theirs}.weight": ((f"{ours}.scale", _SCALE),),
        f"{theirs}.bias": ((f"{ours}.bias", arrangement.SAME),),
    }


@dataclasses.dataclass(frozen=True)
class Format:
    """Names of the arrays of a ViT.

    Args:
        reader: the constructor that reads it, for messages.
        prefix: what all names begin with.
        patches: weight of the patch projection, [d, 3, side, side].
        patch_bias: its bias, or None if there is none.
        positions: positions of the class token and the patches, [1 + n, d] or [1, 1 + n, d].
        whole: arrays outside the layers.
        layer: name of a layer, with {} for its index.
        block: arrays of a layer.
        class_token: the class token, or None to drop it.
        unused: beginnings of names that are known and not read; None if any others are.
    """

    reader: str
    prefix: str
    patches: str
    patch_bias: str | None
    positions: str
    whole: Names
    layer: str
    block: Names
    class_token: str | None = None
    unused: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Normalization of pixels before a ViT, (pixel - mean) / std, by channel.

    Args:
        mean: of red, green and blue, finite.
        std: of red, green and blue, finite and positive.
        reader: for messages.
    """

    mean: Sequence[float]
    std: Sequence[float]
    reader: str

    def __post_init__(self) -> None:
        mean, std = (each if isinstance(each, list | tuple) else () for each in (self.mean, self.std))
        numbers = all(type(each) in (int, float) and math.isfinite(each) for each in (*mean, *std))
        if not (numbers and len(mean) == len(std) == 3 and all(each > 0 for each in std)):
            raise errors.UserError(
                f"{self.reader}: expected a finite mean and a positive std, got {self.mean}, {self.std}"
            )

    def folded(self, kernel: np.ndarray, bias: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return kernel and bias of a patch projection of pixels in [0, 1] that normalizes them itself.

        Args:
            kernel: [side * side * 3, d], the channel last in its rows.
            bias: [d], or 0.
        """
        times = len(kernel) // 3
        mean, std = (np.tile(np.asarray(each, np.float64), times)[:, None] for each in (self.mean, self.std))
        return kernel / std, bias - (kernel * (mean / std)).sum(axis=0)


def filled(
    own: video_encoder.FactorizedVideoEncoder,
    names: Format,
    contents: weight_files.Contents,
    pixels: Pixels,
    *,
    key: PRNGKeyArray,
) -> video_encoder.FactorizedVideoEncoder:
    """Return an encoder whose patch projection, spatial positions, layers and norms are those of a ViT.

    Args:
        own: the encoder.
        names: names of the arrays in the file.
        contents: the open file.
        pixels: normalization of the pixels, which is folded into the patch projection.
        key: a typed JAX key.

    Raises:
        UserError: the file holds another model, or values that are not finite.
    """
    wanted = _wanted(own, names)
    _check(own, names, wanted, contents)
    read = {name: np.asarray(value, np.float32) for name, value in contents.read(wanted).items()}
    for name, value in read.items():
        if not np.isfinite(value).all():
            raise errors.UserError(
                f"{names.reader}: {name} in {contents.path} holds values that are not finite; name "
                "another file"
            )
    fields: dict[str, Any] = {}
    for theirs, parts in names.whole.items():
        fields |= _parted(
            read[names.prefix + theirs], parts, lambda ours: weight_formats.field(own, ours).shape
        )
    for theirs, parts in names.block.items():
        shape = lambda ours: weight_formats.field(own.spatial.blocks, ours).shape[1:]
        layers = [
            _parted(read[names.prefix + names.layer.format(n) + theirs], parts, shape)
            for n in range(own.spatial.count)
        ]
        fields |= {f"spatial.blocks.{ours}": np.stack([each[ours] for each in layers]) for ours, _ in parts}
    kernel = arrangement.PATCHES.back(
        read[names.prefix + names.patches][:, :, None], own.patch_projection.kernel.shape
    )
    bias = read[names.prefix + names.patch_bias] if names.patch_bias else 0.0
    fields["patch_projection.kernel"], fields["patch_projection.bias"] = pixels.folded(kernel, bias)
    places = read[names.prefix + names.positions].reshape(-1, kernel.shape[-1])
    fields["spatial_positions.table"] = _interpolated(own, places[1:], key)
    if names.class_token:
        fields["class_token.token"] = read[names.prefix + names.class_token].reshape(-1) + places[0]
    values = [jnp.asarray(value, jnp.float32) for value in fields.values()]
    changed: video_encoder.FactorizedVideoEncoder = eqx.tree_at(
        lambda tree: [weight_formats.field(tree, ours) for ours in fields], own, values
    )
    return changed


def _parted(array: np.ndarray, parts: Fields, shape: Callable[[str], Any]) -> dict[str, np.ndarray]:
    pieces = np.split(array, len(parts))
    return {ours: how.back(piece, shape(ours)) for (ours, how), piece in zip(parts, pieces)}


def _joined(parts: Fields, shape: Callable[[str], Any]) -> tuple[int, ...]:
    """Return the shape of an array of the file that holds fields of ours."""
    ours, how = parts[0]
    first, *rest = how.shape(shape(ours))
    return first * len(parts), *rest


def _wanted(own: video_encoder.FactorizedVideoEncoder, names: Format) -> dict[str, tuple[int, ...]]:
    """Return the arrays of a ViT of the encoder's sizes: name -> shape; positions may be of another grid."""
    inputs, dim = own.patch_projection.kernel.shape
    side = math.isqrt(inputs // 3)
    found: dict[str, tuple[int, ...]] = {names.patches: (dim, 3, side, side), names.positions: (-1, dim)}
    found |= {names.patch_bias: (dim,)} if names.patch_bias else {}
    found |= {names.class_token: (dim,)} if names.class_token else {}
    whole = lambda ours: weight_formats.field(own, ours).shape
    layer = lambda ours: weight_formats.field(own.spatial.blocks, ours).shape[1:]
    found |= {theirs: _joined(parts, whole) for theirs, parts in names.whole.items()}
    for theirs, parts in names.block.items():
        found |= {names.layer.format(n) + theirs: _joined(parts, layer) for n in range(own.spatial.count)}
    return {names.prefix + name: shape for name, shape in found.items()}


def _check(
    own: video_encoder.FactorizedVideoEncoder,
    names: Format,
    wanted: Mapping[str, tuple[int, ...]],
    contents: weight_files.Contents,
) -> None:
    """Check names, shapes and types of the arrays before any is read."""
    first = next(iter(names.block))
    held = [name for name in contents.shapes if name.startswith(names.prefix)]
    layers = len([name for name in held if name.endswith("." + first)])
    if layers != own.spatial.count:
        raise errors.UserError(
            f"{names.reader}: expected {own.spatial.count} spatial layers, found {layers} in {contents.path}"
            "; change presets.Size.spatial_layers or name another file"
        )
    for name, shape in wanted.items():
        found = tuple(contents.shapes.get(name, ()))
        places = found[-2] - 1 if name == names.prefix + names.positions and len(found) > 1 else -1
        is_grid = 0 < places <= _MOST_PLACES and math.isqrt(places) ** 2 == places
        if found != shape and not (is_grid and found[-1] == shape[-1] and math.prod(found[:-2]) == 1):
            raise errors.UserError(
                f"{names.reader}: expected {name} of shape {shape}, found {found or 'none'} in "
                f"{contents.path}; change the encoder's size and patch, or name another file"
            )
        if contents.types[name] not in _FLOATS:
            raise errors.UserError(
                f"{names.reader}: expected {name} of one of the types {', '.join(_FLOATS)}, found "
                f"{contents.types[name]} in {contents.path}; name another file"
            )
    if names.unused is not None:
        known = tuple(names.prefix + each for each in names.unused)
        others = sorted(name for name in held if name not in wanted and not name.startswith(known))
        if others:
            raise errors.UserError(
                f"{names.reader}: {contents.path} holds {others[0]}, a part that this encoder has not; name "
                "another file"
            )


def _interpolated(own: video_encoder.FactorizedVideoEncoder, table: np.ndarray, key: PRNGKeyArray) -> Any:
    """Return the positions of the patches, interpolated to the encoder's grid."""
    side = math.isqrt(len(table))
    theirs = positions.PositionTable((side, side), table.shape[-1], key=key)
    theirs = eqx.tree_at(lambda own: own.table, theirs, jnp.asarray(table))
    return theirs(own.spatial_positions.shape)
