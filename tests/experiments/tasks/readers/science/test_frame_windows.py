"""Clips around labelled frames: at the ends of a video, steps, frames that are left out."""

import pytest

from prismlab.core import errors
from prismlab.experiments.tasks.readers import clip_files, item_sets
from prismlab.experiments.tasks.readers.science import frame_windows
from tests.experiments.tasks.readers import written


def windows(tmp_path, frames, **fields):
    found = item_sets.Collector("x")
    files = clip_files.ClipFiles(written.videos(tmp_path, "a.mp4"))
    labels = [(frame % 3,) for frame in range(frames)]
    frame_windows.add(found, files, "a", labels, frames=frames, fps=30.0, **fields)
    return [(item.extra["frame"], item.extra["frames"], item.labels) for item in found.items]


def test_a_clip_has_the_label_of_its_middle_frame(tmp_path):
    assert windows(tmp_path, 6, length=4, every=1) == [
        (0, (0, 1), (0,)), (1, (0, 2), (1,)), (2, (0, 3), (2,)),
        (3, (1, 4), (0,)), (4, (2, 5), (1,)), (5, (3, 5), (2,)),
    ]  # fmt: skip


def test_steps_begin_in_their_middle(tmp_path):
    assert windows(tmp_path, 20, length=8, every=8) == [(4, (0, 7), (1,)), (12, (8, 15), (0,))]
    # A video that is shorter than a step still gives a clip.
    assert windows(tmp_path, 3, length=8, every=8) == [(1, (0, 2), (1,))]


def test_frames_that_are_left_out(tmp_path):
    assert [frame for frame, _, _ in windows(tmp_path, 4, length=1, every=1, keep={0, 1, 3})] == [
        0,
        1,
        3,
    ]


@pytest.mark.parametrize("wrong", [(0, 1, 30.0), (1, 0, 30.0), (1, 1, 0.0), (1, 1, float("nan"))])
def test_settings_are_checked(wrong):
    with pytest.raises(errors.UserError, match="length and every of 1 or more"):
        frame_windows.check(*wrong)
