"""Resolve how a decoded frame is shown: orientation, pixel aspect, cropping, transparency, change of size.

This is the only place for these rules. `container.decoded` and `h264_groups` yield `Shown` frames, and
`pixels.Converter` turns them into arrays, so that every consumer sees equal pixels.

- The whole display matrix is applied, mirrors included. A singular matrix is ignored, as by players; an angle
  that is not a multiple of 90 degrees is refused.
- Non-square pixels become square by enlarging the shorter direction, so that no detail is lost.
- Cropping of the codec and of the container is applied before the orientation.
- The size of a video is that of its first frame. Frames of another size are scaled to fit into it, centred on
  black, without a change of their aspect ratio.
- Transparent pixels are composited onto BACKGROUND, as a browser does; the colours below are never shown.
"""

import bisect
import dataclasses
import functools
import math
import struct
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from jaxtyping import UInt8

from prismlab.core import errors
from prismlab.data.video.presentation import rational

# White, the background of a page in a browser.
BACKGROUND = 255
ROTATED, MIRRORED = "rotated", "mirrored"
OBLIQUE, SINGULAR = "turned by an angle that is not a quarter turn", "orientation that is ignored (singular)"
NON_SQUARE, CROPPED, TRANSPARENT = "non-square pixels", "cropped by the container", "transparent"
INTERLACED, RESIZED = "interlaced", "changes its size"
TRAITS = (ROTATED, MIRRORED, OBLIQUE, SINGULAR, NON_SQUARE, CROPPED, TRANSPARENT, INTERLACED, RESIZED)

_UNALIGNED = 1  # AV_CODEC_FLAG_UNALIGNED: apply the codec's cropping exactly, not rounded to 32 pixels
# FFmpeg's own VP8 and VP9 decoders ignore alpha; these decode it.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Deviation of a quarter turn that counts as rounding: one degree, as in FFmpeg.
_TOLERANCE = math.sin(math.radians(1.0))

Size = tuple[int, int]  # width, height
Margins = tuple[int, int, int, int]  # columns cut off at the left and right, rows at the top and bottom


