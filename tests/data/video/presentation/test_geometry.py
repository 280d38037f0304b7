"""Orientation, pixel aspect and changes of size, by construction, in many containers."""

import gc
from fractions import Fraction

import numpy as np
import pytest
import scenes
from PIL import Image

from prismlab.core import errors
from prismlab.data.video import decode
from prismlab.data.video.containers import container
from prismlab.data.video.presentation import geometry

# (x, y) goes to (a x + c y, b x + d y), y downwards: corners by name, and whether sides change place.
ORIENTATIONS = [
    ((1, 0, 0, 1), "rgby", False),
    ((0, 1, -1, 0), "bryg", True),  # a quarter turn clockwise
    ((-1, 0, 0, -1), "ybgr", False),
    ((0, -1, 1, 0), "gyrb", True),
    ((-1, 0, 0, 1), "gryb", False),  # mirrored left to right
    ((1, 0, 0, -1), "byrg", False),  # upside down
    ((0, 1, 1, 0), "rbgy", True),  # rows become columns
    ((0, -1, -1, 0), "ygbr", True),
]


@pytest.mark.parametrize(("matrix", "expected", "sides"), ORIENTATIONS)
@pytest.mark.parametrize("scale", [1, 2, 0.5])
def test_the_whole_display_matrix_is_applied(matrix, expected, sides, scale) -> None:
    video = scenes.turned(tuple(scale * value for value in matrix))
    for clip in (decode.decode(video), decode.decode_frames(video, [2], count=4)):
        assert clip.shape[1:3] == ((96, 64) if sides else (64, 96))
        assert scenes.corners(clip[-1]) == expected


@pytest.mark.parametrize(("change", "expected"), [("flip=horizontal", "gryb"), ("flip=vertical", "byrg"),
                                                  ("rotate=90", "gyrb")])  # fmt: skip
@pytest.mark.parametrize("kind", ["mpegts", "matroska"])
def test_the_orientation_of_the_codec_is_applied(kind, change, expected) -> None:
    # The rotation of the message is counterclockwise (ITU-T H.264, D.2.26).
    clip = decode.decode(
        scenes.filtered(
            scenes.written(kind, "libx264", [scenes.PICTURE] * 3, crf=5),
            f"h264_metadata=display_orientation=insert:{change}",
            kind,
        )
    )
    assert scenes.corners(clip[0]) == expected


@pytest.mark.parametrize(("name", "expected"), [("orient_hflip.mp4", "gryb"), ("orient_vflip.mp4", "byrg"),
                                                ("zero_matrix.mp4", scenes.CODED)])  # fmt: skip
def test_orientation_of_the_samples(name, expected) -> None:
    clip = decode.decode(scenes.SAMPLES / name)
    assert clip.shape == (24, 128, 128, 3)
    assert {scenes.corners(frame) for frame in clip} == {expected}


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 0, 0)])
def test_a_singular_matrix_is_ignored(matrix) -> None:
    np.testing.assert_array_equal(decode.decode(scenes.turned(matrix)), decode.decode(scenes.MP4))


@pytest.mark.parametrize("matrix", [(0.866, 0.5, -0.5, 0.866), (1, 0.5, 0, 1), (-0.707, 0.707, 0.707, 0.707)])
def test_an_angle_that_is_no_quarter_turn_is_named(matrix) -> None:
    for read in (decode.decode, decode.frame_times):
        with pytest.raises(
            errors.UserError, match=r"clip 3: expected a rotation of 0, 90.*not a quarter turn \("
        ):
            read(scenes.turned(matrix), name="clip 3")


def test_an_angle_within_rounding_of_a_quarter_turn() -> None:
    assert scenes.corners(decode.decode(scenes.turned((0.001, 1, -1, 0.001)))[0]) == "bryg"


@pytest.mark.parametrize(
    ("kind", "codec", "options"),
    [
        ("mp4", "libx264", {"crf": 5}),
        ("matroska", "libx264", {"crf": 5}),
        ("mpegts", "mpeg2video", {"qscale": 2}),
        ("avi", "mpeg4", {"qscale": 2}),
    ],
)
@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (128, 64)), (Fraction(2, 3), (96, 96))])
def test_pixels_become_square(kind, codec, options, aspect, size) -> None:
    pixels = np.asarray(Image.fromarray(scenes.scene(*size)).resize((96, 64)))
    coded = aspect
    if codec == "mpeg2video":  # knows only the aspect of the whole picture: 16:9
        coded, size = Fraction(16, 9) / Fraction(96, 64), (round(64 * 16 / 9), 64)
        pixels = np.asarray(Image.fromarray(scenes.scene(*size)).resize((96, 64)))
    video = scenes.written(kind, codec, [pixels] * 6, aspect=coded, **options)
    clip = decode.decode(video)
    assert clip.shape[1:3] == size[::-1]
    assert scenes.corners(clip[0]) == scenes.CODED
    np.testing.assert_allclose(scenes.widths(clip[0]), (16, 16), atol=2)
    small = tuple(round(side * 32 / min(size)) for side in size[::-1])
    assert decode.decode(video, short_side=32).shape[1:3] == small


