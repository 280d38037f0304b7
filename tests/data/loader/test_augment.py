"""Changes of pixels: deterministic, of the same shape, the same for all frames."""

import numpy as np
import pytest

from prismlab.data.loader import augment

VIDEO = np.random.default_rng(0).integers(0, 256, (1, 24, 24, 3)).astype(np.uint8).repeat(3, axis=0)
CHANGES = [augment.ColourJitter(probability=1.0), augment.RandAugment(count=3, probability=1.0)]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: type(each).__name__)
def test_a_change_is_repeatable_and_equal_in_all_frames(change):
    different = 0
    for seed in range(20):
        done = change(VIDEO, np.random.default_rng(seed))
        assert done.shape == VIDEO.shape
        assert done.dtype == np.uint8
        assert np.array_equal(done, change(VIDEO, np.random.default_rng(seed)))
        assert np.array_equal(done[0], done[2])
        different += not np.array_equal(done, VIDEO)
    assert different > 15


@pytest.mark.parametrize("name", augment.OPERATIONS)
def test_every_operation_works_at_both_ends(name):
    for strength in (0.0, 1.0):
        for sign in (-1.0, 1.0):
            done = augment._each(VIDEO, augment.OPERATIONS[name](strength, sign, 24))
            assert done.shape == VIDEO.shape
            if not strength and name not in ("autocontrast", "equalize"):
                # A pure white pixel is solarised even at the threshold of 256; nothing else may move.
                assert np.abs(done.astype(int) - VIDEO).max() <= 1
    if name != "identity":
        assert not np.array_equal(augment._each(VIDEO, augment.OPERATIONS[name](1.0, 1.0, 24)), VIDEO) or (
            name == "autocontrast"  # the clip spans all values already
        )


def test_nothing_moves_where_place_matters():
    still = augment.RandAugment(count=2, probability=1.0, geometric=False)
    picture = np.zeros((1, 24, 24, 3), np.uint8)
    picture[:, :, :12] = 200
    for seed in range(30):
        done = still(picture, np.random.default_rng(seed)).astype(int)
        assert np.ptp(done[0, :, :10], axis=(0, 1)).max() == 0
        assert np.ptp(done[0, :, 14:], axis=(0, 1)).max() == 0


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (augment.ColourJitter, {"contrast": 1.5}),
        (augment.RandAugment, {"count": 0}),
        (augment.RandAugment, {"magnitude": 11.0}),
        (augment.RandAugment, {"probability": 2.0}),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(kind, fields):
    with pytest.raises(ValueError, match="|".join(fields)):
        kind(**fields)
