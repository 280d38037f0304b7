"""Open a video file so that its content reaches nothing but itself, within a time limit.

FFmpeg chooses the reader (demuxer) by content, whatever the file is called, and some readers open other files
or sockets that the content names: ffconcat scripts, HLS playlists, session descriptions. Every video is
therefore opened here: the reader must be in `FORMATS`, FFmpeg receives no path but a Python file, a request
to open anything else is refused, and the deadline covers opening and probing.
"""

import contextlib
import dataclasses
import io
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import av
from av.container import InputContainer

from prismlab.core import errors

# Metadata such as titles may not be UTF-8. PyAV 19 keeps such bytes as surrogates; PyAV 18 has an option.
_METADATA: dict[str, Any] = (
    {"metadata_errors": "surrogateescape"} if int(av.__version__.partition(".")[0]) < 19 else {}
)

Video = bytes | str | os.PathLike[str]
# Readers of FFmpeg that may run: containers and streams that hold the pictures themselves. Sound formats are
# listed so that a sound file is refused as such.
FORMATS = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc", "vvc", "av1", "obu"),
    *("ivf", "flv", "ogg", "asf", "gif", "apng", "yuv4mpegpipe", "mxf", "dv", "rm", "wtv", "nut", "h261"),
    *("h263", "vc1", "mjpeg", "swf", "dirac", "cavsvideo"),
    *(
        "mp3",
        "flac",
        "wav",
        "w64",
        "aac",
        "ac3",
        "eac3",
        "aiff",
        "caf",
        "amr",
        "ape",
        "wv",
        "au",
        "tta",
        "dts",
    ),
)
_HEAD = 4096  # bytes at the beginning that identify a refused file
# What a file is by its first bytes; only read to name a file that was refused.
_SIGNS = (
    (b"ffconcat version", "an ffconcat script, which shows other files"),
    (b"#EXTM3U", "a playlist (m3u8), which shows other files"),
    (b"[playlist]", "a playlist (pls), which shows other files"),
    (b"# VobSub index", "a subtitle index"),
    (b"WEBVTT", "subtitles"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Resource limits for decoding one video, to protect against broken or malicious files.

    Args:
        max_bytes: maximum size of the encoded file.
        max_frames: maximum number of frames decoded from one file.
        max_pixels: maximum height * width of one frame, before resizing.
        seconds: maximum wall-clock time for opening and decoding one file.
        max_decoded_bytes: maximum size of the decoded frames of one clip that are held at the same time.
    """

    max_bytes: int = 1 << 30
    max_frames: int = 20_000
    max_pixels: int = 4096 * 4096
    seconds: float = 120.0
    max_decoded_bytes: int = 2 << 30


class Guarded:
    """File object for FFmpeg that ends at a deadline, so that no reader can run without end.

    Args:
        file: the video, opened for reading.
        limits: limits on the file.
        label: name of the video in error messages.
    """

    def __init__(self, file: io.BufferedIOBase, limits: Limits, label: str):
        self.file, self._limits, self._label = file, limits, label
        self._start = time.monotonic()
        self._deadline = self._start + limits.seconds
        self._late = False
        self._fault: OSError | None = None

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none after the deadline (FFmpeg would swallow an exception)."""
        if self._late or time.monotonic() > self._deadline:
            self._late = True
            return b""
        try:
            return self.file.read(size)
        except OSError as error:
            self._fault = error
            return b""

    def excuse(self, seconds: float) -> None:
        """Extend the deadline by all the seconds so far in which the caller did not decode."""
        self._deadline = self._start + self._limits.seconds + seconds

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position; see `io.IOBase.seek`."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in bytes."""
        return self.file.tell()

    def check(self, frames: int) -> None:
        """Raise if the deadline has passed or the file could not be read.

        Args:
            frames: number of frames decoded so far, for the message.

        Raises:
            errors.UserError: if the time limit is exceeded or reading failed.
        """
        if self._fault is not None:
            raise errors.UserError(
                f"{self._label}: expected a readable file, got '{self._fault}'; copy it again"
            )
        if self._late or time.monotonic() > self._deadline:
            raise errors.UserError(
                f"{self._label}: expected opening and decoding within {self._limits.seconds} s, got {frames} "
                "frames in that time; split the video or raise Limits.seconds"
            )


def label_of(video: Video, name: str | None) -> str:
    """Return the name of a video for error messages: `name`, else its path, else "video in memory"."""
    if name is not None:
        return name
    return "video in memory" if isinstance(video, bytes) else str(video)


@contextlib.contextmanager
def opened(video: Video, limits: Limits, label: str) -> Iterator[tuple[InputContainer, Guarded]]:
    """Open a video for reading; the only place where content reaches FFmpeg's demuxers.

    Args:
        video: bytes of a video file, or its path.
        limits: limits on the file; the time counts from here.
        label: name of the video in error messages.

    Yields:
        The container, and the guarded file whose `check` raises after the deadline.

    Raises:
        errors.UserError: if the video is missing, empty, too large, not in `FORMATS`, asks for another file,
            or cannot be opened in time.
        av.error.FFmpegError: if the file is damaged (while reading from the container too).
    """
    with file_of(video, limits, label) as file:
        guarded = Guarded(file, limits, label)
        try:
            container = av.open(
                guarded,
                "r",
                container_options={"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "none"},
                io_open=_refuser(label),
                **_METADATA,
            )
        except av.error.FFmpegError as error:
            guarded.check(0)
            _explain(file, label, error)
            raise
        with container:
            guarded.check(0)
            yield container, guarded


@contextlib.contextmanager
def file_of(video: Video, limits: Limits, label: str) -> Iterator[io.BufferedIOBase]:
    """Open the bytes of a video, without FFmpeg.

    Args:
        video: bytes of a video file, or its path.
        limits: max_bytes applies to the file.
        label: name of the video in error messages.

    Raises:
        errors.UserError: if the video is missing, empty, too large or not readable.
    """
    if isinstance(video, bytes):
        size = len(video)
    else:
        path = pathlib.Path(video)
        if not path.is_file():
            raise errors.UserError(f"{label}: expected a video file, found none; correct the path")
        size = path.stat().st_size
    if size == 0:
        raise errors.UserError(f"{label}: expected a video, got 0 bytes; copy the file again or drop it")
    if size > limits.max_bytes:
        raise errors.UserError(
            f"{label}: expected at most {limits.max_bytes} bytes, got {size}; split the video"
        )
    if isinstance(video, bytes):
        yield io.BytesIO(video)
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise errors.UserError(
            f"{label}: expected a readable file, got '{error.strerror}'; correct its permissions"
        ) from error
    with file:
        yield file


def _refuser(label: str) -> Callable[[str, int, Mapping[str, str]], None]:
    def refuse(url: str, flags: int, options: Mapping[str, str]) -> None:
        del flags, options
        raise errors.UserError(
            f"{label}: expected a video that is complete in itself, got one that asks for {url[:80]!r}; "
            "drop the file or convert it to one MP4"
        )

    return refuse


def _explain(file: io.BufferedIOBase, label: str, error: av.error.FFmpegError) -> None:
    """Raise an error that names what the file is, if its first bytes show it."""
    file.seek(0)
    head = file.read(_HEAD)
    what = kind_of(head)
    # FFmpeg reports a reader outside of the list as an invalid argument.
    if not what and isinstance(error, av.error.ArgumentError):
        what = "a file of another kind"
    if what:
        raise errors.UserError(
            f"{label}: expected a video file (such as MP4, Matroska, MPEG), got {what}; "
            "the file is damaged or not a video: copy it again or drop it"
        ) from error


def kind_of(head: bytes) -> str:
    """Return what a file is that is no video, judged by its first bytes; empty if unknown.

    Args:
        head: the first bytes of the file.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for sign, what in _SIGNS:
        if text.startswith(sign):
            return what
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    lines = text.replace(b"\r", b"\n").split(b"\n")
    if any(line.startswith(b"m=") for line in lines) and any(b"=IN IP" in line for line in lines):
        return "a session description (SDP), which opens network connections"
    if b"<MPD" in text:
        return "a DASH manifest, which shows other files"
    if text.startswith(b"<") or (text and b"\0" not in text and _is_text(text)):
        return "a text file"
    return ""


def _is_text(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # a character that the end of the head cuts in two
    return True
