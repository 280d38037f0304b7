"""Choose the track of a file that a player would show."""

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from prismlab.core import errors

# Covers and preview pictures, which players do not show as the film.
_STILLS = ("mjpeg", "png", "apng", "bmp", "gif", "webp", "tiff")
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails


def film(container: InputContainer, label: str) -> VideoStream:
    """Return the video track to decode: the default track, else the largest; never a cover picture.

    A track of a single frame, or of a codec of pictures with no known number of frames, is chosen only if
    there is no other, as covers are not always marked. Among
    several default tracks the largest is chosen, and among equals the first.

    Args:
        container: an open file.
        label: name of the video in error messages.

    Raises:
        errors.UserError: if the file has no video track, or only covers, or the codec is unknown.
    """
    tracks = [track for track in container.streams.video if not track.disposition & _PICTURES]
    if not tracks:
        covers = len(container.streams.video)
        got = "sound with a cover picture" if covers and container.streams.audio else "a cover picture"
        raise errors.UserError(
            f"{label}: expected a video stream, got {got if covers else 'none'}; drop the file"
        )
    chosen = max(tracks, key=_rank)
    if chosen.codec_context is None:
        raise errors.UserError(
            f"{label}: expected a supported video codec, got an unknown one; "
            "the file is damaged or must be converted to H.264"
        )
    return chosen


def _rank(track: VideoStream) -> tuple[bool, bool, int]:
    context = track.codec_context
    pixels = context.width * context.height if context is not None else 0
    still = track.frames == 1 or (not track.frames and context is not None and context.name in _STILLS)
    return not still, bool(track.disposition & Disposition.default), pixels
