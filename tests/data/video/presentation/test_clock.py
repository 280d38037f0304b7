"""One clock for clips, windows and tables: zero is what a player shows as zero, and time never steps back."""

import io
import itertools
import types
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.data.corpus import clip_report, cutting, doctor
from prismlab.data.corpus.inputs import media
from prismlab.data.records import record
from prismlab.data.video import decode, h264_groups, windows
from prismlab.data.video.containers import container, opening
from prismlab.data.video.presentation import clock, geometry
from tests.data.video import films

LATE = [2 + n / 10 for n in range(24)]
LATER = [5000 + n / 10 for n in range(24)]
PART = list(range(10, 20))  # the frames from 3 to 4 s of a film that begins at 2 s


def clip_numbers(video: bytes, start: float, end: float) -> list[int]:
    """Return the frames that corpus preparation cuts from a film."""
    stream = cutting.of_video(video, "film", None, opening.Limits())
    ((_, found),) = cutting.cut(stream, "film", [media.Cut("clip", "words", start, end)], opening.Limits())
    assert isinstance(found, cutting.Pixels), found
    return films.numbers(found.frames)


def test_times_mean_the_clock_of_the_file_not_its_first_picture() -> None:
    video = (films.SAMPLES / "video_starts_2s_after_audio.mkv").read_bytes()
    np.testing.assert_allclose(decode.frame_times(video), LATE, atol=1e-9)
    assert films.numbers(decode.decode(video, start=3, end=4)) == PART
    assert films.numbers(decode.decode_frames(video, [0, 9], start=3, end=4, count=10)) == [10, 19]
    assert clip_numbers(video, 3, 4) == PART
    (third, *_) = [window for window, _ in windows.read(video, 10, 16, 1.0) if window.start == 3.0]
    np.testing.assert_allclose(third.times, np.arange(3, 4, 0.1))


CONTAINERS = [
    *[("matroska", "libx264", "aac"), ("mp4", "libx264", "aac"), ("mov", "libx264", "aac")],
    *[("mpegts", "libx264", "mp2"), ("flv", "libx264", "aac"), ("webm", "libvpx", "libopus")],
    ("nut", "libx264", "flac"),
]


@pytest.mark.parametrize(("kind", "codec", "sound"), CONTAINERS)
def test_the_same_content_has_the_same_times_in_every_container(kind: str, codec: str, sound: str) -> None:
    times = [round(2.05 + n / 10, 2) for n in range(24)]
    video = films.written(kind, codec, times, sound=(0, 5), sound_codec=sound)
    np.testing.assert_allclose(decode.frame_times(video), times, atol=0.045)  # sound begins some ms early
    assert films.numbers(decode.decode(video, start=3, end=4)) == clip_numbers(video, 3, 4) == PART


@pytest.mark.parametrize("kind", ["mpegts", "matroska", "flv"])
@pytest.mark.parametrize("start", [0.0, pytest.param(1.4, marks=pytest.mark.slow), 20_000.0])
def test_a_large_start_time_is_no_part_of_the_content(kind: str, start: float) -> None:
    times = [start + 1 + n / 10 for n in range(24)]
    alone = films.written(kind, times=times)
    np.testing.assert_allclose(decode.frame_times(alone), np.arange(24) / 10, atol=2e-3)
    video = films.written(
        kind, times=times, sound=(start, start + 4), sound_codec="mp2" if kind == "mpegts" else "aac"
    )
    np.testing.assert_allclose(decode.frame_times(video), 1 + np.arange(24) / 10, atol=0.045)


def test_a_last_frame_that_stays_covers_the_time_that_it_stays() -> None:
    video = (films.SAMPLES / "last_frame_held_3s.mp4").read_bytes()
    assert clip_numbers(video, 2, 5) == [20, 21, 22, 23]
    stream = cutting.of_video(video, "film", None, opening.Limits())
    ((_, found),) = cutting.cut(stream, "film", [media.Cut("clip", "words", 2, 9)], opening.Limits())
    assert "got a video of 5.30 s" in str(found)


def fields() -> bytes:
    """Return the sample of field pictures."""
    return (films.SAMPLES / "paff_start.ts").read_bytes()


