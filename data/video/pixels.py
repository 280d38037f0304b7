"""Convert frames, as shown, to RGB arrays of the size of their video."""

from collections.abc import Iterator, Sequence

import av
import numpy as np
from av.video import reformatter
from jaxtyping import UInt8
from PIL import Image

from prismlab.core import errors
from prismlab.data.video.containers import opening
from prismlab.data.video.presentation import geometry


class Converter:
    """Converts the frames of one video to upright RGB arrays of one size.

    Args:
        short_side: length of the shorter side in pixels, or None to keep the size.
        label: name of the video in error messages.
        enlarge: upscale smaller videos; if False they keep their size.
    """

    def __init__(self, short_side: int | None, label: str, *, enlarge: bool = True):
        self._short_side, self._label, self._enlarge = short_side, label, enlarge
        self._reformatter = reformatter.VideoReformatter()

    def __call__(self, shown: geometry.Shown) -> UInt8[np.ndarray, "height width 3"]:
        """Convert one frame to uint8 RGB pixels of the size of the video's first frame, scaled."""
        canvas = scaled(shown.canvas, self._short_side, self._enlarge)
        if isinstance(shown.frame, np.ndarray):
            return resized(shown.frame, canvas)
        size = canvas if shown.size == shown.canvas else geometry.fitted(shown.size, canvas)
        coded = (size[1], size[0]) if shown.orientation.transpose else size
        frame = shown.frame
        if any(shown.margins) or geometry.has_alpha(frame.format.name):
            frame = self._opaque(frame, shown.margins)
        pixels = shown.orientation(self._reformat(frame, "rgb24", coded))
        if size == canvas:
            return pixels
        framed = np.zeros((canvas[1], canvas[0], 3), np.uint8)
        left, top = (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2
        framed[top : top + size[1], left : left + size[0]] = pixels
        return framed

    def _opaque(self, frame: av.VideoFrame, margins: geometry.Margins) -> av.VideoFrame:
        # Before resizing, so that neither hidden colours nor cropped pixels leak over an edge.
        left, right, top, bottom = margins
        whole = self._reformat(frame, "rgba", (frame.width, frame.height))
        inside = whole[top : frame.height - bottom, left : frame.width - right]
        return av.VideoFrame.from_ndarray(geometry.composite(inside), format="rgb24")

    def _reformat(self, frame: av.VideoFrame, kind: str, size: geometry.Size) -> np.ndarray:
        try:
            return self._reformatter.reformat(
                frame,
                width=size[0],
                height=size[1],
                format=kind,
                interpolation=reformatter.Interpolation.BILINEAR,
                threads=1,
            ).to_ndarray()
        except (av.error.FFmpegError, ValueError) as error:
            raise errors.UserError(
                f"{self._label}: expected pixels convertible to RGB, got {frame.format.name} ('{error}'); "
                "convert the video to H.264 or drop it"
            ) from error


def scaled(size: geometry.Size, short_side: int | None, enlarge: bool = True) -> geometry.Size:
    """Return a size whose shorter side has the given length; smaller sizes are kept without `enlarge`."""
    shorter = min(size)
    side = shorter if short_side is None else short_side
    side = side if enlarge else min(side, shorter)
    return max(1, round(size[0] * side / shorter)), max(1, round(size[1] * side / shorter))


def resized(pixels: UInt8[np.ndarray, "h w 3"], size: geometry.Size) -> UInt8[np.ndarray, "H W 3"]:
    """Resize a picture with Pillow's bilinear filter; no-op for an equal size."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def gathered(
    frames: Iterator[tuple[int, UInt8[np.ndarray, "h w 3"]]],
    indices: Sequence[int] | None,
    limits: opening.Limits,
    label: str,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Gather frames that come one at a time, within `Limits.max_decoded_bytes`.

    Args:
        frames: (index, pixels) in ascending order, each index once.
        indices: indices in the order of the result, repeats allowed; None for all frames as they come.
        limits: limits on the file.
        label: name of the video in error messages.

    Raises:
        errors.UserError: if the frames exceed the limit, differ in size, or there are none.
    """
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices or ()):
        places.setdefault(int(index), []).append(place)
    made, kept = np.empty((0, 0, 0, 3), np.uint8), list[np.ndarray]()
    for index, pixels in frames:
        count = len(kept) + 1 if indices is None else len(indices)
        if count * pixels.nbytes > limits.max_decoded_bytes:
            raise errors.UserError(
                f"{label}: expected decoded frames of at most {limits.max_decoded_bytes >> 20} MiB, "
                "got more; shorten the clip, lower short_side or raise Limits.max_decoded_bytes"
            )
        if indices is None:
            kept.append(pixels)
        else:
            made = made if len(made) else np.empty((len(indices), *pixels.shape), np.uint8)
            made[places[index]] = pixels
    return np.stack(kept) if indices is None else made
