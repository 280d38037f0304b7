"""Cropping by the codec, by MP4 and by Matroska leaves exactly the picture."""

import struct

import numpy as np
import pytest
import scenes

from prismlab.data.video import decode


@pytest.mark.parametrize(("codec", "kind"), [("libx264", "mp4"), ("libx264", "matroska"), ("libx265", "mp4")])
def test_the_codecs_cropping_is_exact(codec, kind) -> None:
    # FFmpeg rounds the left margin to 32 pixels unless told otherwise, and then shows more columns.
    framed = np.zeros((96, 144, 3), np.uint8)
    framed[6:70, 18:114] = scenes.PICTURE
    name = {"libx264": "h264", "libx265": "hevc"}[codec]
    options = {"crf": 5, **({"x265-params": "log-level=none"} if name == "hevc" else {})}
    video = scenes.written(kind, codec, [framed] * 3, **options)
    clip = decode.decode(
        scenes.filtered(video, f"{name}_metadata=crop_left=18:crop_right=30:crop_top=6:crop_bottom=26", kind)
    )
    assert clip.shape[1:3] == (64, 96)
    assert scenes.corners(clip[0]) == scenes.CODED
    assert scenes.widths(clip[0]) == (16, 16)


def with_clap(video: bytes, width: int, height: int, right: int = 0, down: int = 0) -> bytes:
    """Add a clean aperture to the sample entry of an scenes.MP4 whose `moov` comes last."""
    clap = struct.pack(">I4s8i", 40, b"clap", width, 1, height, 1, right, 1, down, 1)
    boxes = [video.index(name) - 4 for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")]
    boxes.append(video.index(b"stsd") + 12)
    assert video.index(b"mdat") < boxes[0]
    end = boxes[-1] + struct.unpack(">I", video[boxes[-1] : boxes[-1] + 4])[0]
    made = bytearray(video[:end] + clap + video[end:])
    for at in boxes:
        made[at : at + 4] = struct.pack(">I", struct.unpack(">I", made[at : at + 4])[0] + 40)
    return bytes(made)


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "libx264"), ("mov", "mpeg4"), ("mp4", "libvpx-vp9")])
@pytest.mark.parametrize("turn", [None, (0, 1, -1, 0)])
def test_the_clean_aperture_is_applied(tmp_path, kind, codec, turn) -> None:
    framed = np.zeros((84, 136, 3), np.uint8)
    framed[4:68, 30:126] = scenes.PICTURE  # its centre lies 10 to the right of and 6 above that of the frame
    options = {"libx264": {"crf": 5}, "mpeg4": {"qscale": 2}, "libvpx-vp9": {"crf": 4, "b": "2M"}}[codec]
    video = with_clap(scenes.written(kind, codec, [framed] * 3, **options), 96, 64, 10, -6)
    video = scenes.turned(turn, video) if turn else video
    (tmp_path / "a:b.mp4").write_bytes(video)
    for each in (video, tmp_path / "a:b.mp4"):
        clip = decode.decode(each)
        assert clip.shape[1:3] == ((96, 64) if turn else (64, 96))
        assert scenes.corners(clip[0]) == ("bryg" if turn else scenes.CODED)
        np.testing.assert_allclose(scenes.widths(clip[0]), (16, 16), atol=1)
    chosen = decode.decode_frames(video, [1], count=3, short_side=32)
    np.testing.assert_array_equal(chosen, decode.decode(video, short_side=32)[[1]])


def test_cropping_that_leaves_nothing_is_ignored() -> None:
    for width, right in ((0, 0), (96, 90), (200, 0)):
        np.testing.assert_array_equal(
            decode.decode(with_clap(scenes.MP4, width, 64, right)), decode.decode(scenes.MP4)
        )


def _element(name: bytes, body: bytes) -> bytes:
    return name + struct.pack(">I", 0x10000000 | len(body)) + body


def _body(data: bytes, name: bytes) -> bytes:
    """Return the content of the first element of a name that has a size of 1, 2 or 8 bytes."""
    at = data.index(name) + len(name)
    length = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + length], "big") - (1 << 7 * length)
    return data[at + length : at + length + size]


@pytest.mark.parametrize("shown", [(96, 64), (192, 64)])
def test_the_cropping_of_matroska_is_applied(tmp_path, shown) -> None:
    framed = np.zeros((84, 136, 3), np.uint8)
    framed[4:68, 30:126] = scenes.PICTURE
    video = scenes.written("matroska", "libx264", [framed] * 3, crf=5)
    # Rewrite the header: width, height, margins, and the size as shown, which is that without the margins.
    fields = ((0xB0, 136), (0xBA, 84), (0x54CC, 30), (0x54DD, 10), (0x54BB, 4), (0x54AA, 16),
              (0x54B0, shown[0]),
              (0x54BA, shown[1]))  # fmt: skip
    picture = b"".join(
        name.to_bytes(1 + (name > 255), "big") + bytes([0x81, value]) for name, value in fields
    )
    codec = _element(b"\x63\xa2", _body(video, b"\x63\xa2"))
    track = (
        b"\xd7\x81\x01\x73\xc5\x81\x01\x83\x81\x01\x86\x8fV_MPEG4/ISO/AVC"
        + _element(b"\xe0", picture)
        + codec
    )
    info = _element(b"\x15\x49\xa9\x66", b"\x2a\xd7\xb1\x83\x0f\x42\x40")
    cluster = _element(b"\x1f\x43\xb6\x75", _body(video, b"\x1f\x43\xb6\x75"))
    tracks = _element(b"\x16\x54\xae\x6b", _element(b"\xae", track))
    head = video[: video.index(b"\x18\x53\x80\x67")]
    path = tmp_path / "cropped.mkv"
    path.write_bytes(head + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + info + tracks + cluster)
    for each in (path, path.read_bytes()):
        clip = decode.decode(each)
        assert clip.shape[1:3] == shown[::-1]
        assert scenes.corners(clip[0]) == scenes.CODED


def test_cropping_of_the_sample() -> None:
    clip = decode.decode(scenes.SAMPLES / "clap_crop.mp4")
    assert clip.shape == (24, 96, 128, 3)
    assert scenes.corners(clip[0]) == scenes.CODED
