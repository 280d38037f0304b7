"""Files as the world has them: the right frames with the right colours, or one named error."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video import reformatter

from prismlab.core import errors
from prismlab.data.video import decode, encode, windows
from prismlab.data.video.containers import container

COUNT = 24
GREYS = (40 + 7 * np.arange(COUNT)).astype(np.uint8)
COLOUR = (200, 40, 90)
LIMITED, FULL = 1, 2  # FFmpeg's AVCOL_RANGE_MPEG and AVCOL_RANGE_JPEG
BT709, BT601 = 1, 5  # FFmpeg's AVCOL_SPC_BT709 and AVCOL_SPC_BT470BG


def _ramp(side: int = 32) -> np.ndarray:
    return np.zeros((COUNT, side, side, 3), np.uint8) + GREYS[:, None, None, None]


def _written(
    kind: str, codec: str, video: np.ndarray, *, pixels: str = "yuv420p",
    colour: tuple[int, int] | None = None, pts: list[int] | None = None,
    options: dict[str, str] | None = None, rate: int = 8,
) -> bytes:  # fmt: skip
    buffer, change = io.BytesIO(), reformatter.VideoReformatter()
    with av.open(buffer, "w", format=kind) as opened:
        stream = opened.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width, stream.pix_fmt = video.shape[1], video.shape[2], pixels
        stream.codec_context.thread_count = 1
        tags = {}
        if colour:
            stream.codec_context.color_range, stream.codec_context.colorspace = colour
            tags = {"dst_color_range": colour[0], "dst_colorspace": colour[1], "src_color_range": FULL}
        if pts:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(video):
            frame = change.reformat(
                av.VideoFrame.from_ndarray(picture, format="rgb24"), format=pixels, **tags
            )
            frame.pts = pts[number] if pts else number
            frame.time_base = Fraction(1, 1000) if pts else Fraction(1, rate)
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return buffer.getvalue()


def _numbers(video: np.ndarray) -> list[int]:
    """Return which frame of the ramp each picture is nearest to."""
    middle = video[:, 8:-8, 8:-8].mean((1, 2, 3))
    return np.abs(middle[:, None] - GREYS[None]).argmin(1).tolist()


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("mpeg", "mpeg2video", {"qscale": "2"}),  # no count of frames in the container
        ("webm", "libvpx", {"crf": "4", "b": "1M"}),  # none either
        ("avi", "libx264", {"crf": "5", "bf": "2"}),  # frames out of order, without time stamps of their own
        ("mp4", "libx264", {"crf": "5", "bf": "3", "g": "250"}),
        ("matroska", "mpeg4", {"qscale": "2"}),
        ("ogg", "libtheora", {"qscale": "10"}),
    ],
)
def test_sequential_reading_gives_the_frames_in_order(kind, codec, options):
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    rate = 25 if kind == "mpeg" else 8
    ((window, clip),) = windows.read(_written(kind, codec, _ramp(), options=options, rate=rate), 8, 32)
    assert window.frames == COUNT
    assert _numbers(clip) == window.indices.tolist() == list(range(0, 24, 3))


def test_a_variable_frame_rate_keeps_its_times():
    pts = [int(1000 * (0.04 * n if n < 12 else 0.48 + 0.5 * (n - 12))) for n in range(COUNT)]
    mp4 = _written("mp4", "libx264", _ramp(), pts=pts, options={"crf": "5", "bf": "0"})
    np.testing.assert_allclose(decode.frame_times(mp4), np.array(pts) / 1000, atol=1e-3)
    found = list(windows.read(mp4, 4, 32, 2.0))
    assert [window.frames for window, _ in found] == [16, 4, 4]
    assert [_numbers(clip) for _, clip in found] == [window.indices.tolist() for window, _ in found]


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_pixel_formats(pixels):
    video = np.zeros((4, 32, 32, 3), np.uint8) + np.array(COLOUR, np.uint8)
    options = {"crf": "1"}
    decoded = decode.decode(
        _written("mp4", "libx264", video, pixels=pixels, colour=(LIMITED, BT601), options=options)
    )
    np.testing.assert_allclose(decoded[:, 16, 16], np.tile(COLOUR, (4, 1)), atol=4)


@pytest.mark.parametrize("codec", ["libx264", "libvpx-vp9"])
@pytest.mark.parametrize("colour", [(LIMITED, BT601), (LIMITED, BT709), (FULL, BT601), (FULL, BT709)])
def test_full_range_and_both_matrices(codec, colour):
    video = np.zeros((3, 32, 32, 3), np.uint8) + np.array(COLOUR, np.uint8)
    decoded = decode.decode(
        _written("matroska", codec, video, colour=colour, options={"crf": "4", "b": "2M"})
    )
    np.testing.assert_allclose(decoded[:, 16, 16], np.tile(COLOUR, (3, 1)), atol=5)


def test_grey_and_palette_files():
    for codec, kind, pixels in (("ffv1", "matroska", "gray"), ("ffv1", "matroska", "bgr0")):
        assert _numbers(decode.decode(_written(kind, codec, _ramp(), pixels=pixels))) == list(range(COUNT))


def test_leading_frames_that_the_file_discards_are_not_shown():
    # An edit list that begins in the middle, as a cut without encoding again writes it.
    mp4 = _written("mp4", "libx264", _ramp(), pts=[1000 * (n - 5) // 8 for n in range(COUNT)],
                   options={"crf": "5", "bf": "0", "g": "250"})  # fmt: skip
    shown = _numbers(decode.decode(mp4))
    assert shown in (list(range(COUNT)), list(range(5, COUNT)))  # whole, or from the edit on: never mixed
    ((window, clip),) = windows.read(mp4, 4, 32)
    assert _numbers(clip) == [shown[index] for index in window.indices]


def test_no_frames_at_all():
    empty = encode.encode(_ramp()[:1], 8)
    buffer = io.BytesIO()
    with av.open(io.BytesIO(empty)) as source, av.open(buffer, "w", format="mp4") as target:
        target.add_stream_from_template(source.streams.video[0])
        target.start_encoding()
    with pytest.raises(errors.UserError, match=r"video in memory: expected"):
        list(windows.read(buffer.getvalue(), 4, 32))


def test_ten_hours_in_few_frames_are_read_and_in_many_are_refused():
    slides = _written("matroska", "ffv1", _ramp()[:10], pts=[3_600_000 * n for n in range(10)], pixels="gray")
    found = list(windows.read(slides, 2, 32, 3600.0))
    assert [window.start for window, _ in found] == [3600.0 * n for n in range(10)]
    limits = container.Limits(max_frames=8)
    with pytest.raises(errors.UserError, match="expected at most 8 frames") as told:
        list(windows.read(slides, 2, 32, limits=limits))
    assert "\n" not in str(told.value)


def test_a_damaged_file_gives_its_frames_or_a_named_error():
    mp4 = encode.encode(_ramp(64), 8, gop=250)
    rng = np.random.default_rng(0)
    start = mp4.index(b"mdat") + 4
    for _ in range(12):
        broken = bytearray(mp4)
        for place in rng.integers(start, min(len(mp4), start + 2000), 40):
            broken[place] ^= int(rng.integers(1, 256))
        try:
            ((window, clip),) = windows.read(bytes(broken), 4, 64)
        except errors.UserError:
            continue
        assert window.frames <= COUNT
        assert clip.shape == (4, 64, 64, 3)