def test_square_pixels_of_the_sample() -> None:
    clip = decode.decode(scenes.SAMPLES / "sar_4_3.mp4")
    assert clip.shape == (24, 128, 128, 3)
    assert scenes.corners(clip[0]) == scenes.CODED


def test_non_square_pixels_are_turned_with_the_picture() -> None:
    pixels = np.asarray(Image.fromarray(scenes.scene(128, 64)).resize((96, 64)))
    video = scenes.turned(
        (0, 1, -1, 0), scenes.written("mp4", "libx264", [pixels] * 3, aspect=Fraction(4, 3), crf=5)
    )
    clip = decode.decode(video)
    assert clip.shape[1:3] == (128, 64)
    np.testing.assert_allclose(decode.decode(video, short_side=32).shape[1:3], (64, 32))
    assert scenes.corners(clip[0]) == "bryg"


def test_an_absurd_pixel_aspect_is_refused() -> None:
    video = scenes.written("matroska", "libx264", [scenes.PICTURE] * 2, aspect=Fraction(40))
    with pytest.raises(
        errors.UserError, match=r"at most 100000 pixels a frame, got 3840x64 \(pixel aspect 40\)"
    ):
        decode.decode(video, limits=decode.Limits(max_pixels=10**5))


def joined(*parts: bytes) -> bytes:
    return b"".join(parts)


def test_a_pixel_aspect_that_changes_within_the_stream() -> None:
    # As in broadcasts: 4:3 and 16:9 programmes in one size.
    wide = np.asarray(Image.fromarray(scenes.scene(192, 64)).resize((96, 64)))
    options = {"crf": 5, "bf": 2, "g": 4}
    video = joined(
        scenes.written("mpegts", "libx264", [scenes.PICTURE] * 8, aspect=Fraction(1), **options),
        scenes.written("mpegts", "libx264", [wide] * 8, aspect=Fraction(2), start=11, **options),
    )
    clip = decode.decode(video)
    assert clip.shape == (16, 64, 96, 3)
    # The wide half is 96 x 32, centred on black.
    assert [scenes.corners(frame) for frame in clip] == [scenes.CODED] * 8 + ["kkkk"] * 8
    assert {scenes.corners(frame[16:48], 2) for frame in clip[8:]} == {scenes.CODED}
    np.testing.assert_allclose(scenes.widths(clip[12]), (8, 8), atol=1)


SIZES = {"larger": (192, 128), "smaller": (48, 32), "portrait": (64, 96)}


@pytest.mark.parametrize("second", SIZES)
@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_a_size_that_changes_within_the_stream(codec, second) -> None:
    options = {"crf": 5, "bf": 0} if codec == "libx264" else {"qscale": 2, "bf": 0}
    video = joined(
        scenes.written("mpegts", codec, [scenes.PICTURE] * 6, **options),
        scenes.written("mpegts", codec, [scenes.scene(*SIZES[second])] * 6, start=6, **options),
    )
    whole = decode.decode(video)
    count = len(whole)
    assert whole.shape[1:] == (64, 96, 3)
    inside = whole[-1][:, 27:-26] if second == "portrait" else whole[-1]
    assert scenes.corners(inside, 3) == scenes.CODED
    scale = min(64 / SIZES[second][1], 96 / SIZES[second][0])
    np.testing.assert_allclose(scenes.widths(inside), (16 * scale, 16 * scale), atol=2)
    if second == "portrait":
        assert scenes.corners(whole[-1]) == "kkkk"
    for wanted in ([count - 1], [0, count - 1], [count - 2, 1]):
        np.testing.assert_array_equal(decode.decode_frames(video, wanted), whole[wanted])
    part = decode.decode(video, start=0.75)
    np.testing.assert_array_equal(part, whole[-len(part) :])


def test_a_change_of_size_in_the_sample() -> None:
    path = scenes.SAMPLES / "size_change_aspect.ts"
    whole = decode.decode(path)
    assert whole.shape == (48, 128, 128, 3)
    assert scenes.corners(whole[0]) == scenes.CODED
    assert scenes.corners(whole[40]) == "kkkk"
    assert scenes.corners(whole[40][:, 32:96]) == scenes.CODED
    np.testing.assert_array_equal(decode.decode_frames(path, [40]), whole[[40]])


def test_nothing_refers_to_a_frame_that_is_done() -> None:
    # A cycle of references would keep the frame's buffer, which Python does not see, until a collection.
    for shown, _ in container.decoded(scenes.turned((0, 1, -1, 0)), decode.DEFAULT_LIMITS, None):
        assert shown.traits() == {geometry.ROTATED}
    kinds = {type(each).__name__ for each in gc.get_referrers(shown.frame)}
    assert "SideDataContainer" not in kinds
