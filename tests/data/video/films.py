"""Films for tests: every frame carries its number as eight grey fields, and sound may lie beside them."""

import functools
import io
import pathlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, ParamSpec

import av
import numpy as np

SAMPLES = pathlib.Path(__file__).parent / "samples"
P = ParamSpec("P")
RATE = 10  # frames per second of the films
HERTZ = 48_000  # samples of sound per second


def picture(number: int, side: int = 128) -> np.ndarray:
    """Return uint8 [side, side, 3] with a number of eight bits in the middle, as the sample files have it."""
    pixels = np.full((side, side, 3), 128, np.uint8)
    step = side // 8
    for place in range(8):
        bit = number >> (7 - place) & 1
        pixels[side * 3 // 8 : side * 5 // 8, place * step : (place + 1) * step] = 235 if bit else 16
    return pixels


def like(kind: type, **values: object) -> Any:
    """Return a stand-in for an object of PyAV, which Python cannot create: an instance with these fields."""
    made = _stand_in(kind)()
    made.__dict__.update(values)
    return made


@functools.cache
def _stand_in(kind: type) -> type:
    return type(f"Like{kind.__name__}", (), {"__class__": property(lambda self: kind)})


def numbers(video: np.ndarray) -> list[int]:
    """Return the number that each frame of a decoded film carries."""
    side = video.shape[1]
    bits = video[:, side // 2, side // 16 :: side // 8].mean(-1) > 128
    return [int("".join("01"[int(bit)] for bit in row), 2) for row in bits]


def _once(encode: Callable[P, bytes]) -> Callable[P, bytes]:
    """Return a function that encodes a film once in a process, whatever lists its arguments are."""
    made: dict[str, bytes] = {}

    @functools.wraps(encode)
    def call(*arguments: P.args, **more: P.kwargs) -> bytes:
        known = repr((arguments, sorted(more.items())))
        if known not in made:
            made[known] = encode(*arguments, **more)
        return made[known]

    return call


@_once
def written(
    kind: str = "matroska",
    codec: str = "libx264",
    times: Sequence[float] = tuple(n / RATE for n in range(24)),
    *,
    sides: Sequence[int] = (128,),
    sound: tuple[float, float] | None = None,
    covers: Sequence[int] = (),
    sound_codec: str = "aac",
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> bytes:
    """Return a file with video tracks (frame n at times[n] seconds), sound and JPEG covers.

    Args:
        kind: container format.
        codec: video encoder; empty for no video.
        times: seconds of each frame.
        sides: side in pixels of each video track, a track each; all but the last show the frames reversed.
        sound: seconds from and to which there is sound, or None.
        covers: sides of cover pictures, written before the film.
        sound_codec: encoder of the sound.
        options: options of the video encoder.
        muxer: options of the container.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind, options=muxer or {}) as opened:
        tracks, packets = [], []
        for side in covers:
            cover = opened.add_stream("mjpeg", rate=1)
            cover.width = cover.height = side
            cover.pix_fmt, cover.disposition = "yuvj420p", av.stream.Disposition.attached_pic
            packets += cover.encode(av.VideoFrame.from_ndarray(picture(255, side), format="rgb24"))
            packets += cover.encode(None)
        for side in sides if codec else ():
            track = opened.add_stream(codec, rate=25, options={"g": "12", **(options or {})})
            track.width = track.height = side
            track.pix_fmt, track.codec_context.time_base = "yuv420p", Fraction(1, 1000)
            if codec in ("mpeg2video", "mpeg4", "libvpx"):
                track.codec_context.bit_rate = 2_000_000
            if codec in ("mpeg2video", "mpeg4"):
                track.codec_context.time_base = Fraction(1, 25)
            tracks.append(track)
        audio = opened.add_stream(sound_codec, rate=HERTZ, layout="mono") if sound else None
        for track in tracks:
            for number, seconds in enumerate(times):
                shown = number if track is tracks[-1] else 255 - number
                frame = av.VideoFrame.from_ndarray(picture(shown, track.width), format="rgb24")
                frame.time_base = track.codec_context.time_base
                frame.pts = round(seconds / frame.time_base)
                packets += track.encode(frame)
            packets += track.encode(None)
        if audio and sound:
            audio.codec_context.time_base = Fraction(1, HERTZ)
            size = audio.codec_context.frame_size or 1024
            for start in range(round(sound[0] * HERTZ), round(sound[1] * HERTZ), size):
                frame = av.AudioFrame.from_ndarray(
                    (np.arange(size) % 50 * 200).astype(np.float32)[None] / 32768, format="flt", layout="mono"
                )
                frame.pts, frame.time_base, frame.sample_rate = start, Fraction(1, HERTZ), HERTZ
                for made in av.AudioResampler(audio.codec_context.format.name, "mono", HERTZ).resample(frame):
                    made.pts = start
                    packets += audio.encode(made)
            packets += audio.encode(None)
        for packet in sorted(packets, key=lambda each: float((each.dts or 0) * each.time_base)):
            opened.mux(packet)
    return buffer.getvalue()


def copied(video: bytes, kind: str, first: int = 0, muxer: dict[str, str] | None = None) -> bytes:
    """Return the film track of a file in another container, from a packet on, nothing encoded again."""
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(video)) as source,
        av.open(buffer, "w", format=kind, options=muxer or {}) as target,
    ):
        track = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(source.streams.video[0]) if packet.size]
        for packet in packets[first:]:
            packet.stream = track
            target.mux(packet)
    return buffer.getvalue()


def index_first(mp4: bytes) -> bytes:
    """Return an MP4 with its index (moov) before its frames, so that a cut leaves something to decode."""
    boxes, at = {}, 0
    while at < len(mp4):
        length = int.from_bytes(mp4[at : at + 4], "big")
        boxes[mp4[at + 4 : at + 8]] = mp4[at : at + length]
        at += length
    moov, place = bytearray(boxes[b"moov"]), boxes[b"moov"].find(b"stco")
    while place >= 0:
        for entry in range(int.from_bytes(moov[place + 8 : place + 12], "big")):
            where = place + 12 + 4 * entry
            moved = int.from_bytes(moov[where : where + 4], "big") + len(moov)
            moov[where : where + 4] = moved.to_bytes(4, "big")
        place = moov.find(b"stco", place + 4)
    return boxes[b"ftyp"] + bytes(moov) + boxes.get(b"free", b"") + boxes[b"mdat"]
