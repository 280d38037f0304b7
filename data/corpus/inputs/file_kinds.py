"""Detect the kind of a path: video, image or folder of frames."""

import dataclasses
import posixpath
import re

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.corpus.inputs import media
from prismlab.data.video import listing, pictures

VIDEOS = listing.SUFFIXES
# Endings of the one table of pictures, with those that are refused by name: none is passed over in silence.
PICTURES = (*pictures.READ, *pictures.REFUSED)
_MOST_PICTURE_BYTES = 256 << 20


def suffix(name: str) -> str:
    """Return the lower-case file extension of a name, with the dot."""
    return posixpath.splitext(name)[1].lower()


def is_picture(name: str) -> bool:
    """Return whether a file that may be a video is a picture, by its name or ending; a GIF is a video."""
    ending = suffix("a" + posixpath.basename(name))
    return ending in PICTURES and ending not in VIDEOS


def medium(
    path: str, name: str, cuts: tuple[media.Cut, ...], fps: float | None = None, *, picture: bool = False
) -> media.Medium:
    """Return the medium at a path; a missing file gives an error later, per clip.

    Args:
        path: path or URL, already checked to be below the root.
        name: name used in error messages.
        cuts: clips to cut from it.
        fps: frames per second, for a folder of frames.
        picture: the file is one of a folder of pictures, in which a GIF is a picture too.
    """
    kind = urls.what(path)
    if kind == "file" and (picture or is_picture(path)):
        reason = pictures.refusal(path)
        if reason:
            cuts = tuple(dataclasses.replace(each, fault=each.fault or reason) for each in cuts)
        return media.Medium(name, "image", cuts, read=lambda: [urls.read(path, _MOST_PICTURE_BYTES)])
    if kind == "folder":
        return media.Medium(name, "frames", cuts, read=lambda: frames_of(path), fps=fps)
    return media.Medium(name, "video", cuts, path=path)


def frames_of(folder: str) -> list[bytes]:
    """Read the image files of a folder, in natural sort order (frame_2 before frame_10).

    Raises:
        UserError: the folder has no images, or one that is not read.
    """
    names = sorted((name for name in urls.listing(folder) if suffix(name) in PICTURES), key=natural)
    if not names:
        raise errors.UserError(
            f"{folder}: expected a folder of {', '.join(pictures.READ)} files, found none in it"
        )
    for name in names:
        if reason := pictures.refusal(name):
            raise errors.UserError(f"{urls.join(folder, name)}: {reason}")
    return [urls.read(urls.join(folder, name), _MOST_PICTURE_BYTES) for name in names]


def natural(name: str) -> tuple:
    """Return a natural sort key: numbers inside names are compared by value."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), part) if index % 2 else (0, part) for index, part in enumerate(parts))
