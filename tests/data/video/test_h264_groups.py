"""Leaving groups of pictures out changes no pixel, and what could change one is read from the beginning."""

import contextlib
import functools
import io
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.records import record
from prismlab.data.video import decode, encode, frames, h264_groups
from prismlab.data.video.containers import container

LIMITS = container.Limits()
WHOLE = (None, None)
# Coarse noise that drifts: every frame depends on the one before it.
CLIP = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (20, 6, 8, 3), np.uint8), 8, 1), 8, 2)
CLIP = (0.8 * np.roll(CLIP[:1], 1, 2) + 0.2 * CLIP).astype(np.uint8)


def written(codec: str = "libx264", kind: str = "mp4", first: int = 0, **options: str) -> bytes:
    """Encode the clip, the first frame at first / 8 s, with the defaults of FFmpeg unless told."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as opened:
        stream = opened.add_stream(codec, rate=8, options=options)
        stream.height, stream.width, stream.pix_fmt = *CLIP.shape[1:3], "yuv420p"
        stream.codec_context.gop_size = 5
        for number, pixels in enumerate(CLIP, first):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 8)
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return buffer.getvalue()


@functools.cache
def in_groups_of(gop: int) -> bytes:
    """Encode the clip in groups of so many frames."""
    return encode.encode(CLIP, 8, gop=gop)


def same_as_the_whole(video: bytes, indices: list[int]) -> None:
    """Check that chosen frames are those of the whole."""
    found = decode.decode_frames(video, indices, count=len(CLIP))
    np.testing.assert_array_equal(found, decode.decode(video)[indices])


@settings(max_examples=25, deadline=None)
@given(
    gop=st.sampled_from([1, 4, 7, 25]),
    indices=st.lists(st.integers(0, len(CLIP) - 1), min_size=1, max_size=6),
)
def test_any_choice_equals_the_whole(gop: int, indices: list[int]) -> None:
    video = in_groups_of(gop)
    assert h264_groups.chosen(video, set(indices), len(CLIP), WHOLE, LIMITS) is not None
    same_as_the_whole(video, indices)


@settings(max_examples=25, deadline=None)
@given(
    gop=st.sampled_from([1, 4, 7]), edges=st.tuples(st.integers(0, 19), st.integers(0, 19)), data=st.data()
)
def test_a_part_counts_from_its_beginning(gop: int, edges: tuple[int, int], data: st.DataObject) -> None:
    first, last = min(edges), max(edges) + 1
    part, video = (first / 8, last / 8), in_groups_of(gop)
    whole = decode.decode(video)[first:last]
    index = data.draw(st.integers(0, len(whole) - 1))
    assert h264_groups.chosen(video, {index}, len(whole), part, LIMITS) is not None
    found = decode.decode_frames(video, [index], start=part[0], end=part[1], count=len(whole))
    np.testing.assert_array_equal(found, whole[[index]])


@pytest.mark.parametrize(
    ("wanted", "read"), [([5], [4, 5]), ([0], [0]), ([3, 9], [0, 1, 2, 3, 8, 9]), ([11], [8, 9, 10, 11])]
)
def test_groups_without_a_wanted_frame_are_left_out(wanted: list[int], read: list[int]) -> None:
    assert list(h264_groups._needed(list(range(12)), [0, 4, 8], wanted)) == read


def test_only_needed_packets_reach_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []

    def noted(packets: list, starts: list[int], wanted: set[int]) -> list:
        assert starts == [0, 5, 10, 15]
        sent.extend(needed(packets, starts, wanted))
        return sent

    needed = h264_groups._needed
    monkeypatch.setattr(h264_groups, "_needed", noted)
    video = encode.encode(CLIP, 8, gop=5)
    frames.decode(record.Record("clip", video, "a caption", frame_count=len(CLIP)), [6, 16])
    assert len(sent) == 4
    frames.decode(record.Record("clip", video, "a caption"), [6, 16])  # nobody counted its frames
    assert len(sent) == 4


@pytest.mark.parametrize(
    "video",
    [
        pytest.param(written(), id="B-frames"),
        pytest.param(written(**{"x264-params": "open-gop=1:bframes=3"}), id="open groups"),
        pytest.param(written(bf="0", **{"x264-params": "repeat-headers=1"}), id="parameters in the packets"),
        pytest.param(written(bf="0", kind="mpegts"), id="no lengths before units"),
        pytest.param(written(bf="0", kind="avi"), id="AVI"),
        pytest.param(written("mpeg4"), id="another codec"),
    ],
)
def test_what_does_not_qualify_is_read_from_the_beginning(video: bytes) -> None:
    assert h264_groups.chosen(video, {7, 12}, len(CLIP), WHOLE, LIMITS) is None
    same_as_the_whole(video, [12, 7, 7])


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_a_key_frame_that_is_no_idr_picture_starts_no_group(kind: str) -> None:
    # Intra refresh: packets are marked as key frames although they need what came before.
    video = written(bf="0", kind=kind, **{"x264-params": "intra-refresh=1:keyint=5"})
    with av.open(io.BytesIO(video)) as opened:
        assert sum(packet.is_keyframe for packet in opened.demux(video=0)) > 1
    for index in range(len(CLIP)):
        same_as_the_whole(video, [index])
        # Entered at such a packet, the decoder would hand out nothing at first.
        assert h264_groups.chosen(video, {index}, len(CLIP), WHOLE, LIMITS) is not None


def test_an_edit_list_does_not_shift_a_part() -> None:
    # Packets before time 0 are discarded: as many lie in the second from the first packet on as in the part.
    video, part = written(bf="0", first=-3), (0.0, 1.0)
    with av.open(io.BytesIO(video)) as opened:
        assert sum(packet.is_discard for packet in opened.demux(video=0)) == 3
    whole = decode.decode(video, start=part[0], end=part[1])
    assert len(whole) == 8
    np.testing.assert_array_equal(
        decode.decode_frames(video, [3, 7], start=part[0], end=part[1], count=8), whole[[3, 7]]
    )


def test_a_wrong_count_is_not_believed() -> None:
    video = encode.encode(CLIP, 8, gop=5)
    for count in (len(CLIP) - 1, len(CLIP) + 1):
        assert h264_groups.chosen(video, {7}, count, WHOLE, LIMITS) is None
        np.testing.assert_array_equal(
            decode.decode_frames(video, [7], count=count), decode.decode(video)[7:8]
        )


def test_cut_and_hostile_files_are_named_as_ever() -> None:
    video = encode.encode(CLIP, 8, gop=5)
    for damaged in (video[: len(video) // 2], b"", b"no video at all"):
        with pytest.raises(errors.UserError, match="here"):
            decode.decode_frames(damaged, [7], count=len(CLIP), name="here")
    with pytest.raises(errors.UserError, match="here: expected frame 20"):
        decode.decode_frames(video, [20], count=len(CLIP), name="here")
    small = container.Limits(max_pixels=100)
    with pytest.raises(errors.UserError, match="here: expected frames of at most 100 pixels"):
        decode.decode_frames(video, [7], count=len(CLIP), name="here", limits=small)


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_flipped_byte_never_breaks_out(place: int, value: int) -> None:
    video = bytearray(encode.encode(CLIP, 8, gop=5))
    video[place % len(video)] = value
    with contextlib.suppress(errors.UserError):
        assert len(decode.decode_frames(bytes(video), [7, 12], count=len(CLIP), name="here")) == 2