@dataclasses.dataclass(frozen=True)
class Orientation:
    """Quarter turn or mirror image, as an optional transposition followed by flips.

    Args:
        transpose: exchange rows and columns.
        flip_rows: reverse the order of the rows (upside down), after the transposition.
        flip_columns: reverse the order of the columns (left to right), after the transposition.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def __call__(self, pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """Return the upright pixels, contiguous."""
        if self == UPRIGHT:
            return pixels
        turned = pixels.transpose(1, 0, 2) if self.transpose else pixels
        rows, columns = (slice(None, None, -1 if flip else 1) for flip in (self.flip_rows, self.flip_columns))
        return np.ascontiguousarray(turned[rows, columns])

    @property
    def trait(self) -> str | None:
        """`ROTATED`, `MIRRORED` or None."""
        if self == UPRIGHT:
            return None
        return MIRRORED if (self.transpose + self.flip_rows + self.flip_columns) % 2 else ROTATED


UPRIGHT = Orientation()
# Orientations of EXIF tag 0x0112, which Pillow applies to pictures.
MIRRORED_EXIF, ROTATED_EXIF = (2, 4, 5, 7), (3, 6, 8)


def matrix_class(matrix: bytes) -> Orientation | str:
    """Return the orientation of a display matrix, or `SINGULAR` or `OBLIQUE`.

    Args:
        matrix: nine int32 in native byte order, a b u c d v x y w: (x, y) goes to (a x + c y, b x + d y).
            Scales are ignored: FFmpeg turns unequal ones into a pixel aspect ratio.
    """
    a, b, _, c, d, *_ = (float(each) for each in struct.unpack("=9i", matrix[:36]))
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down or abs(a * d - b * c) < 1e-6 * across * down:
        return SINGULAR
    a, c, b, d = a / across, c / across, b / down, d / down
    if max(abs(b), abs(c)) < _TOLERANCE:
        return Orientation(False, flip_rows=d < 0, flip_columns=a < 0)
    if max(abs(a), abs(d)) < _TOLERANCE:
        return Orientation(True, flip_rows=b < 0, flip_columns=c < 0)
    return OBLIQUE


def frame_matrix(frame: av.VideoFrame) -> bytes | None:
    """Return the display matrix of a frame, from its container or codec."""
    # Not `frame.side_data`: that refers to the frame, and the frame to it, so the frame's buffer would stay
    # until the next garbage collection.
    found = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    return None if found is None else bytes(found)  # type: ignore[call-overload]


@dataclasses.dataclass(frozen=True)
class Shown:
    """Decoded frame with all that decides how it is shown.

    Args:
        frame: the frame as decoded, or the upright RGB pixels of a picture.
        canvas: size of the video, that of its first frame as shown.
        orientation: applied last.
        aspect: width of a pixel divided by its height.
        margins: cropping by the container, in pixels of the frame.
    """

    frame: av.VideoFrame | UInt8[np.ndarray, "h w 3"]
    canvas: Size
    orientation: Orientation = UPRIGHT
    aspect: Fraction = Fraction(1)
    margins: Margins = (0, 0, 0, 0)

    @property
    def size(self) -> Size:
        """Width and height of this frame as shown, in square pixels."""
        if isinstance(self.frame, np.ndarray):
            return self.frame.shape[1], self.frame.shape[0]
        return _shown_size(self.frame, self.orientation, self.aspect, self.margins)

    def traits(self) -> set[str]:
        """Return which of `TRAITS` but `TRANSPARENT` apply to this frame; without a look at its pixels."""
        found = {self.orientation.trait} if self.orientation.trait else set()
        found |= {NON_SQUARE} if self.aspect != 1 else set()
        found |= {CROPPED} if any(self.margins) else set()
        found |= {RESIZED} if self.size != self.canvas else set()
        if not isinstance(self.frame, np.ndarray) and self.frame.interlaced_frame:
            found.add(INTERLACED)
        return found

    def transparent(self) -> bool:
        """Return whether some pixels are transparent; slow where the pixel format has alpha."""
        if isinstance(self.frame, np.ndarray) or not has_alpha(self.frame.format.name):
            return False
        return bool(self.frame.to_ndarray(format="rgba")[..., 3].min() < 255)


class Display:
    """Geometry of one video stream, which may change while it is decoded.

    Args:
        stream: the stream, not yet decoded.
        margins: cropping by the container, see `container_crop`.
        max_pixels: maximum height * width of a frame as shown.
        label: name of the video in error messages.
    """

    def __init__(self, stream: VideoStream, margins: Margins, max_pixels: int, label: str):
        self.decoder = _decoder(stream, label)
        self._coded = (stream.codec_context.width, stream.codec_context.height)
        self._margins, self._max_pixels, self._label = margins, max_pixels, label
        self._canvas: Size | None = None
        own = rational.exact(stream.sample_aspect_ratio)
        codec = rational.exact(stream.codec_context.sample_aspect_ratio)
        # As in FFmpeg, the container's ratio wins over the codec's, which may change at a key frame.
        self._fixed = own if own != codec else None
        self._starts: list[int] = []
        self._aspects: list[Fraction] = [_positive(self._fixed or codec)]

    def read(self, packet: Packet) -> None:
        """Note a new pixel aspect; called after a packet was decoded, before its frames are shown."""
        if self._fixed is None and packet.is_keyframe and packet.pts is not None:
            aspect = _positive(rational.exact(self.decoder.sample_aspect_ratio))
            if aspect != self._aspects[-1]:
                self._starts.append(packet.pts)
                self._aspects.append(aspect)

    def show(self, frame: av.VideoFrame) -> Shown:
        """Return a decoded frame as shown.

        Raises:
            errors.UserError: if it is turned by an angle that is not a quarter turn, or is shown larger than
                the limit.
        """
        matrix = frame_matrix(frame)
        turn = UPRIGHT if matrix is None else matrix_class(matrix)
        if turn == OBLIQUE:
            raise errors.UserError(
                f"{self._label}: expected a rotation of 0, 90, 180 or 270 degrees, got one {turn} "
                f"({frame.rotation} degrees); encode the video again, upright"
            )
        orientation = UPRIGHT if isinstance(turn, str) else turn
        # A container crops frames of the size that it declares.
        margins = self._margins if (frame.width, frame.height) == self._coded else (0, 0, 0, 0)
        at = len(self._starts) if frame.pts is None else bisect.bisect_right(self._starts, frame.pts)
        size = _shown_size(frame, orientation, self._aspects[at], margins)
        if size[0] * size[1] > self._max_pixels:
            raise errors.UserError(
                f"{self._label}: expected at most {self._max_pixels} pixels a frame, got {size[0]}x{size[1]} "
                f"(pixel aspect {self._aspects[at]}); downscale the video or raise Limits.max_pixels"
            )
        self._canvas = self._canvas or size
        return Shown(frame, self._canvas, orientation, self._aspects[at], margins)


def picture(pixels: UInt8[np.ndarray, "h w 3"]) -> Shown:
    """Return the upright RGB pixels of a picture as the only frame of a video."""
    return Shown(pixels, (pixels.shape[1], pixels.shape[0]))


@functools.lru_cache(maxsize=256)
def has_alpha(pixel_format: str) -> bool:
    """Return whether frames of an FFmpeg pixel format can be transparent."""
    found = av.VideoFormat(pixel_format)
    return found.has_palette or any(component.is_alpha for component in found.components)


def composite(rgba: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Composite pixels with straight alpha onto BACKGROUND."""
    alpha = rgba[..., 3:].astype(np.uint32)
    mixed = rgba[..., :3] * alpha + BACKGROUND * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def fitted(size: Size, canvas: Size) -> Size:
    """Return the largest size of the same aspect ratio inside a canvas; differences of a pixel are filled."""
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    inside = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    near = all(abs(one - other) <= 1 for one, other in zip(inside, canvas))
    return canvas if near else (min(inside[0], canvas[0]), min(inside[1], canvas[1]))


def _shown_size(frame: av.VideoFrame, orientation: Orientation, aspect: Fraction, margins: Margins) -> Size:
    width, height = frame.width - margins[0] - margins[1], frame.height - margins[2] - margins[3]
    if aspect > 1:
        width = round(width * aspect)
    elif aspect < 1:
        height = round(height / aspect)
    return (height, width) if orientation.transpose else (width, height)


def _positive(aspect: Fraction | None) -> Fraction:
    return aspect if aspect is not None and aspect > 0 else Fraction(1)


def _decoder(stream: VideoStream, label: str) -> VideoCodecContext:
    """Return the decoder of a stream: single-threaded, exact cropping, with alpha if the file has it."""
    decoder = stream.codec_context
    other = _ALPHA_DECODERS.get(decoder.name)
    if other is not None and stream.metadata.get("alpha_mode") == "1":
        if other not in av.codecs_available:
            raise errors.UserError(
                f"{label}: expected FFmpeg with the decoder {other} for transparent video, found none; "
                "install the wheels of PyAV or encode the video without alpha"
            )
        decoder = cast(VideoCodecContext, VideoCodecContext.create(other, "r"))
    decoder.thread_count = 1
    decoder.flags |= _UNALIGNED
    return decoder
