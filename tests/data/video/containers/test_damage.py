"""Sound files of every kind are read whole, and the same files are refused when they are cut."""

import io
import types
from fractions import Fraction

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from prismlab.core import errors
from prismlab.data.video import decode
from prismlab.data.video.containers import container, damage, framing, opening
from tests.data.video import films

HELD = [*(n / 10 for n in range(23)), 5.2]  # the frame before the last stays for 3 s


def from_open_group(codec: str) -> bytes:
    """Return a transport stream cut at a group whose first pictures refer to the group before it."""
    options = {
        "libx264": {"x264-params": "open-gop=1:bframes=3:scenecut=0:keyint=12"},
        "libx265": {"x265-params": "open-gop=1:bframes=3:scenecut=0:keyint=12:log-level=none"},
    }[codec]
    whole = films.written("mpegts", codec, [n / 10 for n in range(48)], options=options)
    with av.open(io.BytesIO(whole)) as opened:
        packets = [packet for packet in opened.demux(video=0) if packet.size]
    keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    leading = [n for n, each in enumerate(packets[keys[1] :]) if each.pts < packets[keys[1]].pts]
    assert leading, "no picture refers to the group before"
    return films.copied(whole, "mpegts", keys[1])


def with_empty_chunks(count: int) -> bytes:
    """Return an AVI of 24 frames that ends in empty chunks, as recorders of screens say "as before"."""
    film = films.written("avi", "mpeg4", [n / 25 for n in range(24)], options={"bf": "0"})
    buffer = io.BytesIO()
    with av.open(io.BytesIO(film)) as source, av.open(buffer, "w", format="avi") as target:
        track = target.add_stream_from_template(source.streams.video[0])
        data = [bytes(packet) for packet in source.demux(video=0) if packet.size]
        for number, each in enumerate([*data, *[b""] * count]):
            packet = av.Packet(each)
            packet.stream, packet.time_base, packet.is_keyframe = track, Fraction(1, 25), number == 0
            packet.pts = packet.dts = number
            target.mux(packet)
    return buffer.getvalue()


# 12 frames of H.264, each in two packets of one field.
FIELDS = (films.SAMPLES / "paff_start.ts").read_bytes()
SPAN = [n / 10 for n in range(24)]
LONG = [n / 10 for n in range(60)]
SOUND = {
    "field pictures, TS": lambda: FIELDS,
    "field pictures, MP4": lambda: films.index_first(films.copied(FIELDS, "mp4")),
    "field pictures, Matroska": lambda: films.copied(FIELDS, "matroska"),
    "hidden pictures, WebM": lambda: (films.SAMPLES / "vp8_altref.webm").read_bytes(),
    "hidden pictures, Matroska": lambda: films.copied(
        (films.SAMPLES / "vp8_altref.webm").read_bytes(), "matroska"
    ),
    "open group, H.264": lambda: from_open_group("libx264"),
    "open group, HEVC": lambda: from_open_group("libx265"),
    "last frame stays, MP4": lambda: films.index_first(
        (films.SAMPLES / "last_frame_held_3s.mp4").read_bytes()
    ),
    "last frame stays, Matroska": lambda: films.copied(
        (films.SAMPLES / "last_frame_held_3s.mp4").read_bytes(), "matroska"
    ),
    "last frame stays, FLV": lambda: films.copied(
        (films.SAMPLES / "last_frame_held_3s.mp4").read_bytes(), "flv"
    ),
    "last frame stays, AVI": lambda: with_empty_chunks(50),
    "sound outlasts, Matroska": lambda: films.written("matroska", times=SPAN, sound=(0, 9)),
    "sound outlasts, MP4": lambda: films.index_first(films.written("mp4", times=SPAN, sound=(0, 9))),
    "sound outlasts, TS": lambda: films.written("mpegts", times=SPAN, sound=(0, 9), sound_codec="mp2"),
    "sound outlasts, FLV": lambda: films.written("flv", times=SPAN, sound=(0, 9)),
    "sound outlasts, AVI": lambda: films.written(
        "avi", "mpeg4", [n / 25 for n in range(24)], sound=(0, 9), sound_codec="mp2"
    ),
    "sound outlasts, ASF": lambda: films.written("asf", "msmpeg4", SPAN, sound=(0, 9), sound_codec="mp2"),
    "sound outlasts, ASF, pictures late": lambda: films.written(
        "asf", "msmpeg4", [2 + n / 10 for n in range(24)], sound=(0, 5), sound_codec="mp2"
    ),
    "sound outlasts, WebM": lambda: films.written(
        "webm", "libvpx", SPAN, sound=(0, 9), sound_codec="libopus"
    ),
    "sound is shorter, Matroska": lambda: films.written("matroska", times=LONG, sound=(0, 1)),
    "sound is shorter, MP4": lambda: films.index_first(films.written("mp4", times=LONG, sound=(0, 1))),
    "sound in the middle, Matroska": lambda: films.written("matroska", times=LONG, sound=(2, 3)),
    "variable rate, Matroska": lambda: films.written("matroska", times=HELD, sound=(0, 5)),
    "variable rate, FLV": lambda: films.written("flv", times=HELD, sound=(0, 5)),
    "Ogg": lambda: films.written("ogg", "libvpx", LONG, sound=(0, 6), sound_codec="libopus"),
    "ASF": lambda: films.written("asf", "msmpeg4", LONG, sound=(0, 6), sound_codec="mp2"),
    "AVI": lambda: films.written("avi", "mpeg4", [n / 25 for n in range(60)], options={"bf": "0"}),
    "MPEG": lambda: films.written(
        "mpeg", "mpeg2video", [n / 25 for n in range(60)], sound=(0, 3), sound_codec="mp2"
    ),
    "YUV4MPEG": lambda: films.written("yuv4mpegpipe", "rawvideo", [n / 25 for n in range(60)]),
    "HEVC": lambda: films.written("matroska", "libx265", LONG, options={"x265-params": "log-level=none"}),
    "VP9": lambda: films.written("webm", "libvpx-vp9", LONG),
}


