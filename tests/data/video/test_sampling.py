"""Which frames and which pixels: indices in order, the release's rule, crops that keep what they must."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from prismlab.core import errors
from prismlab.data.video import sampling

quick = settings(max_examples=50, deadline=None)
lengths = st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


def clip(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


@quick
@given(lengths)
def test_uniform_follows_the_releases_rule(sizes):
    length, frames = sizes
    indices = sampling.uniform(length, frames)
    assert np.array_equal(indices, np.linspace(0, length, num=frames, endpoint=False, dtype=np.int32))
    assert indices[0] == 0
    assert indices[-1] < length
    assert np.all(np.diff(indices) > 0)


@quick
@given(lengths, st.integers(0, 10))
def test_segments_give_one_frame_of_each_segment(sizes, seed):
    length, frames = sizes
    edges = np.append(sampling.uniform(length, frames), length)
    indices = sampling.segments(length, frames, np.random.default_rng(seed))
    assert np.all(edges[:-1] <= indices)
    assert np.all(indices < edges[1:])
    assert np.array_equal(indices, sampling.segments(length, frames, np.random.default_rng(seed)))


def test_segments_reach_every_frame():
    rng = np.random.default_rng(0)
    seen = {int(index) for _ in range(200) for index in sampling.segments(10, 3, rng)}
    assert seen == set(range(10))


@quick
@given(st.integers(0, 20), st.integers(1, 20))
def test_a_clip_shorter_than_asked_is_refused(length, more):
    with pytest.raises(errors.UserError, match=f"{length + more} frames or more, got {length};"):
        sampling.uniform(length, length + more)
    with pytest.raises(errors.UserError, match="frames"):
        sampling.segments(length, length + more, np.random.default_rng(0))


@quick
@given(st.integers(1, 3), st.integers(2, 24), st.integers(0, 5))
def test_a_full_crop_of_a_square_clip_at_its_own_size_is_the_identity(frames, side, seed):
    video = clip(frames, side, side, seed)
    assert np.array_equal(sampling.Crop()(video, side, np.random.default_rng(seed)), video)
    assert np.array_equal(sampling.centre(video, side), video)


@quick
@given(st.integers(4, 24), st.integers(0, 30))
def test_flipping_twice_gives_the_clip_back(side, seed):
    video, crop = clip(2, side, side), sampling.Crop(flip=True)
    once = crop(video, side, np.random.default_rng(seed))
    assert np.array_equal(once, video) or np.array_equal(once, video[:, :, ::-1])
    assert np.array_equal(crop(once, side, np.random.default_rng(seed)), video)


def test_half_of_the_clips_are_flipped():
    video, crop, rng = clip(1, 4, 4), sampling.Crop(flip=True), np.random.default_rng(0)
    kept = sum(np.array_equal(crop(video, 4, rng), video) for _ in range(400))
    assert 150 < kept < 250


@quick
@given(st.integers(3, 30), st.integers(3, 30), st.integers(1, 20), st.floats(0.1, 1.0), st.integers(0, 9))
def test_crops_have_the_resolution_asked_for(height, width, resolution, least, seed):
    result = sampling.Crop(least, flip=True)(clip(2, height, width), resolution, np.random.default_rng(seed))
    assert result.shape == (2, resolution, resolution, 3)
    assert result.dtype == np.uint8
    assert sampling.centre(clip(2, height, width), resolution).shape == result.shape


@quick
@given(st.integers(6, 30), st.integers(6, 30), st.floats(0.2, 0.99), st.integers(0, 99))
def test_a_crop_is_one_square_of_the_clip_the_same_in_all_frames(height, width, least, seed):
    # A pixel that holds its own place tells where the crop was.
    places = np.stack(
        [*np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), np.zeros((height, width))], -1
    )
    video = np.stack([places] * 3).astype(np.uint8)
    rng = np.random.default_rng(seed)
    side = max(1, round(min(height, width) * np.random.default_rng(seed).uniform(least, 1.0)))
    result = sampling.Crop(least)(video, side, rng)
    assert np.array_equal(result[0], result[1])
    top, left = result[0, 0, 0, :2]
    assert np.array_equal(result[0], places[top : top + side, left : left + side])
    assert side >= round(least * min(height, width)) - 1


def test_the_centre_of_a_wide_clip_is_its_middle():
    video = clip(2, 4, 10)
    assert np.array_equal(sampling.centre(video, 4), video[:, :, 3:7])
    assert np.array_equal(sampling.Crop()(video, 4, np.random.default_rng(1)), video[:, :, 3:7])


@pytest.mark.parametrize("least", [0.0, -1.0, 1.01, float("nan")])
def test_shares_outside_their_range_are_refused(least):
    with pytest.raises(ValueError, match="least"):
        sampling.Crop(least)


def test_resizing_keeps_a_constant_frame_constant():
    video = np.full((1, 9, 9, 3), 77, np.uint8)
    assert np.array_equal(sampling.resize(video, 5), np.full((1, 5, 5, 3), 77))
    assert np.array_equal(sampling.resize(video, 13), np.full((1, 13, 13, 3), 77))


@given(height=st.integers(3, 20), width=st.integers(3, 20), resolution=st.integers(1, 24))
def test_evaluation_resizes_with_the_filter_of_the_official_demos(height, width, resolution):
    """mediapy.resize_image, which the demos call, is Pillow's Lanczos filter on a whole square frame."""
    video, side = clip(2, height, width), min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    for got, frame in zip(sampling.centre(video, resolution), video):
        cut = Image.fromarray(frame[top : top + side, left : left + side])
        expected = cut.resize((resolution, resolution), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(got, np.asarray(expected))
