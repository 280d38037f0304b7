"""Encode RGB frames as H.264 MP4."""

import io
from fractions import Fraction

import av
import numpy as np
from av.video import reformatter
from jaxtyping import UInt8

from prismlab.core import errors


def encode(
    frames: UInt8[np.ndarray, "t height width 3"],
    fps: int | Fraction,
    *,
    crf: int = 18,
    preset: str = "veryfast",
    gop: int = 8,
) -> bytes:
    """Encode frames as an H.264 MP4 in memory; deterministic (single thread, no timestamps in the file).

    Args:
        frames: uint8 [t, height, width, 3], RGB; even height and width (4:2:0 chroma).
        fps: frames per second.
        crf: x264 constant rate factor, from 0 (lossless) to 51; 18 is visually close to the source.
        preset: x264 preset.
        gop: GOP size, the number of frames between key frames.

    Returns:
        The bytes of the MP4 file; equal for equal frames with the same build of x264.
    """
    even = frames.ndim == 4 and frames.shape[3] == 3 and not frames.shape[1] % 2 and not frames.shape[2] % 2
    if frames.dtype != np.uint8 or not even:
        raise errors.UserError(
            "expected frames as uint8 [t, height, width, 3] with even height and width, got "
            f"{frames.dtype} {frames.shape}; crop the odd row or column"
        )
    buffer = io.BytesIO()
    converter = reformatter.VideoReformatter()
    with av.open(buffer, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        # Without B-frames, presentation order equals coding order: fastest to encode and decode.
        # mbtree and look-ahead are off for determinism: x264's macroblock-tree rate control reads
        # uninitialized memory, which changed the output of about one clip in forty.
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
