"""The track that a player shows is decoded, and a cover never is."""

import types
from typing import Any

import pytest
from av.video.stream import VideoStream

from prismlab.core import errors
from prismlab.data.corpus import clip_report
from prismlab.data.records import record
from prismlab.data.video import decode
from prismlab.data.video.containers import opening, tracks
from tests.data.video import films

ALL = list(range(24))


@pytest.mark.parametrize("name", ["two_videos_default_second.mp4", "cover_before_track.mp4"])
def test_samples_give_the_film(name: str) -> None:
    video = (films.SAMPLES / name).read_bytes()
    assert decode.decode(video).shape == (24, 128, 128, 3)
    assert films.numbers(decode.decode(video)) == ALL
    assert films.numbers(decode.decode_frames(video, [7, 3], count=24)) == [7, 3]
    found = clip_report.probe(
        "home", record.Record("clip", video, "words"), (), sampled=2, resolution=16, limits=opening.Limits()
    )
    assert (found.fault, found.frames, found.size) == ("", 24, (128, 128))


@pytest.mark.parametrize("kind", ["matroska", "mpegts", "avi"])
def test_the_largest_track_is_shown_where_none_is_default(kind: str) -> None:
    options = {"default_mode": "passthrough"} if kind == "matroska" else {}
    video = films.written(kind, sides=(64, 128), muxer=options, options={"bf": "0"})
    assert films.numbers(decode.decode(video)) == ALL


@pytest.mark.parametrize("kind", ["mp4", "mov", "matroska"])
def test_a_cover_larger_than_the_film_is_not_shown(kind: str) -> None:
    # Matroska does not mark a cover that is written as a track, nor count its pictures.
    video = films.written(kind, covers=(256,), sides=(128,), sound=(0, 2.4))
    assert films.numbers(decode.decode(video)) == ALL


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "aac"), ("mp3", "libmp3lame"), ("flac", "flac")])
def test_sound_with_a_cover_is_refused_as_that(kind: str, codec: str) -> None:
    video = films.written(kind, "", sound=(0, 1), covers=(64,), sound_codec=codec)
    with pytest.raises(errors.UserError, match="expected a video stream, got sound with a cover picture"):
        decode.decode(video)


def test_a_track_of_one_frame_yields_to_a_film() -> None:
    video = films.written("mp4", sides=(256, 128))
    with opening.opened(video, opening.Limits(), "film") as (container, _):
        assert tracks.film(container, "film").width == 256
    assert tracks._rank(_track(1, 4096)) < tracks._rank(_track(24, 32))


def _track(frames: int, side: int) -> Any:
    context = types.SimpleNamespace(width=side, height=side, name="h264")
    return films.like(VideoStream, frames=frames, disposition=1, codec_context=context)
