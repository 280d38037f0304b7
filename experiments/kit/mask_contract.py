"""The contract of masks, as tests that a package runs on its own classes.

class TestMine(mask_contract.MaskContract):
    kinds = mask_contract.found(mine)
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.train import masking
from prismlab.experiments.kit import faults

SHARES = st.sampled_from([1.0, 0.9, 0.35, 0.01])
PROPERTY = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def found(module: ModuleType) -> tuple[type, ...]:
    """Return the masks that a module defines.

    Raises:
        UserError: it defines none.
    """
    wanted = "a frozen dataclass with `visible`, `tube`, `count` and `sample` (masking.Mask) defined in it"
    return faults.defined_in(
        module, wanted, lambda each: dataclasses.is_dataclass(each) and hasattr(each, "sample")
    )


@functools.cache
def draw(mask: masking.Mask, frames: int, patches: int, batch: int | None = None) -> Callable[..., Any]:
    """Return a compiled sampler of a mask, of one clip or of a batch.

    Args:
        mask: the mask.
        frames: t.
        patches: n.
        batch: examples; None for one clip.
    """
    if batch is None:
        return jax.jit(lambda key: mask.sample(frames, patches, key=key))
    return jax.jit(lambda key: masking.sample_batch(mask, batch, frames, patches, key=key))


class MaskContract:
    """Tests of masks; a subclass in a test file says which.

    Attributes:
        kinds: the classes; each is built as `kind(visible=share)`.
        grids: (frames, patches of a frame) that they are tested with.
    """

    kinds: ClassVar[Sequence[type]] = ()
    grids: ClassVar[Sequence[tuple[int, int]]] = ((5, 4), (2, 16))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test once for each class."""
        if "policy" in metafunc.fixturenames:
            kinds = faults.given(type(self), "kinds")
            metafunc.parametrize("policy", kinds, ids=[kind.__name__ for kind in kinds])

    @PROPERTY
    @given(visible=SHARES, grid=st.integers(0, 1), seed=st.integers(0, 99))
    def test_exact_count_ascending_in_range_and_repeatable(
        self, policy: Any, visible: float, grid: int, seed: int
    ) -> None:
        """Tokens are as many as `count` says, ascending, in range, and the same for an equal key."""
        frames, patches = self.grids[grid % len(self.grids)]
        mask, key = policy(visible=visible), jax.random.key(seed)
        place = np.asarray(draw(mask, frames, patches)(key))
        tokens, count = frames * patches, mask.count(frames, patches)
        faults.require(place.dtype == np.int32, f"{mask}.sample must give int32, got {place.dtype}")
        faults.require(
            len(place) == count >= 1,
            f"{mask}.sample gives {len(place)} of {tokens} tokens, but count says {count}; the count is "
            "static, because programs are compiled for it",
        )
        in_order = bool((np.diff(place) > 0).all() and place[0] >= 0 and place[-1] < tokens)
        faults.require(
            in_order, f"{mask}.sample must give ascending, different indices in [0, {tokens}), got {place}"
        )
        again = np.asarray(draw(mask, frames, patches)(key))
        faults.require(np.array_equal(place, again), f"{mask}.sample gives other tokens with an equal key")
        if policy.tube:
            rows = place.reshape(frames, -1)
            same = np.array_equal(rows, rows[0] + np.arange(frames)[:, None] * patches)
            faults.require(same, f"{mask} has tube = True, but frames keep different patches: {place}")
        if visible == 1.0:
            faults.require(len(place) == tokens, f"{mask} must keep all {tokens} tokens, keeps {len(place)}")

    def test_compiled_equals_eager(self, policy: Any) -> None:
        """A compiled program draws what Python does."""
        mask, key = policy(visible=0.35), jax.random.key(3)
        one, two = mask.sample(2, 16, key=key), draw(mask, 2, 16)(key)
        faults.require(np.array_equal(one, two), f"{mask}: compiled tokens {two} differ from {one} in Python")

    def test_the_mask_of_an_example_depends_on_its_index_alone(self, policy: Any) -> None:
        """Examples have masks of their own, whatever the size of the batch."""
        mask, key = policy(visible=0.35), jax.random.key(4)
        six, two = (np.asarray(draw(mask, 2, 16, size)(key)) for size in (6, 2))
        faults.require(np.array_equal(six[:2], two), f"{mask}: masks change with the size of the batch")
        several = len({row.tobytes() for row in six}) > 1
        faults.require(
            several, f"{mask}: all examples share one mask; draw from `key`, which differs by example"
        )
        other = np.asarray(draw(mask, 2, 16, 6)(jax.random.key(5)))
        faults.require((six != other).any(), f"{mask}: another key gives the same masks; draw from `key`")

    def test_every_place_is_seen_about_equally_often(self, policy: Any) -> None:
        """No token is nearly always shown or hidden."""
        place = np.asarray(draw(policy(visible=0.5), 2, 16, 400)(jax.random.key(0)))
        share = np.bincount(place.ravel(), minlength=32) / 400
        faults.require(
            share.min() > 0.2 and share.max() < 0.8,
            f"{policy.__name__}(visible=0.5) shows token {share.argmin()} in {share.min():.0%} and token "
            f"{share.argmax()} in {share.max():.0%} of clips; expected 20 % to 80 % for each",
        )

    @pytest.mark.parametrize("visible", [0.0, -0.1, 1.01, math.nan])
    def test_a_share_outside_is_refused(self, policy: Any, visible: float) -> None:
        """A share outside (0, 1] is a UserError."""
        try:
            made = policy(visible=visible)
        except errors.UserError as error:
            wanted = f"{policy.__name__}.visible must be in (0, 1]"
            faults.require(wanted in str(error), f"expected an error with {wanted!r}, got {error}")
        else:
            raise faults.Fault(f"{made} must be refused with UserError: visible is a share in (0, 1]")
