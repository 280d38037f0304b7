"""Images and folders of frames with captions beside them, down to decoded records."""

import pathlib

import numpy as np
import pytest

from prismlab.core import errors
from prismlab.data.corpus import clip_encoding
from prismlab.data.corpus.inputs import images, media
from prismlab.data.video import frames
from prismlab.data.video.containers import container

LIMITS = container.Limits()


def picture(path: pathlib.Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(clip_encoding.jpeg(np.full((24, 32, 3), level, np.uint8), 90))


def made(home, encode) -> list:
    return [pair for unit in home.units() for each in home.read(unit) for pair in encode(each, LIMITS)]


def test_images(tmp_path) -> None:
    picture(tmp_path / "a.jpg", 10)
    (tmp_path / "a.txt").write_text("ten\n")
    picture(tmp_path / "b/c.jpg", 200)
    (tmp_path / "b/c.json").write_text('{"caption": "two hundred", "n": 1}')
    picture(tmp_path / "d.jpg", 0)
    (one, first), (_, second), (last, fault) = made(images.Images(str(tmp_path)), clip_encoding.Jpeg(16))
    assert (one.key, first.record.kind, first.record.caption) == ("a.jpg", "image", "ten")
    assert frames.decode(first.record).shape == (1, 16, 21, 3)
    assert (second.record.labels, second.seconds) == ({"n": 1}, 0.0)
    assert isinstance(fault, errors.UserError)
    assert "expected a caption next to it, d.txt or .json" in last.fault


@pytest.mark.parametrize(
    "encode", [clip_encoding.H264(16), clip_encoding.Jpeg(16), clip_encoding.Untouched()]
)
def test_frame_folders_in_the_order_a_person_counts(tmp_path, encode) -> None:
    for number in (1, 2, 10):
        picture(tmp_path / f"clip/frame_{number}.jpg", 20 * number)
    (tmp_path / "clip/caption.txt").write_text("brighter")
    ((cut, clip),) = made(images.FrameFolders(str(tmp_path), fps=4.0), encode)
    assert (cut.key, clip.frames, clip.seconds) == ("clip", 3, 0.75)
    levels = frames.decode(clip.record).mean((1, 2, 3))
    assert np.abs(levels - [20, 40, 200]).max() < 4


def test_nothing_to_read(tmp_path) -> None:
    for home in (images.Images(str(tmp_path)), images.FrameFolders(str(tmp_path))):
        with pytest.raises(media.Stop, match="found none in it"):
            list(home.units())
