"""Every kind of record becomes the pixels that went in, and a damaged or hostile picture one clear line."""

import io

import numpy as np
import pytest
from PIL import Image

from prismlab.core import errors
from prismlab.data.records import record
from prismlab.data.video import encode, frames
from prismlab.data.video.containers import container

RNG = np.random.default_rng(0)
CLIP = np.repeat(np.repeat(RNG.integers(0, 256, (6, 4, 6, 3), np.uint8), 8, 1), 8, 2)


def png(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


FRAMES = record.of_frames("clip", [png(each) for each in CLIP], "a caption")
IMAGE = record.Record("image", png(CLIP[0]), "a caption", kind="image")
VIDEO = record.Record("video", encode.encode(CLIP, 8, crf=0), "a caption")


@pytest.mark.parametrize(("each", "count"), [(FRAMES, 6), (IMAGE, 1), (VIDEO, 6)])
def test_all_frames(each: record.Record, count: int) -> None:
    made = frames.decode(each)
    assert made.dtype == np.uint8
    assert made.shape == (count, 32, 48, 3)
    assert np.abs(made.astype(int) - CLIP[:count]).mean() < (20 if each is VIDEO else 1e-9)


@pytest.mark.parametrize("each", [FRAMES, VIDEO, record.Record("v", VIDEO.video, "c", 0.0, 1.0)])
def test_chosen_frames_are_those_of_the_whole(each: record.Record) -> None:
    whole, order = frames.decode(each), [4, 0, 0, 5]
    np.testing.assert_array_equal(frames.decode(each, order), whole[order])
    with pytest.raises(errors.UserError, match=r"clip '\w+': expected frame 6 .*got 6"):
        frames.decode(each, [6])


def test_frames_of_a_cut_clip_count_from_its_start() -> None:
    cut = record.Record("cut", VIDEO.video, "c", 0.25, 0.5)
    np.testing.assert_array_equal(frames.decode(cut, [1]), frames.decode(VIDEO)[3:4])
    with pytest.raises(errors.UserError, match="expected frame 2"):
        frames.decode(cut, [2])


def test_only_chosen_pictures_are_decoded() -> None:
    broken = record.of_frames("clip", [png(CLIP[0]), b"no picture"], "a caption")
    assert frames.decode(broken, [0]).shape == (1, 32, 48, 3)
    with pytest.raises(errors.UserError, match=r"clip 'clip', frame 1: expected a readable image.*JPEG, PNG"):
        frames.decode(broken)


def test_short_side() -> None:
    for each in (FRAMES, IMAGE, VIDEO):
        assert frames.decode(each, short_side=16).shape[1:] == (16, 24, 3)


def test_a_turned_photo_comes_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    turned = record.Record("photo", png(np.rot90(CLIP[0]).copy(), exif=exif), "a caption", kind="image")
    np.testing.assert_array_equal(frames.decode(turned)[0], CLIP[0])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (8, 6)).save(buffer, "PNG")
    assert frames.picture(buffer.getvalue()).shape == (6, 8, 3)


@pytest.mark.parametrize("length", [0, 10, 60])
def test_cut_pictures(length: int) -> None:
    with pytest.raises(errors.UserError, match="here: expected a readable image"):
        frames.picture(png(CLIP[0])[:length], name="here")


def test_limits() -> None:
    limits = container.Limits(max_pixels=1000, max_frames=2, max_bytes=1 << 20)
    with pytest.raises(errors.UserError, match="at most 1000 pixels, got 48x32"):
        frames.decode(IMAGE, limits=limits)
    with pytest.raises(errors.UserError, match="at most 2 frames, got 6"):
        frames.decode(FRAMES, limits=limits)
    with pytest.raises(errors.UserError, match="at most 10 bytes"):
        frames.decode(IMAGE, limits=container.Limits(max_bytes=10))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    # 20,000 x 20,000 black pixels: 49 kB that would take 1.2 GB.
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    with pytest.raises(errors.UserError, match="expected"):
        frames.picture(buffer.getvalue())


def test_frames_of_several_sizes() -> None:
    mixed = record.of_frames("clip", [png(CLIP[0]), png(CLIP[0, :16])], "a caption")
    with pytest.raises(errors.UserError, match="frames of one size"):
        frames.decode(mixed)