@pytest.mark.parametrize(
    ("video", "traits"),
    [
        (lambda: films.written("mp4"), set()),
        (lambda: films.written("mp4", sound=(0, 2.4)), set()),
        (lambda: films.written("avi", "mpeg4", [n / 25 for n in range(24)], options={"bf": "2"}), set()),
        (fields, {clock.FIELD_CODED}),
        (lambda: (films.SAMPLES / "vp8_altref.webm").read_bytes(), {clock.HIDDEN}),
        (lambda: films.written("matroska", times=LATE, sound=(0, 5)), {clock.LATE}),
        (lambda: films.written("mpegts") * 2, {clock.STEPS_BACK}),
    ],
)
def test_the_doctor_counts_what_is_odd_about_the_clock(video: Callable[[], bytes], traits: set[str]) -> None:
    example = record.Record("clip", video(), "some words")
    found = clip_report.probe("home", example, (), sampled=2, resolution=16, limits=opening.Limits())
    assert found.fault == ""
    assert set(clock.TRAITS) & found.traits == traits
    problems = doctor.report([found], None)["problems"]
    assert [name for name in clock.TRAITS if problems[name]["clips"]] == sorted(traits)
    assert bool(problems["interlaced"]["clips"]) == (video is fields)


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("mpegts", "mpeg2video", {"flags": "+ilme+ildct"}),
        ("avi", "mpeg4", {"flags": "+ilme+ildct"}),
        ("mp4", "libx264", {"x264-params": "interlaced=1"}),
        ("mp4", "libx264", {}),
    ],
)
def test_the_doctor_counts_interlaced_films_with_a_packet_for_each_frame(
    kind: str, codec: str, options: dict[str, str]
) -> None:
    film = films.written(kind, codec, [n / 25 for n in range(12)], options=options)
    example = record.Record("clip", film, "some words")
    found = clip_report.probe("home", example, (), sampled=2, resolution=16, limits=opening.Limits())
    assert (found.fault, found.frames) == ("", 12)
    problems = doctor.report([found], None)["problems"]
    assert problems[geometry.INTERLACED]["clips"] == bool(options)
    assert problems[clock.FIELD_CODED]["clips"] == 0


def test_empty_chunks_before_the_first_picture_of_avi_are_time() -> None:
    times = [2 + n / 25 for n in range(24)]
    video = films.written("avi", "mpeg4", times, sound=(0, 5), sound_codec="mp2", options={"bf": "2"})
    np.testing.assert_allclose(decode.frame_times(video), times, atol=0.05)
    assert films.numbers(decode.decode(video, start=2.4, end=2.8)) == clip_numbers(video, 2.4, 2.8)


def test_skipped_groups_count_on_the_same_clock() -> None:
    video = films.written("mp4", times=LATE, sound=(0, 5), options={"bf": "0", "x264-params": "open-gop=0"})
    found = h264_groups.chosen(video, {0, 9}, 10, (3.0, 4.0), opening.Limits())
    assert found is not None
    pixels = np.stack([found[number].frame.to_ndarray(format="rgb24") for number in (0, 9)])
    assert films.numbers(pixels) == [10, 19]


JOINED: dict[str, tuple[Callable[[], bytes], list[int]]] = {
    "sample": ((films.SAMPLES / "joined.ts").read_bytes, [*range(24), *range(24)]),
    "transport stream": (lambda: films.written("mpegts") * 2, [*range(24), *range(24)]),
    "with sound": (
        lambda: films.written("mpegts", sound=(0, 2.4), sound_codec="mp2") * 2,
        [*range(24), *range(24)],
    ),
    "a longer second": (
        lambda: films.written("mpegts") + films.written("mpegts", times=[n / 10 for n in range(40)]),
        [*range(24), *range(40)],
    ),
    # FFmpeg takes a clock that steps far back for one that ran over its 33 bits.
    "a second that began long before": (
        lambda: films.written("mpegts", times=LATER) + films.written("mpegts") * 2,
        [*range(24)] * 3,
    ),
    "program streams, the second earlier": (
        lambda: (
            films.written("mpeg", "mpeg2video", [5000 + n / 25 for n in range(24)])
            + films.written("mpeg", "mpeg2video", [n / 25 for n in range(24)])
        ),
        [*range(24)] * 2,
    ),
    "three": (lambda: films.written("mpegts") * 3, [*range(24)] * 3),
    "program stream": (
        lambda: films.written("mpeg", "mpeg2video", [n / 25 for n in range(24)]) * 2,
        [*range(24)] * 2,
    ),
}  # films whose clock steps back, and the frames that they show


