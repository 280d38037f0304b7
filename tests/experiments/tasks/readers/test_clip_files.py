"""Videos are found by exact name and never substituted; windows of frames are checked against the video."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from prismlab.core import errors
from prismlab.data.video import encode, frames
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import clip_files
from tests.experiments.tasks.readers import written


def ramp(count=24, fps=8):
    """A video whose frame i has grey value 10 i."""
    shades = np.arange(count, dtype=np.uint8)[:, None, None, None] * 10
    return encode.encode(np.broadcast_to(shades, (count, 16, 16, 3)), fps)


def test_videos_are_found_by_their_exact_name(tmp_path):
    root = written.videos(tmp_path, "a/-x_1.MP4", "b/run/clip_1.mp4", "b/walk/clip_1.webm", "x.txt")
    files = clip_files.ClipFiles(root)
    assert files.fields("-x_1")["path"].endswith("videos/a/-x_1.MP4")
    assert files.fields("walk/clip_1")["path"].endswith("b/walk/clip_1.webm")
    for name, reason in [
        ("clip_1", "two videos of this name"),
        ("jump/clip_1", "no video of this name"),
        ("alk/clip_1", "no video of this name"),
        ("x", "no video of this name"),
        ("../videos/a/-x_1", "no video of this name"),
    ]:
        item = clip_files.item(files, "key", name)
        assert reason in item.extra["missing"]
        with pytest.raises(errors.UserError, match=reason):
            clip_files.load(item)


def test_a_window_of_frames_is_exactly_those_frames(tmp_path):
    (tmp_path / "a.mp4").write_bytes(ramp())
    item = items.Item("k", str(tmp_path / "a.mp4"), extra={"frames": (3, 6), "fps": 8.0})
    clip = clip_files.load(item)
    assert clip.frame_count == 4
    found = frames.decode(clip).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found, [30, 40, 50, 60], atol=3)
    for wrong in ({"frames": (3, 6), "fps": 4.0}, {"frames": (20, 30), "fps": 8.0}):
        with pytest.raises(errors.UserError, match="frames a second, found"):
            clip_files.load(dataclasses.replace(item, extra=wrong))


def test_pictures_in_a_folder_are_frames_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / "Z0001.1"
    folder.mkdir()
    for number in range(1, 13):
        picture = io.BytesIO()
        Image.new("RGB", (16, 16), (number * 10,) * 3).save(picture, "PNG")
        (folder / f"{number}.png").write_bytes(picture.getvalue())
    files = clip_files.ClipFiles(str(tmp_path))
    item = clip_files.item(files, "k", "Z0001.1", extra={"frames": (8, 10), "fps": 30.0})
    assert [int(x) for x in frames.decode(clip_files.load(item)).mean(axis=(1, 2, 3))] == [90, 100, 110]
    with pytest.raises(errors.UserError, match="expected 21 pictures or more, found 12"):
        clip_files.load(dataclasses.replace(item, extra={"frames": (8, 20), "fps": 30.0}))
    with pytest.raises(errors.UserError, match="needs a video"):
        clip_files.load(dataclasses.replace(item, start=1.0, extra={}))
    (folder / "5.png").unlink()
    clip_files._numbered.cache_clear()
    with pytest.raises(errors.UserError, match="gaps in the numbers"):
        clip_files.load(item)


def test_a_video_that_arrives_later_changes_the_digest(tmp_path):
    root = written.videos(tmp_path, "a.mp4")
    table = written.text(tmp_path, "t.csv", "a")
    before = clip_files.digest((table, ""), root)
    assert clip_files.digest((table, ""), root) == before
    written.videos(tmp_path, "b.mp4")
    after = clip_files.digest((table, ""), root)
    written.text(tmp_path, "t.csv", "b")
    assert len({before, after, clip_files.digest((table, ""), root)}) == 3
