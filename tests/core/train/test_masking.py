"""Every mask policy keeps an exact number of tokens; the shipped ones also have the shape they promise."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.core.train import learner, masking, objective
from prismlab.experiments.kit import mask_contract

POLICIES = [
    value
    for value in vars(masking).values()
    if isinstance(value, type) and dataclasses.is_dataclass(value) and hasattr(value, "sample")
]


def test_the_walk_finds_the_policies():
    assert {masking.Tube, masking.BlockTube} <= set(POLICIES)


class TestMasks(mask_contract.MaskContract):
    """The contract that the kit gives to users' packages too."""

    kinds = POLICIES


def _agreement(place, frames, side):
    """Return how often a hidden token's neighbour (right, below, next frame) is hidden too."""
    hidden = np.ones((len(place), frames * side * side), bool)
    hidden[np.arange(len(place))[:, None], place] = False
    hidden = hidden.reshape(-1, frames, side, side)
    pairs = [
        (hidden[..., :-1], hidden[..., 1:]),
        (hidden[..., :-1, :], hidden[..., 1:, :]),
        (hidden[:, :-1], hidden[:, 1:]),
    ]
    return [(a & b).sum() / a.sum() for a, b in pairs]


def test_block_tubes_hide_neighbours_together():
    # Few are hidden, so that hidden blocks cannot be taken for what visible blocks leave over.
    frames, side, visible = 4, 8, 0.8
    place = np.asarray(
        mask_contract.draw(masking.BlockTube(visible), frames, side * side, 64)(jax.random.key(0))
    )
    random = np.random.default_rng(0)
    chance = np.sort([random.permutation(frames * side * side)[: place.shape[1]] for _ in range(64)])
    blocks, alone = _agreement(place, frames, side), _agreement(chance, frames, side)
    np.testing.assert_allclose(alone, 0.2, atol=0.05)
    assert min(blocks) > 0.5, blocks


def test_blocks_need_a_square_grid():
    with pytest.raises(errors.UserError, match="square grid of patches, got 12; use Tube"):
        masking.BlockTube().sample(2, 12, key=jax.random.key(0))


def test_without_proposals_the_rest_is_hidden_at_random():
    place = masking.BlockTube(0.25, proposals=0).sample(2, 16, key=jax.random.key(0))
    assert place.shape == (8,)


@given(seed=st.integers(0, 99))
def test_visible_grid_is_true_exactly_at_the_places(seed):
    place = np.sort(np.random.default_rng(seed).permuted(np.tile(np.arange(12), (3, 1)), axis=1)[:, :5])
    grid = masking.visible_grid(jax.numpy.asarray(place, "int32"), 12)
    for row, kept in zip(np.asarray(grid), place):
        np.testing.assert_array_equal(np.flatnonzero(row), kept)


# Visible tokens of 4 frames of 9 patches with key 0. Masks of every recipe change with these numbers, so a
# change needs an entry in CHANGELOG.md.
PINNED = {
    masking.Tube(0.35): [4, 7, 8, 13, 16, 17, 22, 25, 26, 31, 34, 35],
    masking.BlockTube(0.35): [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 34],
}


@pytest.mark.parametrize("mask", PINNED, ids=str)
def test_draws_are_pinned(mask):
    view = objective.View("video", mask=mask)
    key = learner.mask_key(view, jax.random.key(0))
    assert mask.sample(4, 9, key=key).tolist() == PINNED[mask]


def test_a_new_field_with_a_default_draws_the_same_masks():
    new = dataclasses.make_dataclass("Tube", [("gap", int, 3)], bases=(masking.Tube,), frozen=True)
    for visible in (0.5, 0.2):
        assert masking.identity(masking.Tube(visible)) == masking.identity(new(visible))
    assert masking.identity(new(0.5, 4)) != masking.identity(new(0.5))
    assert masking.identity(masking.Tube(0.3)) != masking.identity(masking.BlockTube(0.3))
    assert masking.identity(None) == "None"
