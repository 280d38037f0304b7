"""A clip is known by its file or its bytes, never by its name or labels."""

import dataclasses
import os

import clips

from prismlab.experiments.tasks.features import row_identity
from prismlab.experiments.tasks.interface import items
from prismlab.experiments.tasks.readers import clip_files


def files(*found):
    return items.ItemSet("files", tuple(found), (), clip_files.load)


def test_clips_without_a_file_are_known_by_their_bytes():
    one, two = clips.made(3, "one"), clips.made(3, "two", classes=3)
    assert row_identity.of(one) == row_identity.of(two)
    assert len(set(row_identity.of(one))) == 3


def test_files_are_known_by_path_size_time_and_span(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"1234")
    item = items.Item("a", str(path), labels=())
    (plain,) = row_identity.of(files(item))
    (named,) = row_identity.of(files(dataclasses.replace(item, key="b", texts=("caption",), group="b")))
    assert plain == named
    (part,) = row_identity.of(files(dataclasses.replace(item, start=1.0)))
    (frames,) = row_identity.of(files(dataclasses.replace(item, extra={"frames": (0, 3), "fps": 30})))
    os.utime(path, ns=(1, 1))
    (touched,) = row_identity.of(files(item))
    assert len({plain, part, frames, touched}) == 4


def test_a_missing_video_that_arrives_is_another_clip(tmp_path):
    lost = items.Item("a", "", extra={"missing": "no video of this name"})
    (before,) = row_identity.of(files(lost))
    (tmp_path / "a.mp4").write_bytes(b"1")
    assert row_identity.of(files(items.Item("a", str(tmp_path / "a.mp4")))) != [before]
    gone = items.Item("b", str(tmp_path / "gone.mp4"))
    assert len(row_identity.of(files(lost, gone))) == 2


def test_folders_of_pictures_are_known_by_their_files(tmp_path):
    (tmp_path / "0.png").write_bytes(b"1")
    item = items.Item("a", str(tmp_path))
    (before,) = row_identity.of(files(item))
    (tmp_path / "1.png").write_bytes(b"1")
    assert row_identity.of(files(item)) != [before]
