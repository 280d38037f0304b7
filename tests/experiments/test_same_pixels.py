"""One clip has the same pixels for every consumer, and a large clip never lies whole in memory."""

import dataclasses
import io
import pathlib
import tracemalloc

import numpy as np
import pytest
import scenes
from PIL import Image

from prismlab.core import errors
from prismlab.data.corpus import clip_encoding, clip_report
from prismlab.data.corpus.inputs import media
from prismlab.data.loader import clip_cache, loader, source, tokenizer
from prismlab.data.records import record
from prismlab.data.video import decode, encode, frames, sampling, windows
from prismlab.data.video.containers import container
from prismlab.data.video.presentation import geometry
from prismlab.experiments.tasks.features import views
from prismlab.experiments.tasks.interface import protocols

SIDE, T = 48, 4
LIMITS = container.Limits()


@dataclasses.dataclass(frozen=True)
class Case:
    """A video, the corners that are shown, and the traits that the doctor counts."""

    video: bytes
    shown: str
    traits: frozenset[str]


def _transparent() -> bytes:
    shape = np.dstack([scenes.PICTURE, np.full(scenes.PICTURE.shape[:2], 255, np.uint8)])
    shape[20:40, 30:60] = (*scenes.MAGENTA, 0)
    return scenes.written("mov", "png", [shape] * 9, "rgba")


