"""Hidden colours are never shown: transparent pixels are white."""

import io

import numpy as np
import pytest
import scenes
from PIL import Image

from prismlab.data.video import decode

HIDDEN = np.zeros((64, 96, 4), np.uint8) + np.array((*scenes.MAGENTA, 0), np.uint8)
HIDDEN[16:48, 32:64] = (*scenes.GREEN, 255)


@pytest.mark.parametrize(
    ("kind", "codec", "pixels", "options"),
    [
        ("matroska", "ffv1", "bgra", {}),
        ("matroska", "ffv1", "yuva420p", {}),
        ("matroska", "ffv1", "yuva444p10le", {}),
        ("mov", "qtrle", "argb", {}),
        ("mov", "png", "rgba", {}),
        ("mov", "prores_ks", "yuva444p10le", {"profile": 4}),
        ("webm", "libvpx-vp9", "yuva420p", {"crf": 4, "b": "2M"}),
        ("webm", "libvpx", "yuva420p", {"crf": 4, "b": "2M", "auto-alt-ref": 0}),
    ],
)
def test_hidden_colours_are_never_shown(kind, codec, pixels, options) -> None:
    clip = decode.decode(scenes.written(kind, codec, [HIDDEN] * 3, pixels, **options))
    assert clip.shape == (3, 64, 96, 3)
    assert scenes.corners(clip[0]) == "wwww"
    assert scenes.named(clip[0, 32, 48].astype(float)) == "g"


def test_hidden_colours_do_not_leak_into_a_smaller_picture() -> None:
    shape = np.zeros((64, 96, 4), np.uint8) + np.array((*scenes.MAGENTA, 0), np.uint8)
    shape[:, ::3, :] = (*scenes.WHITE, 255)
    clip = decode.decode(scenes.written("mov", "png", [shape] * 2, "rgba"), short_side=32)
    assert clip.min() > 250


def test_half_transparent_pixels_are_mixed_with_white() -> None:
    half = np.zeros((32, 32, 4), np.uint8) + np.array((0, 100, 200, 128), np.uint8)
    clip = decode.decode(scenes.written("mov", "png", [half] * 2, "rgba"))
    np.testing.assert_allclose(clip[0, 5, 5], (127, 177, 227), atol=1)


def test_a_shape_that_lives_in_alpha_alone() -> None:
    shape = np.zeros((32, 32, 4), np.uint8)
    shape[8:24, 8:24, 3] = 255
    clip = decode.decode(scenes.written("matroska", "ffv1", [shape] * 2, "bgra"))
    np.testing.assert_array_equal(clip[0, ..., 0] == 0, shape[..., 3] == 255)


@pytest.mark.parametrize("short_side", [None, 16])
def test_a_transparent_palette(short_side) -> None:
    images = []
    for level in (0, 100):
        image = Image.new("P", (32, 32), 0)
        image.putpalette([255, 0, 255, 30, 180, level])
        image.paste(1, (8, 8, 24, 24))
        images.append(image)
    images[0].save(buffer := io.BytesIO(), "GIF", save_all=True, append_images=images[1:], transparency=0,
                   disposal=2, duration=100)  # fmt: skip
    clip = decode.decode(buffer.getvalue(), short_side=short_side)
    assert len(clip) == 2
    assert scenes.corners(clip[0], 2) == scenes.corners(clip[1], 2) == "wwww"
    middle = clip.shape[1] // 2
    np.testing.assert_allclose(clip[:, middle, middle], [(30, 180, 0), (30, 180, 100)], atol=2)


def test_transparency_of_the_sample() -> None:
    clip = decode.decode(scenes.SAMPLES / "alpha_vp9.webm")
    assert {scenes.corners(frame) for frame in clip} == {"wwww"}
    assert {scenes.named(frame[64, 64].astype(float)) for frame in clip} == {"g"}
