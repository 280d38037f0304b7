"""Read pictures (one image file) with Pillow, and know every file ending that is a picture.

`READ` and `REFUSED` are the one table of picture endings for all inputs. Pictures never reach FFmpeg: a file
that is given as a video, but is a picture by its first bytes, is read here.
"""

import dataclasses
import io
import posixpath
import warnings

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, ImageOps

from prismlab.core import errors
from prismlab.data.video.containers import opening
from prismlab.data.video.presentation import geometry

# Ending -> Pillow's format. A GIF is a picture (its first frame) in folders of pictures, else a video.
READ = {
    **dict.fromkeys((".jpg", ".jpeg", ".jfif"), "JPEG"),
    **{".png": "PNG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".avif": "AVIF"},
}
# Recognized, so that they are not passed over in silence, but not read: large attack surface, or no decoder.
REFUSED = (".tif", ".tiff", ".jp2", ".j2k", ".jpx", ".heic", ".heif", ".jxl", ".psd", ".dng", ".exr", ".hdr")
FORMATS = tuple(dict.fromkeys(READ.values()))
_WAY_OUT = "convert it to PNG or JPEG"
_EXIF_ORIENTATION = 0x0112
# Pillow warns about large images; `Limits.max_pixels` rejects them before decoding. The filter is global
# because warnings.catch_warnings is not thread-safe.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image, as shown.

    Args:
        pixels: uint8 [h, w, 3], RGB, upright, on `geometry.BACKGROUND` where transparent.
        traits: which of `geometry.TRAITS` apply to the file.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    traits: frozenset[str]


def refusal(name: str) -> str:
    """Return why a file is not read, judged by its name or ending; empty if it is not in `REFUSED`."""
    ending = posixpath.splitext("a" + posixpath.basename(name))[1].lower()
    return f"expected a picture of {', '.join(READ)}, got {ending}; {_WAY_OUT}" if ending in REFUSED else ""


def inside(video: opening.Video, limits: opening.Limits, label: str) -> bytes | None:
    """Return the bytes of a file that was given as a video, if it is a picture that is read (not a GIF).

    Args:
        video: bytes of a file, or its path.
        limits: limits on the file.
        label: name of the file in error messages.

    Raises:
        errors.UserError: if the file is missing, empty or too large.
    """
    if isinstance(video, bytes) and video and not _is_picture(video[:16]):
        return None
    with opening.file_of(video, limits, label) as file:
        if not _is_picture(file.read(16)):
            return None
        file.seek(0)
        data = file.read()
    return None if _is_motion_jpeg(data) else data


def _is_picture(head: bytes) -> bool:
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return webp or head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"BM")) or head[4:12] == b"ftypavif"


def _is_motion_jpeg(data: bytes) -> bool:
    # JPEGs one after the other are a video, unless they are marked as pictures of one scene (MPO).
    return data.startswith(b"\xff\xd8") and b"\xff\xd9\xff\xd8\xff" in data and b"MPF\0" not in data[:65536]


def read(data: bytes, limits: opening.Limits, name: str) -> Picture:
    """Decode one image file; the first frame of an animation.

    Args:
        data: bytes of a file in one of FORMATS.
        limits: max_bytes applies to the file, max_pixels to the image.
        name: name of the image in error messages.

    Raises:
        errors.UserError: if the image is unreadable, truncated, of an unknown depth, or exceeds a limit.
    """
    if len(data) > limits.max_bytes:
        raise errors.UserError(f"{name}: expected at most {limits.max_bytes} bytes, got {len(data)}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                raise errors.UserError(
                    f"{name}: expected at most {limits.max_pixels} pixels, got {width}x{height}; "
                    "downscale the image or raise Limits.max_pixels"
                )
            _scale_transparent_colour(image, data)
            traits = set()
            # In place, and converted only if the mode requires it, to avoid copies.
            orientation = image.getexif().get(_EXIF_ORIENTATION)
            if orientation in (*geometry.MIRRORED_EXIF, *geometry.ROTATED_EXIF):
                mirrored = orientation in geometry.MIRRORED_EXIF
                traits.add(geometry.MIRRORED if mirrored else geometry.ROTATED)
                ImageOps.exif_transpose(image, in_place=True)
            pixels, transparent = _flat(image, name)
    except errors.UserError:
        raise
    except (
        Exception
    ) as error:  # damaged files make Pillow raise OSError, ValueError, SyntaxError, struct.error, ...
        known = ", ".join(FORMATS)
        reason = f"none of {known}" if isinstance(error, Image.UnidentifiedImageError) else error
        raise errors.UserError(
            f"{name}: expected a readable image, got '{reason}'; copy it again or drop it"
        ) from error
    return Picture(pixels, frozenset(traits | ({geometry.TRANSPARENT} if transparent else set())))


def _scale_transparent_colour(image: ImageFile.ImageFile, data: bytes) -> None:
    """Bring the transparent colour of a PNG to the depth of its pixels, which Pillow scales to 8 bits."""
    clear, raw = image.info.get("transparency"), image.tile[0].args if image.tile else ""
    if image.format != "PNG" or clear is None:
        return
    if raw in ("L;2", "L;4"):
        image.info["transparency"] = clear * (85 if raw == "L;2" else 17)
    elif raw == "RGB;16B":
        with Image.open(io.BytesIO(data), formats=FORMATS) as low:
            low.tile = [each._replace(args="RGB;16L") for each in low.tile]  # the lower bytes
            wide = np.asarray(image).astype(np.uint16) << 8 | np.asarray(low)
        image.putalpha(Image.fromarray(np.where((wide == clear).all(-1), 0, 255).astype(np.uint8)))
        del image.info["transparency"]


def _flat(image: Image.Image, name: str) -> tuple[np.ndarray, bool]:
    """Return the RGB pixels of an image of any mode, and whether some of them are transparent."""
    clear = image.info.get("transparency")
    if image.mode == "RGB" and clear is None:
        return np.asarray(image), False
    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        deep = np.asarray(image).astype(np.uint32)
        grey = ((deep + 128) // 257).astype(np.uint8)
        shown = np.where(deep == clear, 0, 255).astype(np.uint8) if isinstance(clear, int) else None
        alpha = np.full_like(grey, 255) if shown is None else shown
        rgba = np.stack([grey, grey, grey, alpha], axis=-1)
    elif image.mode in ("I", "F"):
        raise errors.UserError(
            f"{name}: expected 8 or 16 bits a channel, got Pillow's mode {image.mode} of unknown range; "
            f"{_WAY_OUT}"
        )
    elif clear is None and not image.has_transparency_data:
        return np.asarray(image.convert("RGB")), False
    else:
        rgba = np.asarray(image.convert("RGBA"))
    if rgba[..., 3].min() == 255:
        return np.ascontiguousarray(rgba[..., :3]), False
    return geometry.composite(rgba), True
