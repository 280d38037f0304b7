"""Pictures of every format, depth and orientation become the RGB that a viewer shows, wherever read."""

import io
import pathlib
import struct
import tarfile
import zlib

import av
import numpy as np
import pytest
import scenes
from PIL import Image

from prismlab.core import errors
from prismlab.data.corpus import clip_encoding
from prismlab.data.corpus.inputs import images, table, tars
from prismlab.data.records import record
from prismlab.data.video import decode, frames, windows
from prismlab.data.video.containers import container, pictures
from prismlab.data.video.presentation import geometry

SAMPLES = scenes.SAMPLES
# What is shown for each EXIF orientation when the corners of the file are red, green, blue, yellow.
SHOWN = ["rgby", "gryb", "ybgr", "byrg", "rbgy", "bryg", "ygbr", "gyrb"]
TRAIT = [None, "mirrored", "rotated", "mirrored", "mirrored", "rotated", "mirrored", "rotated"]


def saved(image: Image.Image, kind: str, **options) -> bytes:
    image.save(buffer := io.BytesIO(), kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_orientation_of_exif(kind, orientation) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(scenes.PICTURE), kind, quality=95, exif=exif)
    shape = (64, 96, 3) if orientation < 5 else (96, 64, 3)
    found = pictures.read(data, container.Limits(), "photo")
    assert (found.pixels.shape, scenes.corners(found.pixels)) == (shape, SHOWN[orientation - 1])
    assert found.traits == ({TRAIT[orientation - 1]} - {None})


def consumers(data: bytes, path: pathlib.Path):
    """Yield the first frame of a picture by every way of reading one."""
    path.write_bytes(data)
    yield frames.picture(data)
    yield frames.decode(record.Record("a", data, "words", kind="image"))[0]
    yield frames.decode(record.of_frames("a", [data, data], "words"), [1])[0]
    yield frames.decode(record.Record("a", data, "words"))[0]  # stored as a video
    yield decode.decode(data)[0]
    yield decode.decode_frames(path, [0])[0]
    ((_, clip),) = windows.read(path, 2, 64)
    assert clip.shape == (2, 64, 64, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_way_of_reading_a_photo_gives_equal_pixels(tmp_path, orientation) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(scenes.PICTURE), "JPEG", quality=95, exif=exif)
    first, *others = consumers(data, tmp_path / "photo.jpg")
    assert scenes.corners(first) == SHOWN[orientation - 1]
    for other in others:
        np.testing.assert_array_equal(other, first)
    assert decode.frame_times(data).tolist() == [0.0]


RAMP = np.linspace(0, 65535, 64).round().astype(np.uint16)[None].repeat(16, 0)


@pytest.mark.parametrize("way", ["PNG", "sample"])
def test_sixteen_bits_of_grey_are_scaled(way) -> None:
    ramp = RAMP
    data = saved(Image.fromarray(ramp), "PNG")
    if way == "sample":
        data, ramp = (SAMPLES / "grey16.png").read_bytes(), np.linspace(0, 65535, 128)[None].repeat(128, 0)
    shown = frames.picture(data)
    assert shown.shape == (*ramp.shape, 3)
    np.testing.assert_allclose(shown, np.repeat(ramp[..., None] / 257, 3, -1), atol=0.6)


