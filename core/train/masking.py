"""Token masks (tube, block-tube) that choose the visible tokens of a clip; the token count is static.

A new policy is a frozen dataclass with `visible`, `tube`, `count` and `sample`; the contract tests in
tests/core find it automatically in this module.
"""

import dataclasses
import math
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from prismlab.core import errors, keys


@runtime_checkable
class Mask(Protocol):
    """Interface of mask policies, which choose the visible tokens of a clip."""

    tube: ClassVar[bool]  # True: the same patches stay in every frame, so attention stays rectangular

    @property
    def visible(self) -> float:
        """Fraction of tokens that stay visible, in (0, 1]."""
        ...

    def count(self, frames: int, patches: int) -> int:
        """Return the number of visible tokens out of frames * patches."""
        ...

    def sample(self, frames: int, patches: int, *, key: PRNGKeyArray) -> Int[Array, " m"]:
        """Return the ascending indices (frame * patches + patch) of the visible tokens."""
        ...


def identity(mask: Mask | None) -> str:
    """Return the name that is folded into the keys of a mask: its class and its fields that are not default.

    A new field with a default value therefore leaves the draws of existing masks unchanged.

    Args:
        mask: a frozen dataclass, or None for the unmasked clip.

    Returns:
        Text such as "Tube(visible=0.35)"; "None" for None.
    """
    if mask is None:
        return "None"
    if not dataclasses.is_dataclass(mask):
        raise errors.UserError(f"a mask must be a frozen dataclass, got {type(mask).__name__}")
    set_fields = {
        each.name: getattr(mask, each.name)
        for each in dataclasses.fields(mask)
        if getattr(mask, each.name) != each.default
    }
    listed = ", ".join(f"{name}={set_fields[name]!r}" for name in sorted(set_fields))
    return f"{type(mask).__name__}({listed})"


def _check_share(name: str, visible: float) -> None:
    if not 0.0 < visible <= 1.0:
        raise errors.UserError(
            f"{name}.visible must be in (0, 1], got {visible}; 0.35 keeps 35% of the tokens"
        )


