"""Clips of several sprites: a box and a motion each, apart from each other in the middle frame."""

import dataclasses

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.world import crowd, render, world

LOOK = world.World(resolution=32, smallest=0.12, largest=0.18, pixel_noise=0.0, contrast=0.0)
CROWD = crowd.Crowd(LOOK, clips=40)


def test_there_are_one_to_three_sprites_with_boxes_around_them():
    counts = []
    for index in range(len(CROWD)):
        found = CROWD.truth(index)
        counts.append(len(found.sprites))
        for one in found.sprites:
            x0, y0, x1, y1 = one.box
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
    assert set(counts) == {1, 2, 3}


def test_a_box_holds_what_is_drawn():
    alone = dataclasses.replace(CROWD, most=1)
    for index in range(6):
        frame = alone.video(index)[4].astype(int)
        rows, columns = np.nonzero(np.abs(frame - np.median(frame, axis=(0, 1))).max(-1) > 30)
        x0, y0, x1, y1 = np.asarray(alone.truth(index).sprites[0].box) * 32
        inside = (columns >= x0 - 1.5) & (columns <= x1 + 1.5) & (rows >= y0 - 1.5) & (rows <= y1 + 1.5)
        assert inside.mean() > 0.6  # the rest is the part that left the frame and came back


def test_it_is_rendered_as_any_world_and_the_splits_differ(tmp_path):
    render.render(dataclasses.replace(CROWD, clips=2), tmp_path, workers=0)
    assert '"motion"' in (tmp_path / "truth.jsonl").read_text()
    other = dataclasses.replace(CROWD, look=dataclasses.replace(LOOK, split="test"))
    assert CROWD.truth(0) != other.truth(0)
    assert CROWD.caption(0) != other.caption(0)


def test_settings_are_checked():
    with pytest.raises(errors.UserError, match=r"overlap in \[0, 1\]"):
        crowd.Crowd(LOOK, overlap=2)
