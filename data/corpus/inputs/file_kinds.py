"""Detect the kind of a path: video, image or folder of frames."""

import posixpath
import re

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.corpus.inputs import media
from prismlab.data.video import listing

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
VIDEOS = listing.SUFFIXES
_MOST_PICTURE_BYTES = 256 << 20


def suffix(name: str) -> str:
    """Return the lower-case file extension of a name, with the dot."""
    return posixpath.splitext(name)[1].lower()


def medium(path: str, name: str, cuts: tuple[media.Cut, ...], fps: float | None = None) -> media.Medium:
    """Return the medium at a path; a missing file gives an error later, per clip.

    Args:
        path: path or URL, already checked to be below the root.
        name: name used in error messages.
        cuts: clips to cut from it.
        fps: frames per second, for a folder of frames.
    """
    kind = urls.what(path)
    if kind == "file" and suffix(path) in PICTURES:
        return media.Medium(name, "image", cuts, read=lambda: [urls.read(path, _MOST_PICTURE_BYTES)])
    if kind == "folder":
        return media.Medium(name, "frames", cuts, read=lambda: frames_of(path), fps=fps)
    return media.Medium(name, "video", cuts, path=path)


def frames_of(folder: str) -> list[bytes]:
    """Read the image files of a folder, in natural sort order (frame_2 before frame_10).

    Raises:
        UserError: the folder has no images.
    """
    names = sorted((name for name in urls.listing(folder) if suffix(name) in PICTURES), key=natural)
    if not names:
        raise errors.UserError(
            f"{folder}: expected a folder of {', '.join(PICTURES)} files, found none in it"
        )
    return [urls.read(urls.join(folder, name), _MOST_PICTURE_BYTES) for name in names]


def natural(name: str) -> tuple:
    """Return a natural sort key: numbers inside names are compared by value."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), part) if index % 2 else (0, part) for index, part in enumerate(parts))