@dataclasses.dataclass(frozen=True)
class Tube:
    """Tube mask: the same random patches are visible in every frame.

    Args:
        visible: fraction of visible patches, in (0, 1]; the count is rounded and at least 1.

    Source: Feichtenhofer et al. 2022 (tube masks); VideoPrism C.1 (0.5, stage-1 token dropping).
    """

    visible: float = 0.5
    tube: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_share("Tube", self.visible)

    def count(self, frames: int, patches: int) -> int:
        """Return frames * max(1, round(visible * patches))."""
        return frames * max(1, round(self.visible * patches))

    def sample(self, frames: int, patches: int, *, key: PRNGKeyArray) -> Int[Array, " m"]:
        """Return the ascending indices of the visible tokens of one clip.

        Args:
            frames: t.
            patches: n.
            key: PRNG key of this clip.

        Returns:
            int32 [m], m = count(frames, patches).
        """
        kept = jnp.sort(jax.random.permutation(key, patches)[: self.count(1, patches)])
        return (jnp.arange(frames)[:, None] * patches + kept).reshape(-1).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class BlockTube:
    """Block-tube mask: hides rectangles of patches over part of the clip, down to an exact visible count.

    Rectangles (aspect ratio 0.3 to 1/0.3) that start at a random frame and last for at least half of the
    clip, wrapping around its end, are hidden until enough tokens are hidden; the surplus is made visible
    again at random, so that every clip has the same number of visible tokens.

    Args:
        visible: fraction of visible tokens, in (0, 1]; the count is rounded and at least 1.
        smallest: smallest rectangle, as a fraction of the frame.
        proposals: maximum number of rectangles; tokens still missing then are hidden at random.

    Source: BEVT (Wang et al. 2022) masks; VideoPrism C.2 (hidden fraction 0.65). BEVT hides at least 16 of
    196 patches; the paper does not specify the exact count, so random trimming is our choice.
    """

    visible: float = 0.35
    smallest: float = 16 / 196
    proposals: int = 64
    tube: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_share("BlockTube", self.visible)

    def count(self, frames: int, patches: int) -> int:
        """Return max(1, round(visible * frames * patches))."""
        return max(1, round(self.visible * frames * patches))

    def sample(self, frames: int, patches: int, *, key: PRNGKeyArray) -> Int[Array, " m"]:
        """Return the ascending indices of the visible tokens of one clip.

        Args:
            frames: t.
            patches: n, a square number (the grid is side * side).
            key: PRNG key of this clip.

        Returns:
            int32 [m], m = count(frames, patches).
        """
        side = math.isqrt(patches)
        if side * side != patches:
            raise errors.UserError(f"BlockTube needs a square grid of patches, got {patches}; use Tube")
        hidden_wanted = frames * patches - self.count(frames, patches)

        def unfinished(carry: tuple[Int[Array, ""], Bool[Array, "t r c"]]) -> Bool[Array, ""]:
            tried, hidden = carry
            return (tried < self.proposals) & (jnp.sum(hidden) < hidden_wanted)

        def propose(carry: tuple[Int[Array, ""], Bool[Array, "t r c"]]) -> tuple[Array, Array]:
            tried, hidden = carry
            block = self._block(frames, side, hidden_wanted, hidden, key=keys.fold(key, "block", tried))
            return tried + 1, hidden | block

        start = (jnp.int32(0), jnp.zeros((frames, side, side), bool))
        _, hidden = jax.lax.while_loop(unfinished, propose, start)
        # Hidden tokens come first in a random order; the first hidden_wanted of them stay hidden.
        noise = jax.random.uniform(keys.fold(key, "trim"), (frames * patches,))
        order = jnp.argsort(noise - 2.0 * hidden.reshape(-1))
        return jnp.sort(order[hidden_wanted:]).astype(jnp.int32)

    def _block(
        self, frames: int, side: int, wanted: int, hidden: Bool[Array, "t r c"], *, key: PRNGKeyArray
    ) -> Bool[Array, "t r c"]:
        """Return one random block-tube, no larger per frame than the number of tokens still to hide."""
        smallest = max(1.0, self.smallest * side * side)
        missing = (wanted - jnp.sum(hidden)) / frames
        u = jax.random.uniform(key, (6,))
        area = smallest + u[0] * jnp.maximum(missing - smallest, 0.0)
        aspect = jnp.exp(math.log(0.3) * (1.0 - 2.0 * u[1]))
        height = jnp.clip(jnp.round(jnp.sqrt(area * aspect)), 1, side)
        width = jnp.clip(jnp.round(jnp.sqrt(area / aspect)), 1, side)
        top = jnp.floor(u[2] * (side - height + 1))
        left = jnp.floor(u[3] * (side - width + 1))
        shortest = (frames + 1) // 2
        length = shortest + jnp.floor(u[4] * (frames - shortest + 1))
        first = jnp.floor(u[5] * frames)
        rows, columns, times = jnp.arange(side), jnp.arange(side), jnp.arange(frames)
        in_rows = (rows >= top) & (rows < top + height)
        in_columns = (columns >= left) & (columns < left + width)
        in_time = (times - first) % frames < length  # wraps around the end of the clip
        return in_time[:, None, None] & in_rows[None, :, None] & in_columns[None, None, :]


def sample_batch(
    mask: Mask,
    batch: int,
    frames: int,
    patches: int,
    *,
    key: PRNGKeyArray,
    index: Int[Array, " b"] | None = None,
) -> Int[Array, "b m"]:
    """Sample one mask per example; the mask of example i depends only on the key and i.

    Args:
        mask: the mask policy.
        batch: examples in the global batch.
        frames: t.
        patches: n.
        key: PRNG key of this view at this step.
        index: int32 [b], positions of the examples in the global batch; None means 0 .. b - 1.

    Returns:
        int32 [b, m], ascending in each row.
    """

    def one(i: Int[Array, ""]) -> Int[Array, " m"]:
        return mask.sample(frames, patches, key=jax.random.fold_in(key, i))

    return jax.vmap(one)(jnp.arange(batch) if index is None else index)


def visible_grid(place: Int[Array, "b m"], tokens: int) -> Bool[Array, "b s"]:
    """Convert visible token indices to a boolean grid, True where a token is visible.

    Args:
        place: int32 [b, m], indices of the visible tokens.
        tokens: s, number of tokens in the whole clip.
    """
    rows = jnp.arange(place.shape[0])[:, None]
    return jnp.zeros((place.shape[0], tokens), bool).at[rows, place].set(True)
