"""Frames to H.264."""

import io
from fractions import Fraction

import av
import numpy as np
from av.video import reformatter
from jaxtyping import UInt8


def encode(
    frames: UInt8[np.ndarray, "t height width 3"],
    fps: int | Fraction,
    *,
    crf: int = 18,
    preset: str = "veryfast",
    gop: int = 8,
) -> bytes:
    """Encode frames as an H.264 MP4 in memory, with one thread and no date: equal frames give equal bytes.

    Args:
        frames: uint8 [t, height, width, 3], RGB; even height and width (4:2:0 colour).
        fps: frames per second.
        crf: constant rate factor of x264, 0 (lossless) to 51; 18 is visually close to the source.
        preset: x264 preset.
        gop: frames from one key frame to the next.

    Returns:
        The bytes of the file; they depend on the build of x264.
    """
    assert frames.dtype == np.uint8, frames.dtype
    assert frames.ndim == 4, frames.shape
    assert frames.shape[3] == 3, frames.shape
    assert frames.shape[1] % 2 == 0, frames.shape
    assert frames.shape[2] % 2 == 0, frames.shape
    buffer = io.BytesIO()
    converter = reformatter.VideoReformatter()
    with av.open(buffer, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        # Without B-frames the presentation order is the coding order: cheapest to write and to read.
        # Without look-ahead equal frames give equal bytes: x264's rate control by macroblock tree reads
        # memory it never wrote, and one clip in forty came out otherwise.
        options = {"preset": preset, "crf": str(crf), "bf": "0", "x264-params": "mbtree=0:rc-lookahead=0"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = gop
        for number, pixels in enumerate(np.ascontiguousarray(frames)):
            image = converter.reformat(
                av.VideoFrame.from_ndarray(pixels, format="rgb24"), format="yuv420p", threads=1
            )
            image.pts, image.time_base = number, 1 / Fraction(fps)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return buffer.getvalue()