COUNT = {
    "field pictures": 12,
    "hidden pictures": 96,
    "last frame stays": 24,
    "sound outlasts": 24,
    "variable rate": 24,
}


@pytest.mark.parametrize("kind", SOUND)
def test_a_sound_file_is_read_whole_and_a_cut_one_refused(kind: str) -> None:
    video = SOUND[kind]()
    frames = decode.count_frames(video)
    if kind.startswith("open group"):
        assert films.numbers(decode.decode(video))[-1] == 47
        assert 30 <= frames <= 47
    else:
        assert frames == COUNT.get(kind.split(",")[0], 60)
    for share in (0.5, 0.75, 0.93):
        length = int(len(video) * share)
        # Whole packets of a transport stream, and whole packs of a program stream, promise nothing more.
        length -= length % 188 == 0 or length % 2048 == 0
        with pytest.raises(errors.UserError, match=r"truncated|damaged"):
            decode.count_frames(video[:length])
    if kind.startswith("sound outlasts"):
        return  # a hole in the sound harms no picture
    empty = len(video) * 6 // 10
    with pytest.raises(errors.UserError, match=r"truncated|damaged|at least one frame"):
        decode.count_frames(video[:empty] + bytes(len(video) - empty))


def test_zeros_in_place_of_the_tags_of_flv_are_a_hole_whatever_their_number() -> None:
    # Zeros read as tags of no type and no length, 15 bytes each, which may end where the file ends.
    video = films.written("flv", times=HELD, sound=(0, 5))
    begin = len(video) * 6 // 10
    for zeros in range(len(video) - begin - 14, len(video) - begin + 1):
        with pytest.raises(errors.UserError, match="ends where its container says"):
            decode.count_frames(video[:begin] + bytes(zeros))


def test_a_few_zeros_after_the_last_tag_of_flv_are_padding() -> None:
    video = films.written("flv", times=HELD, sound=(0, 5))
    assert decode.count_frames(video + bytes(15 * 8)) == 24


def test_the_sample_of_half_a_download_is_refused() -> None:
    video = (films.SAMPLES / "truncated_av.mkv").read_bytes()
    with pytest.raises(errors.UserError, match=r"film: .*ends after 5\.40 s of video: the file is truncated"):
        decode.count_frames(video, name="film")
    # Clips before the cut can be used: nobody reads to the end.
    assert films.numbers(decode.decode(video, start=1, end=2)) == list(range(10, 20))