def _photo() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 7
    Image.fromarray(scenes.PICTURE).save(buffer := io.BytesIO(), "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def _sample(name: str) -> bytes:
    return (scenes.SAMPLES / name).read_bytes()


CASES = {
    "plain": lambda: Case(encode.encode(np.stack([scenes.PICTURE] * 9), 10), "rgby", frozenset()),
    "mirrored": lambda: Case(_sample("orient_hflip.mp4"), "gryb", frozenset({geometry.MIRRORED})),
    "turned": lambda: Case(scenes.turned((0, 1, -1, 0)), "bryg", frozenset({geometry.ROTATED})),
    "singular": lambda: Case(_sample("zero_matrix.mp4"), "rgby", frozenset({geometry.SINGULAR})),
    "non-square": lambda: Case(_sample("sar_4_3.mp4"), "rgby", frozenset({geometry.NON_SQUARE})),
    "cropped": lambda: Case(_sample("clap_crop.mp4"), "rgby", frozenset({geometry.CROPPED})),
    "sizes": lambda: Case(_sample("size_change_aspect.ts"), "rgby", frozenset({geometry.RESIZED})),
    "transparent": lambda: Case(_transparent(), "rgby", frozenset({geometry.TRANSPARENT})),
    "photo": lambda: Case(_photo(), "ygbr", frozenset()),
}


class NoWords(tokenizer.Encoder):
    """Encoder of captions that has no words: only pixels are compared."""

    def __call__(self, text):
        """Return ids and paddings of an empty caption."""
        return np.zeros(8, np.int32), np.zeros(8, np.float32)


def batch_of(example: record.Record, folder: pathlib.Path, **settings) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames [t, r, r, 3] of one training example, and their numbers."""
    home = source.Shards(str(folder))
    words = tokenizer.Tokenizer((home,))  # not opened: captions are replaced below
    line = loader.Line({"one": home}, words, frames=T, resolution=SIDE, threads=1)
    line = dataclasses.replace(line, **settings)
    prepare = loader.stream.example.Prepare(
        line, NoWords(b"", 8, "no words"), 0,
        loader.stream.example.HostPlace(1),
    )  # fmt: skip
    item = loader.stream.example.Item("one", 0, example)
    made = prepare.map_with_index(0, [item])
    return made["video"][0], made["frames"][0]


def square(clip: np.ndarray) -> np.ndarray:
    """Return the crop of the loader: the centre, resized as in training."""
    return np.concatenate([sampling.Crop()(frame[None], SIDE, np.random.default_rng(0)) for frame in clip])


@pytest.mark.parametrize("name", CASES)
def test_every_consumer_sees_the_same_pixels(tmp_path, name) -> None:
    case = CASES[name]()
    whole = decode.decode(case.video)
    count = len(whole)
    assert scenes.corners(whole[0]) == case.shown
    path = tmp_path / "clip"
    path.write_bytes(case.video)
    chosen = [count - 1, 0]
    np.testing.assert_array_equal(decode.decode(path), whole)
    np.testing.assert_array_equal(decode.decode_frames(path, chosen), whole[chosen])
    for frame_count in (None, count):  # known: groups of pictures may be skipped
        example = record.Record("clip", case.video, "some words", frame_count=frame_count)
        assert frames.count(example) == count
        np.testing.assert_array_equal(frames.decode(example), whole)
        np.testing.assert_array_equal(frames.decode(example, chosen), whole[chosen])
        # embed
        ((window, clip),) = windows.read(path, T, SIDE)
        np.testing.assert_array_equal(clip, sampling.centre(whole[window.indices], SIDE))
        # evaluation
        how = protocols.Protocol(frames=T, resolution=SIDE, crop="three")
        (at,) = views.frame_indices(count, how)
        np.testing.assert_array_equal(views.of(example, how), views.crops(whole[at], how))
        # loader, and `data show`, which draws its batches
        if count >= T:
            for settings in ({}, {"cache_megabytes": 8}, {"cache_megabytes": 8, "num_views": 2}):
                video, numbers = batch_of(example, tmp_path, **settings)
                np.testing.assert_array_equal(video, square(whole[numbers]))
        # doctor
        found = clip_report.probe("home", example, (), sampled=2, resolution=SIDE, limits=LIMITS)
        assert (found.fault, found.frames, found.size) == ("", count, whole.shape[2:0:-1])
        assert found.traits == case.traits
    # prepare
    for kept in (
        clip_encoding.Untouched(),
        clip_encoding.Jpeg(None, quality=95),
        clip_encoding.H264(None, crf=1),
    ):
        one = media.Medium("clip", "video", (media.Cut("clip", "some words"),), path=str(path))
        ((_, made),) = kept(one, LIMITS)
        again = frames.decode(made.record)
        assert again.shape == whole.shape
        assert np.abs(again.astype(int) - whole).mean() < (
            1e-9 if isinstance(kept, clip_encoding.Untouched) else 3
        )


def test_every_consumer_refuses_an_odd_angle(tmp_path) -> None:
    video = scenes.turned((0.866, 0.5, -0.5, 0.866))
    example = record.Record("clip", video, "some words", frame_count=4)
    readers = (
        lambda: frames.decode(example),
        lambda: frames.decode(example, [1]),
        lambda: list(windows.read(video, T, SIDE)),
        lambda: views.of(example, protocols.Protocol(frames=T, resolution=SIDE)),
        lambda: batch_of(example, tmp_path),
    )
    for read in readers:
        with pytest.raises(errors.UserError, match="not a quarter turn"):
            read()
    found = clip_report.probe("home", example, (), sampled=2, resolution=SIDE, limits=LIMITS)
    assert "not a quarter turn" in found.fault
    assert found.traits == {geometry.OBLIQUE}


COUNT, LARGE = 40, 256
BIG = encode.encode(np.full((COUNT, LARGE, LARGE, 3), 90, np.uint8), 10, gop=40, crf=40)
WHOLE = COUNT * LARGE * LARGE * 3  # 7.5 MiB


@pytest.mark.parametrize("known", [None, COUNT])
@pytest.mark.parametrize("way", ["doctor", "evaluation", "cache", "no cache", "embed", "read_all"])
def test_a_large_clip_never_lies_whole_in_memory(tmp_path, monkeypatch, way, known) -> None:
    monkeypatch.setattr(clip_cache, "UNCACHED_BYTES", 1 << 20)
    example = record.Record("clip", BIG, "some words", frame_count=known)
    home = source.Shards("unused")
    monkeypatch.setattr(source.Shards, "open", lambda *_: [example])
    run = {
        "doctor": lambda: clip_report.probe("home", example, (), sampled=4, resolution=SIDE, limits=LIMITS),
        "evaluation": lambda: views.of(example, protocols.Protocol(frames=T, resolution=SIDE)),
        "cache": lambda: batch_of(example, tmp_path, cache_megabytes=1),
        "no cache": lambda: batch_of(example, tmp_path),
        "embed": lambda: list(windows.read(BIG, T, SIDE)),
        "read_all": lambda: loader.read_all(home, tmp_path, frames=T, resolution=SIDE),
    }[way]
    run()
    clip_cache._too_large.clear()
    tracemalloc.start()
    found = run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < WHOLE / 2
    if way == "doctor":
        assert (found.fault, found.frames, found.size) == ("", COUNT, (LARGE, LARGE))


def test_decoded_frames_have_a_budget() -> None:
    example = record.Record("clip", BIG, "some words")
    limits = container.Limits(max_decoded_bytes=WHOLE - 1)
    assert len(frames.decode(example, limits=container.Limits(max_decoded_bytes=WHOLE))) == COUNT
    for indices in (None, list(range(COUNT))):
        with pytest.raises(
            errors.UserError, match="clip 'clip': expected decoded frames of at most 7 MiB, got more"
        ):
            frames.decode(example, indices, limits=limits)
    assert len(frames.decode(example, short_side=64, limits=limits)) == COUNT


def test_a_clip_larger_than_the_cache_gives_the_same_batches(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 192, 256, 3), np.uint8)
    example = record.Record("clip", encode.encode(noise, 8), "some words")
    small, large = (batch_of(example, tmp_path, cache_megabytes=size) for size in (1, 64))
    np.testing.assert_array_equal(small[0], large[0])
    np.testing.assert_array_equal(small[1], large[1])
