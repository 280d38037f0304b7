"""Shared data types (Batch, Tokens, Encoded, Dims), interfaces of towers, and axis names in annotations.

Axes:
    b  examples in the global batch        t  frames of a clip
    n  patches of one frame (row-major)    m  visible tokens kept by a mask
    d  width of a tower                    l  caption tokens
    h  heads                               k  width of one head
    s  all tokens of a clip, s = t * n, index = frame * n + patch
Units: pixels are uint8 on the host and float32 in [0, 1] on the device; time is in seconds.
"""

import dataclasses
from typing import Any, ClassVar, Protocol, runtime_checkable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Batch(eqx.Module):
    """One global batch on the device.

    Args:
        video: float32 [b, t, height, width, 3] in [0, 1].
        text_ids: int32 [b, l], 0 where padded.
        text_paddings: float32 [b, l], 1.0 where padded; all 1.0 for a clip without a caption.
        weight: float32 [b], 0.0 for padding examples, which must not affect the result.
        index: int32 [b], position of each example in the global batch, if this is a part of it; None means
            0 .. b - 1. Random draws depend on it, so that a part draws the same values as the whole batch.
    """

    video: Float[Array, "b t height width 3"]
    text_ids: Int[Array, "b l"]
    text_paddings: Float[Array, "b l"]
    weight: Float[Array, " b"]
    index: Int[Array, " b"] | None = None

    @property
    def text_weight(self) -> Float[Array, " b"]:
        """Weight of each example in a loss that reads captions: `weight`, or 0.0 without a caption."""
        return jnp.where(jnp.any(self.text_paddings < 0.5, axis=-1), self.weight, 0.0)


class Tokens(eqx.Module):
    """Encoded tokens of a batch of clips, with their token indices.

    Args:
        x: float [b, m, d], one row per token, after the encoder's final norm.
        place: int32 [b, m], token indices in the whole clip (frame * n + patch), ascending.
    """

    x: Float[Array, "b m d"]
    place: Int[Array, "b m"]


class Encoded(eqx.Module):
    """Output of a tower for one view.

    Args:
        tokens: the token sequence, or None if the tower produces none.
        pooled: float [b, d], one vector per example (not normalised), or None without a pooler.
        spatial: float [b, m, d], the same tokens after the spatial part of a factorized encoder, or None.
    """

    tokens: Tokens | None
    pooled: Float[Array, "b d"] | None
    spatial: Float[Array, "b m d"] | None = None


@dataclasses.dataclass(frozen=True)
class Dims:
    """Sizes from which an objective builds its parameters.

    Args:
        frames: frames per clip, t.
        patches: patches per frame, n.
        patch_values: values in one patch, patch * patch * 3.
        video_dim: width of the student's video tower.
        teacher_dim: width of the frozen teacher's video tower (equals video_dim without a teacher).
        text_dim: width of the text tower, or None without one.
        vocabulary: number of the text tower's token ids, or None without one.
    """

    frames: int
    patches: int
    patch_values: int
    video_dim: int
    teacher_dim: int
    text_dim: int | None = None
    vocabulary: int | None = None

    @property
    def tokens(self) -> int:
        """Number of tokens in a whole clip, s = t * n."""
        return self.frames * self.patches


@runtime_checkable
class Tower(Protocol):
    """Interface of a tower: an `eqx.Module` that encodes some fields of a batch.

    `inputs` names the fields of `Batch` that the tower reads, in the order of its arguments.
    """

    inputs: ClassVar[tuple[str, ...]]

    def __call__(self, *args: Any, **kwargs: Any) -> Encoded:
        """Encode the batch; a `ClipTower` also takes `place` and `tube`."""
        ...


@runtime_checkable
class ClipTower(Tower, Protocol):
    """Interface of a tower of clips, which can encode visible tokens only.

    `__call__(video, place=None, tube=False)`: place is int32 [b, m], ascending token indices of the visible
    tokens, or None for all; tube=True promises the same patches in every frame.
    """

    @property
    def dim(self) -> int:
        """Width of the tokens and of the pooled vector, d."""
        ...

    @property
    def frames(self) -> int:
        """Number of frames of a clip, t."""
        ...

    @property
    def patches(self) -> int:
        """Number of patches per frame, n."""
        ...

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        ...

    @property
    def resolution(self) -> int:
        """Side of a frame in pixels."""
        ...


@runtime_checkable
class CaptionTower(Tower, Protocol):
    """Interface of a tower of captions."""

    @property
    def dim(self) -> int:
        """Width of the pooled vector."""
        ...

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        ...
