"""Pictures whose corners tell how they are shown, and files of them in many containers and codecs."""

import io
import pathlib
import struct
from fractions import Fraction

import av
import numpy as np

from prismlab.data.video import encode

SAMPLES = pathlib.Path(__file__).parent / "data/video/samples"
RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 180, 30), (40, 40, 210), (210, 200, 40)
WHITE, BLACK, MAGENTA = (255, 255, 255), (0, 0, 0), (255, 0, 255)
# Names of the corners at the top left, top right, bottom left, bottom right.
CODED = "rgby"


def scene(width: int, height: int) -> np.ndarray:
    """Return a grey picture with a coloured square of 16 pixels in each corner."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[:16, :16], pixels[:16, -16:], pixels[-16:, :16], pixels[-16:, -16:] = RED, GREEN, BLUE, YELLOW
    return pixels


def written(
    kind: str, codec: str, pictures, pixels: str = "yuv420p", aspect=None, start=0, matrix=None, **options
):
    """Return a file of the given pictures, each uint8 [h, w, 3 or 4], ten a second."""
    buffer = io.BytesIO()
    options = {key: str(value) for key, value in options.items()}
    with av.open(buffer, "w", format=kind) as opened:
        stream = opened.add_stream(codec, rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], pixels
        stream.codec_context.thread_count = 1
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix:
            stream.set_display_matrix(matrix)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = number + start, Fraction(1, 10)
            opened.mux(stream.encode(frame))
        opened.mux(stream.encode(None))
    return buffer.getvalue()


def filtered(video: bytes, what: str, kind: str) -> bytes:
    """Return a file after a bitstream filter of FFmpeg."""
    buffer = io.BytesIO()
    with av.open(io.BytesIO(video)) as source, av.open(buffer, "w", format=kind) as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        change = av.BitStreamFilterContext(what, stream, copied)
        for packet in [*(each for each in source.demux(stream) if each.size), None]:
            for made in change.filter(packet):
                made.stream = copied
                target.mux(made)
    return buffer.getvalue()


def named(colour: np.ndarray) -> str:
    near = {"r": RED, "g": GREEN, "b": BLUE, "y": YELLOW, "w": WHITE, "k": BLACK, "m": MAGENTA}
    return min(near, key=lambda name: float(np.abs(colour - np.asarray(near[name], float)).sum()))


def corners(pixels: np.ndarray, inset: int = 4) -> str:
    """Return the names of the colours in the four corners."""
    far = -1 - inset
    return "".join(named(pixels[y, x].astype(float)) for y in (inset, far) for x in (inset, far))


def widths(pixels: np.ndarray) -> tuple[int, int]:
    """Return width and height of the red corner."""
    red = np.abs(pixels.astype(int) - RED).sum(-1) < 90
    return int(red.any(0).sum()), int(red.any(1).sum())


PICTURE = scene(96, 64)
MP4 = encode.encode(np.stack([PICTURE] * 4), 10)


def turned(matrix: tuple[float, ...], video: bytes = MP4) -> bytes:
    """Write a display matrix (a, b, c, d) into the track header of an MP4."""
    start = video.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = (round(value * 65536) for value in matrix)
    return video[:start] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + video[start + 36 :]
