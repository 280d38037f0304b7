"""Long clips: motions apart from each other, shown at the times of the ground truth, rest in between."""

import dataclasses
import itertools

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.world import render, untrimmed, world

LOOK = world.World(resolution=16, pixel_noise=0.0)
LONG = untrimmed.Untrimmed(LOOK, clips=60)


def test_motions_are_apart_and_inside_the_clip():
    counts = set()
    for index in range(len(LONG)):
        spans = LONG.spans(index)
        counts.add(len(spans))
        edges = [0, *[edge for first, end, _ in spans for edge in (first, end)], LONG.frames]
        assert edges == sorted(edges)
        assert all(LONG.shortest <= end - first <= LONG.longest for first, end, _ in spans)
        assert all(after[0] - before[1] >= LONG.rest for before, after in itertools.pairwise(spans))
    assert counts == {1, 2, 3, 4}


def test_frames_change_exactly_while_a_motion_lasts():
    for index in range(4):
        video = LONG.video(index).astype(int)
        assert video.shape == (96, 16, 16, 3)
        changed = np.abs(np.diff(video, axis=0)).max(axis=(1, 2, 3)) > 0
        truth = LONG.truth(index)
        moving = np.zeros(96, bool)
        for start, end, _ in truth.segments:
            moving[round(start * LONG.fps) : round(end * LONG.fps)] = True
        np.testing.assert_array_equal(changed, moving[1:])


def test_the_clips_depend_on_seed_and_split_and_not_on_their_number():
    other = dataclasses.replace(LONG, look=dataclasses.replace(LOOK, split="test"))
    assert LONG.truth(3) != other.truth(3)
    assert LONG.truth(3) == dataclasses.replace(LONG, clips=5).truth(3)
    assert "then" in " ".join(LONG.caption(index) for index in range(9))


def test_it_is_rendered_as_any_world(tmp_path):
    few = untrimmed.Untrimmed(LOOK, clips=2, frames=30, most=1)
    render.render(few, tmp_path, workers=0)
    lines = (tmp_path / "captions.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert '"end": 3.75' in lines[0]
    assert '"segments": [[' in (tmp_path / "truth.jsonl").read_text()


def test_settings_that_leave_no_room_are_refused():
    with pytest.raises(errors.UserError, match="frames of 60 or more for 4 motions, got 50"):
        untrimmed.Untrimmed(LOOK, frames=50)
    with pytest.raises(errors.UserError, match="2 <= shortest <= longest"):
        untrimmed.Untrimmed(LOOK, shortest=9, longest=8)