@pytest.mark.parametrize(
    ("coded", "codec", "kind"),
    [
        ("gray16le", "ffv1", "matroska"),
        ("gray10le", "ffv1", "matroska"),
        ("yuv444p16le", "ffv1", "matroska"),
        ("gray16be", "png", "mov"),
        ("rgb48be", "png", "mov"),
    ],
)
def test_deep_videos_are_scaled(coded, codec, kind) -> None:
    ramp = np.repeat((RAMP // 257).astype(np.uint8)[..., None], 3, -1)
    shown = decode.decode(scenes.written(kind, codec, [ramp] * 2, coded))
    np.testing.assert_allclose(shown[1], ramp, atol=2)


def test_other_depths_and_colours() -> None:
    low = Image.fromarray(np.eye(8, dtype=bool))
    np.testing.assert_array_equal(frames.picture(saved(low, "PNG"))[..., 0], 255 * np.eye(8, dtype=np.uint8))
    print_colours = Image.fromarray(scenes.PICTURE).convert("CMYK")
    assert scenes.corners(frames.picture(saved(print_colours, "JPEG", quality=95))) == "rgby"


TRANSPARENT = {
    "rgba": lambda: saved(Image.fromarray(_square((255, 0, 255, 0), (0, 0, 0, 255))), "PNG"),
    "grey and alpha": lambda: saved(Image.fromarray(_square((200, 0), (0, 255)), "LA"), "PNG"),
    "webp": lambda: saved(Image.fromarray(_square((255, 0, 255, 0), (0, 0, 0, 255))), "WEBP",
                          lossless=True, exact=True),
    "palette": lambda: saved(_palette(), "PNG", transparency=0),
    "gif": lambda: saved(_palette(), "GIF", transparency=0),
    "palette of alphas": lambda: saved(_palette(), "PNG", transparency=bytes([0, 255])),
    "colour key": lambda: saved(Image.fromarray(_square((255, 0, 255), (0, 0, 0))), "PNG",
                                transparency=(255, 0, 255)),
    "grey key": lambda: saved(Image.fromarray(_square((200,), (0,))[..., 0]), "PNG", transparency=200),
    "deep grey key": lambda: saved(Image.fromarray(_square((200,), (0,))[..., 0].astype(np.uint16)), "PNG",
                                   transparency=200),
}  # fmt: skip


def _square(hidden: tuple[int, ...], shown: tuple[int, ...]) -> np.ndarray:
    pixels = np.zeros((32, 32, len(hidden)), np.uint8) + np.array(hidden, np.uint8)
    pixels[8:24, 8:24] = shown
    return pixels


def _palette() -> Image.Image:
    image = Image.new("P", (32, 32), 0)
    image.putpalette([255, 0, 255, 0, 0, 0])
    image.paste(1, (8, 8, 24, 24))
    return image


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_hidden_colours_are_white(kind) -> None:
    found = pictures.read(TRANSPARENT[kind](), container.Limits(), "picture")
    assert found.traits == {geometry.TRANSPARENT}
    np.testing.assert_array_equal(found.pixels, np.repeat(_square((255,), (0,)), 3, -1))


def written_png(colour: int, depth: int, rows: bytes, key: bytes) -> bytes:
    """Return a PNG of 8 x 8 pixels with a transparent colour, as Pillow cannot write it."""
    header = struct.pack(">IIBBBBB", 8, 8, depth, colour, 0, 0, 0)
    data = zlib.compress(
        b"".join(b"\0" + rows[at : at + len(rows) // 8] for at in range(0, len(rows), len(rows) // 8))
    )
    made = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"tRNS", key), (b"IDAT", data), (b"IEND", b"")):
        made += struct.pack(">I", len(content)) + kind + content
        made += struct.pack(">I", zlib.crc32(kind + content))
    return made


@pytest.mark.parametrize(("depth", "hidden"), [(1, 1), (2, 1), (2, 3), (4, 1), (4, 15), (8, 200)])
def test_the_transparent_grey_of_every_depth_is_white(depth, hidden) -> None:
    bits = f"{hidden:0{depth}b}" * 32 + "0" * depth * 32
    rows = int(bits, 2).to_bytes(8 * depth, "big")
    found = pictures.read(written_png(0, depth, rows, struct.pack(">H", hidden)), container.Limits(), "grey")
    assert found.traits == {geometry.TRANSPARENT}
    np.testing.assert_array_equal(found.pixels[:4], 255)
    np.testing.assert_array_equal(found.pixels[4:], 0)


def test_the_transparent_colour_of_deep_pictures_is_exact() -> None:
    # 0x1234 is hidden and 0x1256 is not, although both are 0x12 in 8 bits.
    rows = b"\x12\x34" * 3 * 32 + b"\x12\x56" * 3 * 32
    found = pictures.read(written_png(2, 16, rows, b"\x12\x34" * 3), container.Limits(), "deep")
    assert found.traits == {geometry.TRANSPARENT}
    np.testing.assert_array_equal(found.pixels[:4], 255)
    np.testing.assert_array_equal(found.pixels[4:], 0x12)


def test_transparency_of_the_sample() -> None:
    shown = frames.picture((SAMPLES / "rgba_hidden.png").read_bytes())
    assert np.unique(shown.reshape(-1, 3), axis=0).tolist() == [[20, 150, 20], [255, 255, 255]]
    opaque = saved(Image.fromarray(_square((9, 9, 9, 255), (7, 7, 7, 255))), "PNG")
    assert pictures.read(opaque, container.Limits(), "opaque").traits == set()


def test_depths_of_unknown_range_are_refused() -> None:
    data = saved(Image.fromarray(np.zeros((4, 4), np.int32), "I"), "PPM")
    with pytest.raises(errors.UserError, match="here: expected a readable image, got 'none of JPEG, PNG"):
        frames.picture(data, name="here")


def test_jpegs_one_after_the_other_are_a_video() -> None:
    levels = (40, 120, 200)
    one = [saved(Image.new("RGB", (32, 32), (level,) * 3), "JPEG") for level in levels]
    np.testing.assert_allclose(decode.decode(b"".join(one)).mean((1, 2, 3)), levels, atol=3)


READ = {".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP",
        ".gif": "GIF", ".avif": "AVIF"}  # fmt: skip
REFUSED = {".tif": "TIFF", ".tiff": "TIFF", ".jp2": "JPEG2000"}


def _made(home) -> list:
    encode = clip_encoding.Untouched()
    return [
        pair for unit in home.units() for each in home.read(unit) for pair in encode(each, container.Limits())
    ]


@pytest.mark.parametrize("ending", [*READ, *REFUSED, ".JPG", ".heic"])
@pytest.mark.parametrize("way", ["images", "tars", "table"])
def test_every_ending_is_read_or_refused_by_name_in_every_input(tmp_path, way, ending) -> None:
    kind = {**READ, **REFUSED}.get(ending.lower(), "JPEG")
    picture = Image.fromarray(scenes.PICTURE)
    (tmp_path / f"a{ending}").write_bytes(saved(picture, kind))
    (tmp_path / "a.txt").write_text("some words")
    (tmp_path / "rows.csv").write_text(f"path,text\na{ending},some words\n")
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        for name in (f"a{ending}", "a.txt"):
            tar.add(tmp_path / name, name)
    home = {
        "images": lambda: images.Images(str(tmp_path)),
        "tars": lambda: tars.Tars(str(tmp_path / "*.tar")),
        "table": lambda: table.Table(str(tmp_path / "rows.csv")),
    }[way]()
    ((cut, outcome),) = _made(home)
    if ending.lower() in READ:
        assert cut.caption == "some words"
        assert scenes.corners(frames.decode(outcome.record)[0]) == "rgby"
    else:
        assert isinstance(outcome, errors.UserError)
        assert f"got {ending}; convert it to PNG or JPEG" in str(outcome)


@pytest.mark.parametrize("ending", [*READ, *REFUSED])
def test_every_ending_of_frames(tmp_path, ending) -> None:
    (tmp_path / "clip").mkdir()
    for number in range(2):
        data = saved(Image.fromarray(scenes.PICTURE), {**READ, **REFUSED}[ending])
        (tmp_path / f"clip/{number}{ending}").write_bytes(data)
    (tmp_path / "clip/caption.txt").write_text("some words")
    home = images.FrameFolders(str(tmp_path))
    if ending in READ:
        ((_, outcome),) = _made(home)
        assert [scenes.corners(frame) for frame in frames.decode(outcome.record)] == ["rgby", "rgby"]
    else:
        with pytest.raises(errors.UserError, match=rf"0\{ending}: expected a picture.*convert it"):
            _made(home)


def test_no_picture_reaches_the_video_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("opened with FFmpeg")

    monkeypatch.setattr(av, "open", refuse)
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "AVIF"):
        assert decode.decode(saved(Image.fromarray(scenes.PICTURE), kind)).shape == (1, 64, 96, 3)
