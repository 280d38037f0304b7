"""Clips are cut as frames come: what is held is bounded, shared by clips that overlap, and given up early."""

import time

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.corpus import clip_encoding, cutting
from prismlab.data.corpus.inputs import media
from prismlab.data.video import encode
from prismlab.data.video.containers import opening
from prismlab.data.video.presentation import clock

FRAME = 8 * 8 * 3  # bytes


class Frames:
    """A film of ten frames a second, which counts what was read of it."""

    def __init__(self, count, broken_at=None):
        self.count, self.broken_at, self.read = count, broken_at, 0

    def __iter__(self):
        for index in range(self.count):
            if index == self.broken_at:
                raise errors.UserError("film: damaged")
            self.read += 1
            yield lambda index=index: np.full((8, 8, 3), index, np.uint8), index / 10, 0.1


def cuts(*spans):
    return [media.Cut(f"c{index}", "words", *span) for index, span in enumerate(spans)]


def limits(frames):
    return opening.Limits(max_decoded_bytes=frames * FRAME)


def test_a_clip_is_given_when_it_ends_and_its_frames_are_dropped():
    film = Frames(100)
    spans = [(float(start), float(start + 1)) for start in range(10)]  # 10 frames each, 100 in all
    found = []
    for index, clip in cutting.cut(iter(film), "film", cuts(*spans), limits(11)):
        found.append(index)
        assert film.read <= 10 * (index + 1) + 1
        np.testing.assert_array_equal(clip.frames[:, 0, 0, 0], np.arange(10 * index, 10 * index + 10))
        np.testing.assert_allclose(clip.times, np.arange(10 * index, 10 * index + 10) / 10)
    assert found == list(range(10))


def test_clips_that_overlap_share_their_frames():
    found = dict(cutting.cut(iter(Frames(30)), "film", cuts(*[(0.0, 2.0)] * 50, (1.0, 3.0)), limits(31)))
    assert {len(found[index].frames) for index in range(50)} == {20}
    assert found[50].frames[:, 0, 0, 0].tolist() == list(range(10, 30))


def test_the_clip_that_began_first_is_refused_when_too_much_is_held():
    spans = cuts((None, None), (0.5, 1.0), (2.0, 2.5))
    found = dict(cutting.cut(iter(Frames(40)), "film", spans, limits(12)))
    assert isinstance(found[0], errors.UserError)
    assert "expected at most 0 MiB of pixels of clips at one moment" in str(found[0])
    assert [len(found[index].frames) for index in (1, 2)] == [5, 5]


def test_clips_before_damage_are_given_and_the_others_get_the_error():
    found = dict(cutting.cut(iter(Frames(40, 15)), "film", cuts((1.2, 3.0), (0.0, 1.0)), limits(99)))
    assert len(found[1].frames) == 10
    assert str(found[0]) == "film: damaged"


def test_reading_ends_with_the_last_clip():
    film = Frames(100)
    list(cutting.cut(iter(film), "film", cuts((0.0, 1.0)), limits(99)))
    assert film.read == 11


def test_frames_added_by_resampling_are_bounded():
    times = np.asarray([0.0, 1.0, 1000.0])
    clip = cutting.Pixels(np.zeros((3, 8, 8, 3), np.uint8), times)
    found = cutting.resample(clip, 30.0, "film", limits(100))
    with pytest.raises(errors.UserError, match=r"at 30 frames per second, got 45,000 frames; shorten"):
        raise found
    assert len(cutting.resample(clip, 0.01, "film", limits(100)).frames) == 15


def test_results_come_in_the_order_of_the_cuts():
    film = encode.encode(np.zeros((40, 16, 16, 3), np.uint8), 10)
    medium = media.Medium(
        "film", "video", tuple(cuts((2.0, 3.0), (9.0, 8.0), (0.0, 1.0))), read=lambda: [film]
    )
    found = list(clip_encoding.Jpeg(16)(medium, opening.Limits()))
    assert [cut.key for cut, _ in found] == ["c0", "c1", "c2"]
    assert [isinstance(made, clip_encoding.Made) for _, made in found] == [True, False, True]


def test_time_that_the_caller_takes_is_no_time_of_decoding():
    film = encode.encode(np.zeros((40, 16, 16, 3), np.uint8), 10)
    short = opening.Limits(seconds=0.5)

    def cut(timing):
        stream = cutting.of_video(film, "film", None, short, timing)
        found = []
        for _, clip in cutting.cut(stream, "film", cuts((0.0, 1.0), (3.0, 4.0)), short, timing):
            time.sleep(0.6)
            found.append(clip)
        return found

    assert all(isinstance(clip, cutting.Pixels) for clip in cut(clock.Timing()))
