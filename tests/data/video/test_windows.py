"""Frames as the release takes them: which ones, which part of them, and when they are shown."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from prismlab.core import errors
from prismlab.data.video import decode, encode, sampling, windows
from prismlab.data.video.containers import container


def _clip(frames=24, height=32, width=48):
    video = np.zeros((frames, height, width, 3), np.uint8)
    return video + (5 * np.arange(frames) + 40).astype(np.uint8)[:, None, None, None]


MP4 = encode.encode(_clip(), 8, crf=1)


@given(st.integers(1, 300), st.integers(1, 32))
def test_a_whole_video_has_the_frames_of_the_release(length, frames):
    (window,) = windows.plan(np.arange(length) / 25, frames)
    np.testing.assert_array_equal(
        window.indices, np.linspace(0, length, num=frames, endpoint=False, dtype=np.int32)
    )
    assert window.frames == length
    assert window.start == 0
    assert window.end == pytest.approx(length / 25 if length > 1 else 0)


@given(st.lists(st.floats(0.001, 30), max_size=80), st.floats(0.05, 20), st.integers(1, 9))
def test_windows_part_the_video(gaps, stride, frames):
    times = np.cumsum([0.0, *gaps])
    found = windows.plan(times, frames, stride)
    assert sum(window.frames for window in found) == len(times)
    for window in found:
        assert len(window.indices) == frames
        assert (np.diff(window.indices) >= 0).all()
        assert window.start - 2e-6 <= window.times.min()
        assert window.times.max() < window.start + stride
        assert window.end <= window.start + stride
    assert all(a.indices[-1] < b.indices[0] for a, b in itertools.pairwise(found))


def test_pictures_are_the_decoded_ones_and_repeated_where_there_are_too_few():
    whole = decode.decode(MP4)
    for frames, stride in ((8, None), (30, None), (3, 0.5), (6, 0.7)):
        for window, clip in windows.read(MP4, frames, 32, stride):
            np.testing.assert_array_equal(clip, whole[window.indices][:, :, 8:40])
    assert [w.frames for w, _ in windows.read(MP4, 2, 32, 1.0)] == [8, 8, 8]
    assert [(w.start, w.end) for w, _ in windows.read(MP4, 2, 32, 2.0)] == [(0, 2), (2, 3)]


def test_a_frame_is_cut_to_its_centre_and_resized_with_lanczos():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (20, 33, 3), np.uint8)
    wanted = Image.fromarray(pixels[:, 6:26]).resize((9, 9), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(sampling.centre_frame(pixels, 9), np.asarray(wanted))
    np.testing.assert_array_equal(sampling.centre_frame(pixels, 20), pixels[:, 6:26])


def test_a_video_that_says_it_is_too_long_is_refused_at_once(monkeypatch):
    limits = container.Limits(max_frames=20)
    monkeypatch.setattr(container, "decoded", None)  # it must not come to that
    with pytest.raises(errors.UserError, match=r"video in memory: expected at most 20 frames.*hours.*24"):
        next(windows.read(MP4, 4, 16, limits=limits))


@pytest.mark.parametrize(("frames", "stride"), [(0, None), (4, 0.0), (4, float("nan")), (4, float("inf"))])
def test_settings_that_cannot_be_meant_are_refused(frames, stride):
    with pytest.raises(errors.UserError, match="expected frames"):
        next(windows.read(MP4, frames, 16, stride))