@pytest.mark.parametrize("what", JOINED)
def test_recordings_that_were_joined_follow_one_another(what: str) -> None:
    joined, shown = JOINED[what]
    video = joined()
    times = decode.frame_times(video)
    assert films.numbers(decode.decode(video)) == shown
    assert (np.diff(times) > 0).all()
    period = np.median(np.diff(times))
    np.testing.assert_allclose(np.diff(times), period, atol=1e-3)
    for start, end in ((0, 9 * period), (period * 3, period * 30), (period * 22, period * 27), (0, 99)):
        first, last = container.inside(times, start, end)
        loaded = decode.decode(video, start=start, end=end)
        assert films.numbers(loaded) == shown[first:last]
        if end < 99:
            assert clip_numbers(video, start, end) == shown[first:last]
    found = windows.plan(times, 4, 12 * period)
    assert sum(window.frames for window in found) == len(shown)
    assert len(found) == -(-len(shown) // 12)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize("sound", [None, (0, 1.2)])
@pytest.mark.parametrize("pictures", ["0", "2"])
def test_avi_with_pictures_out_of_order(codec: str, sound: tuple[float, float] | None, pictures: str) -> None:
    times = [n / 25 for n in range(24)]
    video = films.written("avi", codec, times, sound=sound, sound_codec="mp2", options={"bf": pictures})
    np.testing.assert_allclose(decode.frame_times(video), times, atol=1e-2)
    assert films.numbers(decode.decode(video)) == list(range(24))


def test_avi_with_packed_pictures() -> None:
    video = packed(films.written("avi", "mpeg4", [n / 25 for n in range(25)], options={"bf": "1", "g": "50"}))
    times = decode.frame_times(video)
    assert films.numbers(decode.decode(video)) == list(range(25))
    np.testing.assert_allclose(times, np.arange(25) / 25, atol=1e-2)
    assert clip_numbers(video, 0.2, 0.6) == films.numbers(decode.decode(video, start=0.2, end=0.6))


def packed(video: bytes) -> bytes:
    """Return MPEG-4 in AVI with each B picture in the packet of the picture before it, as DivX packs them."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(video)) as source, av.open(buffer, "w", format="avi") as target:
        film = source.streams.video[0]
        track = target.add_stream_from_template(film)
        data = [bytes(packet) for packet in source.demux(film) if packet.size]
        data[0] = b"\0\0\1\xb2DivX503b1393p" + data[0]
        # Picture types of MPEG-4: the two bits after the start code 000001B6.
        kinds = [each[each.index(b"\0\0\1\xb6") + 4] >> 6 for each in data]
        out: list[bytes] = []
        for number, each in enumerate(data):
            if kinds[number] == 2 and kinds[number - 1] == 1:
                out[-1] += each
                out.append(b"\0\0\1\xb6\x50\x00\x7f")  # "not coded": as the frame before
            else:
                out.append(each)
        for number, each in enumerate(out):
            packet = av.Packet(each)
            packet.stream, packet.time_base = track, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = number == 0
            target.mux(packet)
    return buffer.getvalue()


TICKS = st.one_of(st.none(), st.integers(-50, 50))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(TICKS, TICKS), min_size=1, max_size=40), st.sampled_from(["avi", "mpegts", "mov,mp4"])
)
def test_time_ascends_whatever_the_file_says(stamps: list[tuple[int | None, int | None]], name: str) -> None:
    streams = types.SimpleNamespace(audio=[])
    file = films.like(
        InputContainer, format=types.SimpleNamespace(name=name), streams=streams, start_time=None
    )
    tick = Fraction(1, 10)
    film = films.like(VideoStream, average_rate=Fraction(10), start_time=None, time_base=tick)
    time_of = clock.Clock(file, film)
    frames = (films.like(VideoFrame, pts=pts, dts=dts, time_base=tick) for pts, dts in stamps)
    times = [time_of(frame) for frame in frames]
    assert times[0] == 0
    assert all(a < b for a, b in itertools.pairwise(times))