def test_a_hole_inside_of_whole_units_is_refused() -> None:
    video = bytearray(films.written("matroska", "libvpx", [n / 25 for n in range(60)], options={"g": "1"}))
    start = len(video) // 2
    video[start : start + len(video) // 3] = bytes(len(video) // 3)
    with pytest.raises(errors.UserError, match=r"truncated|damaged"):
        decode.count_frames(bytes(video))


class _Streams(list):
    audio = ()


def _check(
    packets: list[int], frames: list[int], size: int = 900, name: str = "nut", seconds: float | None = None
) -> None:
    tick = Fraction(1, 10)
    stream = films.like(
        VideoStream,
        type="video",
        index=0,
        average_rate=Fraction(10),
        start_time=0,
        duration=None,
        time_base=tick,
    )
    file = films.like(
        InputContainer,
        format=types.SimpleNamespace(name=name),
        start_time=0,
        streams=_Streams([stream]),
        duration=None if seconds is None else int(seconds * 1e6),
    )
    received = damage.Received(file, stream)
    for each in packets:
        times = {"pts": each, "dts": each, "pos": each * 100, "duration": 1, "time_base": tick}
        packet = films.like(Packet, size=size, stream=stream, stream_index=0, is_discard=False, **times)
        received.packet(packet)
    for each in frames:
        received.frame(films.like(VideoFrame, pts=each))
    received.check(io.BytesIO(b"?" * 40), "film")


def test_packets_are_not_frames_but_a_run_of_them_shows_some() -> None:
    every = list(range(100))
    _check(every, every)
    _check(every, every[::2])  # fields
    _check(every, every[40:])  # pictures before the first key frame
    for frames in ([*every[:40], *every[60:]], every[:80]):
        with pytest.raises(
            errors.UserError, match=r"film: expected frames from all of the video, got none from 2"
        ):
            _check(every, frames)
        _check(every, frames, size=9)  # "not coded" pictures of MPEG-4


def test_a_stored_duration_is_compared_and_a_computed_one_is_not() -> None:
    every = list(range(100))
    _check(every, every, name="mxf", seconds=10)
    with pytest.raises(
        errors.UserError, match=r"film: expected 20\.00 s of video, got 10\.00 s: the file is trunc"
    ):
        _check(every, every, name="mxf", seconds=20)
    _check(every, every, name="mpeg", seconds=20)


# Container and encoder -> whether FFmpeg reads a second recording after the first one.
JOINED = {
    "mp4": ("libx264", False),
    "mov": ("mpeg4", False),
    "flv": ("flv", False),
    "asf": ("mpeg4", False),
    "nut": ("mpeg4", False),
    "matroska": ("libx264", True),
    "webm": ("libvpx", True),
    "avi": ("mpeg4", True),
    "mpegts": ("libx264", True),
}


@pytest.mark.parametrize("kind", JOINED)
def test_joined_files_are_read_whole_or_refused(kind: str) -> None:
    codec, both = JOINED[kind]
    one, other = (films.written(kind, codec, [n / 25 for n in range(count)]) for count in (24, 12))
    assert decode.count_frames(one) == 24
    if both:
        assert decode.count_frames(one + other) == 36
        return
    with pytest.raises(errors.UserError, match="film: expected one recording, got the files of several"):
        decode.count_frames(one + other, name="film")
    # A clip of the first recording can be used, as of a cut file.
    assert films.numbers(decode.decode(one + other, start=0.04, end=0.12)) == [1, 2]


@pytest.mark.parametrize("kind", ["flv", "nut"])
def test_a_search_for_a_second_recording_keeps_the_limits(kind: str) -> None:
    two = films.written(kind, JOINED[kind][0]) * 2
    assert framing.framing(io.BytesIO(two), kind).joined
    guarded = opening.Guarded(io.BytesIO(two), opening.Limits(seconds=-1), "film")
    assert not framing.framing(guarded, kind).joined


def test_a_repeated_header_is_no_second_recording() -> None:
    film = films.index_first(films.written("mp4"))
    index = film.index(b"moov") - 4
    length = int.from_bytes(film[index : index + 4], "big")
    again = film + film[index : index + length]
    assert framing.framing(io.BytesIO(again), "mov").joined
    assert decode.count_frames(again) == 24
    nut = films.written("nut", "mpeg4")
    assert decode.count_frames(bytes(30) + nut) == 24


def test_a_promised_size_that_no_file_has_is_cut() -> None:
    head = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + bytes(24) + b"\xff" * 8
    assert framing.framing(io.BytesIO(head), "asf") == framing.Framing(False)


def test_limits_hold_while_units_are_followed() -> None:
    units = b"\xec\x80" * 5000
    assert framing.framing(io.BytesIO(units), "matroska,webm").whole is None
    guarded = opening.Guarded(io.BytesIO(units), opening.Limits(seconds=-1), "film")
    assert framing.framing(guarded, "matroska,webm").whole is False
    with pytest.raises(errors.UserError, match="film: expected opening and decoding within"):
        guarded.check(0)
    assert container.SLACK < 1e-3
    assert np.isfinite(container.SLACK)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_a_broadcast_recorded_from_anywhere_is_sound(codec: str) -> None:
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    video = films.written("mpegts", codec, [n / 25 for n in range(48)], options=quiet)
    for packet in (7, 20, 31):
        assert films.numbers(decode.decode(video[188 * packet :]))[-1] == 47
