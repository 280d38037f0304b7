"""Sequences of an untrimmed video: a step for each window, or for each of its frames, at its own time."""

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.features import feature_set, window_sequences
from prismlab.experiments.tasks.interface import items, segments


def sequences(durations, windows, frames):
    """Return sequences whose feature is the time of the frame (or of the window, with no frames)."""
    videos = tuple(items.Item(f"v{d:g}", extra={segments.DURATION: d}) for d in durations)
    found = items.ItemSet("videos", videos, ("a",), lambda item: None, multi_label=True)
    cut = windows.cut(found)
    shares = (np.arange(frames) + 0.5) / frames if frames else np.asarray(0.5)
    times = [item.start + (item.end - item.start) * shares for item in cut.items]
    array = np.asarray(times, np.float32)[:, None, ..., None]  # one view, one channel
    encoded = feature_set.Encoded(cut, feature_set.InMemory(array), {})
    return window_sequences.Sequences.of(found, encoded, windows)


def test_frames_are_steps_at_their_own_times():
    made = sequences([3.0, 2.0], window_sequences.Windows(1.0), 4)
    assert (made.step, made.first, made.length) == (0.25, 0.125, 12)
    x, present = made.take(np.asarray([0, 1]))
    expected = made.first + made.step * np.arange(12)
    np.testing.assert_allclose(x[0, :, 0], expected)
    np.testing.assert_allclose(x[1, :8, 0], expected[:8])
    assert present.sum(axis=1).tolist() == [12, 8]
    assert not x[1, 8:].any()


def test_the_frames_of_a_window_that_the_video_ends_in_keep_their_times():
    # The last window is 0.6 s of the video, over which its 10 frames are spread.
    made = sequences([1.6], window_sequences.Windows(1.0), 10)
    x, present = made.take(np.asarray([0]))
    assert present[0].sum() == 16
    expected = made.first + made.step * np.arange(16)
    assert np.abs(x[0, :16, 0] - expected).max() <= 0.5 * 0.6 / 10 + 1e-6  # half a frame of that window
    assert not x[0, 16:].any()


def test_windows_are_steps_where_they_have_one_vector():
    made = sequences([2.0], window_sequences.Windows(1.0, 0.5), 0)
    assert (made.step, made.first, made.length, made.frames) == (0.5, 0.5, 4, 1)
    x, _ = made.take(np.asarray([0]))
    np.testing.assert_allclose(x[0, :3, 0], [0.5, 1.0, 1.5])


def test_frames_of_overlapping_windows_and_tokens_are_refused():
    with pytest.raises(errors.UserError, match=r"hop=None, got windows of 1 s every 0\.5 s"):
        sequences([3.0], window_sequences.Windows(1.0, 0.5), 4)
    videos = items.ItemSet("v", (items.Item("x", extra={segments.DURATION: 1.0}),), (), lambda item: None)
    windows = window_sequences.Windows(1.0)
    tokens = feature_set.InMemory(np.zeros((1, 1, 2, 4, 3), np.float32))
    with pytest.raises(errors.UserError, match=r"found features of shape \[2, 4, 3\]"):
        window_sequences.Sequences.of(videos, feature_set.Encoded(windows.cut(videos), tokens, {}), windows)
