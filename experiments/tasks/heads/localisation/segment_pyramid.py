"""Anchor-free temporal localisation: a pyramid over window features, a class and two distances at each place.

Each place of each level says which actions it is inside of, and how far their start and end are. The class
head is trained on the same frozen features as everything else. A second, small head says which actions the
video has at all; a segment's score is the root of the product of both (`video_classes`).

Source: ActionFormer (Zhang et al. 2022) with convolutions in place of attention; FPN (Lin et al. 2017).
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Float32, PRNGKeyArray

from prismlab.core import errors, keys
from prismlab.core.nn import layers
from prismlab.experiments.tasks.heads import classifier

RANGE = 4.0  # steps that a place of the first level reaches; each level reaches twice as far
_PRIOR = -3.0  # initial logit: few places are inside an action
_LARGEST = 1e4  # steps


class Neighbours(eqx.Module):
    """A layer over each step and the two beside it (a convolution of width 3), norm, GELU, residual."""

    linear: layers.Linear
    norm: layers.LayerNorm

    def __init__(self, dim: int, *, key: PRNGKeyArray):
        self.linear = layers.Linear(3 * dim, dim, key=key)
        self.norm = layers.LayerNorm(dim)

    def __call__(self, x: Float[Array, "b s d"], present: Float[Array, "b s 1"]) -> Float[Array, "b s d"]:
        """Return steps with their neighbours mixed in; steps that do not exist stay 0."""
        padded = jnp.pad(x, ((0, 0), (1, 1), (0, 0)))
        beside = jnp.concatenate([padded[:, :-2], x, padded[:, 2:]], axis=-1)
        return (x + layers.gelu(self.norm(self.linear(beside)))) * present


class Pyramid(eqx.Module):
    """The head: window features to logits and distances at all places of all levels."""

    inside: layers.Linear
    down: list[Neighbours]
    up: list[Neighbours]
    towers: list[Neighbours]
    classes: layers.Linear
    distances: layers.Linear
    video: layers.Linear
    dropout: float = eqx.field(static=True)

    def __init__(
        self, inputs: int, classes: int, dim: int, levels: int, dropout: float, *, key: PRNGKeyArray
    ):
        make = lambda name, count: [Neighbours(dim, key=keys.fold(key, name, i)) for i in range(count)]
        self.inside = layers.Linear(inputs, dim, key=keys.fold(key, "inside"))
        self.down, self.up, self.towers = make("down", levels), make("up", levels), make("towers", 2)
        head = layers.Linear(dim, classes, scale=0.1, key=keys.fold(key, "classes"))
        self.classes = eqx.tree_at(lambda one: one.bias, head, jnp.full(classes, _PRIOR))
        self.distances = layers.Linear(dim, 2, scale=0.1, key=keys.fold(key, "distances"))
        self.video = layers.Linear(2 * inputs, classes, key=keys.fold(key, "video"))
        self.dropout = dropout

    def __call__(
        self, x: Float[Array, "b s d"], present: Bool[Array, "b s"], key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "b m c"], Float[Array, "b m 2"], Float[Array, "b c"]]:
        """Return logits and distances (in steps of the place's level) of m places, and logits of the video.

        Args:
            x: window features; s is a multiple of 2 to the power of the number of levels less one.
            present: windows that exist.
            key: applies dropout; None for none.
        """
        exists = present.astype(x.dtype)[..., None]
        total = jnp.maximum(exists.sum(axis=1), 1.0)
        mean = (x * exists).sum(axis=1) / total
        largest = jnp.where(exists > 0, x, -jnp.inf).max(axis=1)
        pooled = jnp.concatenate([mean, jnp.where(jnp.isfinite(largest), largest, 0.0)], axis=-1)
        video = self.video(classifier.dropped(pooled, self.dropout, key))
        x = classifier.dropped(x, self.dropout, key)
        x = self.inside(x) * exists
        masks, maps = [exists], []
        for level, layer in enumerate(self.down):
            if level:
                masks.append(_halved(masks[-1]))
                x = _halved(x)
            x = layer(x, masks[-1])
            maps.append(x)
        for level in range(len(maps) - 1, -1, -1):
            if level + 1 < len(maps):
                maps[level] = (maps[level] + jnp.repeat(maps[level + 1], 2, axis=1)) * masks[level]
            maps[level] = self.up[level](maps[level], masks[level])
        said, far = [], []
        for each, mask in zip(maps, masks):
            said.append(self.classes(self.towers[0](each, mask)))
            far.append(jax.nn.softplus(self.distances(self.towers[1](each, mask)) + 0.5))
        return jnp.concatenate(said, axis=1), jnp.concatenate(far, axis=1), video


def _halved(x: Float[Array, "b s d"]) -> Float[Array, "b t d"]:
    return jnp.maximum(x[:, ::2], x[:, 1::2])


@dataclasses.dataclass(frozen=True)
class SegmentPyramid:
    """Settings of the head, the targets of its places, and its loss.

    Args:
        dim: width.
        levels: levels of the pyramid; each has half the steps of the one before. Actions of up to 4, 8, 16,
            ... steps to their farther end belong to level 1, 2, 3, ..., all longer ones to the last.
        dropout: fraction of the features dropped in training, in [0, 1).
        video_classes: multiply a segment's score with that of its class for the whole video.
    """

    dim: int = 64
    levels: int = 3
    dropout: float = 0.0
    video_classes: bool = True

    def __post_init__(self) -> None:
        if self.dim < 1 or not 1 <= self.levels <= 10 or not 0 <= self.dropout < 1:
            raise errors.UserError(
                "segment pyramid: expected dim of 1 or more, 1 to 10 levels and dropout in [0, 1), got "
                f"{self.dim}, {self.levels} and {self.dropout}"
            )

    def build(self, inputs: int, classes: int, *, key: PRNGKeyArray) -> Pyramid:
        """Return a head for window features of a width."""
        return Pyramid(inputs, classes, self.dim, self.levels, self.dropout, key=key)

    def padded(self, steps: int) -> int:
        """Return the number of steps to which sequences are padded."""
        unit = 2 ** (self.levels - 1)
        return -(-steps // unit) * unit

    def places(self, steps: int) -> tuple[Float32[np.ndarray, " m"], Float32[np.ndarray, " m"]]:
        """Return the time of each place in steps (0: the first window's), and the step of its level.

        Args:
            steps: padded number of steps.
        """
        times, scales = [], []
        for level in range(self.levels):
            scale = 2**level
            count = steps // scale
            times.append(scale * np.arange(count) + (scale - 1) / 2)
            scales.append(np.full(count, scale))
        return np.concatenate(times).astype(np.float32), np.concatenate(scales).astype(np.float32)

    def targets(
        self, start: np.ndarray, end: np.ndarray, label: np.ndarray, steps: int, classes: int
    ) -> tuple[Float32[np.ndarray, "m c"], Float32[np.ndarray, "m 2"]]:
        """Return the classes that each place is inside of, and distances to start and end of the shortest.

        Args:
            start, end: annotated segments in steps, 0 is the time of the first window.
            label: their classes.
            steps: padded number of steps.
            classes: number of classes.
        """
        times, scales = self.places(steps)
        hot, far = np.zeros((len(times), classes), np.float32), np.zeros((len(times), 2), np.float32)
        if not len(start):
            return hot, far
        left, right = times[:, None] - start, end - times[:, None]
        reach = np.maximum(left, right)
        low = np.where(scales > 1, RANGE * scales / 2, 0.0)[:, None]
        high = np.where(scales < 2 ** (self.levels - 1), RANGE * scales, _LARGEST)[:, None]
        fits = (left >= 0) & (right >= 0) & (reach >= low) & (reach < high)
        # A segment shorter than the distance of two places may hold none: the nearest one of level 1 is its.
        for number in np.flatnonzero(~fits.any(axis=0)).tolist():
            own = (scales == scales[0]).nonzero()[0]
            nearest = own[np.argmin(np.abs(times[own] - (start[number] + end[number]) / 2))]
            fits[nearest, number] = True
        for number in range(len(label)):
            hot[fits[:, number], label[number]] = 1.0
        shortest = np.where(fits, end - start, np.inf).argmin(axis=1)
        some, own = fits.any(axis=1), np.arange(len(times))
        chosen = np.maximum(np.stack([left[own, shortest], right[own, shortest]], axis=1), 0.0)
        far[some] = (chosen / scales[:, None])[some]
        return hot, far

    def loss(
        self,
        head: Pyramid,
        x: Float[Array, "b s d"],
        present: Bool[Array, "b s"],
        hot: Float[Array, "b m c"],
        far: Float[Array, "b m 2"],
        video: Float[Array, "b c"],
        key: Any,
    ) -> Float[Array, ""]:
        """Return the loss of a batch: focal loss of places, overlap of distances, classes of the video."""
        logits, distances, whole = head(x, present, key if self.dropout else None)
        inside = hot.max(axis=-1)
        exists = self.exist(present)
        total = jnp.maximum((inside * exists).sum(), 1.0)
        focal = optax.sigmoid_focal_loss(logits, hot, alpha=0.5, gamma=2.0).sum(-1)
        common = jnp.minimum(distances, far).sum(-1)
        union = jnp.maximum(distances, far).sum(-1)
        overlap = 1.0 - common / jnp.maximum(union, 1e-6)
        found = ((focal + inside * overlap) * exists).sum() / total
        return found + optax.sigmoid_binary_cross_entropy(whole, video).mean()

    def exist(self, present: Bool[Array, "b s"]) -> Float[Array, "b m"]:
        """Return 1 for places with a window below them."""
        masks = [present.astype(jnp.float32)[..., None]]
        for _ in range(self.levels - 1):
            masks.append(_halved(masks[-1]))
        return jnp.concatenate(masks, axis=1)[..., 0]

    def read(
        self, head: Pyramid, x: Float[Array, "b s d"], present: Bool[Array, "b s"]
    ) -> tuple[Float[Array, "b m c"], Float[Array, "b m 2"], Float[Array, "b c"]]:
        """Return scores of places, their distances in steps of the sequence, and scores of videos."""
        logits, distances, whole = head(x, present)
        scores = jax.nn.sigmoid(logits) * self.exist(present)[..., None]
        video = jax.nn.sigmoid(whole)
        if self.video_classes:
            scores = jnp.sqrt(scores * video[:, None])
        return scores, distances * self.places(x.shape[1])[1][None, :, None], video
