"""Detect the kind of a path: video, image or folder of frames."""

import dataclasses
import posixpath
import re

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem
from prismlab.data.corpus.inputs import media
from prismlab.data.video import listing
from prismlab.data.video.containers import pictures

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
    root: str,
    name: str,
    cuts: tuple[media.Cut, ...],
    fps: float | None = None,
    *,
    where: str = "",
    picture: bool = False,
) -> media.Medium:
    """Return the medium of a name; a missing file gives an error later, per clip.

    Args:
        root: folder or URL.
        name: path below the root, not trusted; see `file_names.inside`.
        cuts: clips to cut from it.
        fps: frames per second, for a folder of frames.
        where: origin of the name, for the error message.
        picture: the file is one of a folder of pictures, in which a GIF is a picture too.

    Raises:
        UserError: the name leads out of the root.
    """
    path = file_names.inside(root, name, where or root)
    label = file_names.readable(name)
    kind = filesystem.file_type(path)
    if kind == "file" and (picture or is_picture(path)):
        reason = pictures.refusal(path)
        if reason:
            cuts = tuple(dataclasses.replace(each, fault=each.fault or reason) for each in cuts)
        return media.Medium(label, "image", cuts, read=lambda: [filesystem.read(path, _MOST_PICTURE_BYTES)])
    if kind == "folder":
        return media.Medium(label, "frames", cuts, read=lambda: frames_of(root, name), fps=fps)
    return media.Medium(label, "video", cuts, path=path)


def frames_of(root: str, name: str) -> list[bytes]:
    """Read the image files of a folder, in natural sort order (frame_2 before frame_10).

    Args:
        root: folder or URL.
        name: a folder below it.

    Raises:
        UserError: the folder has no images, one that is not read, or images of several formats, such as 1.jpg
            and 1.png, whose order as frames is unknown.
    """
    folder = file_names.inside(root, name, root)
    _, files = next(file_names.walk(folder))
    names = sorted((each for each in files if suffix(each) in PICTURES), key=natural)
    if not names:
        raise errors.UserError(
            f"{folder}: expected a folder of {', '.join(pictures.READ)} files, found none in it"
        )
    for each in names:
        if reason := pictures.refusal(each):
            raise errors.UserError(f"{file_names.join(folder, each)}: {reason}")
    first = {pictures.READ[suffix(each)]: each for each in reversed(names)}
    stems = {posixpath.splitext(each)[0] for each in names}
    if len(first) > 1 or len(stems) < len(names):
        examples = ", ".join(sorted(first.values()) if len(first) > 1 else names[:3])
        raise errors.UserError(
            f"{folder}: expected one image file for each frame, all of one format, got {examples}; move the "
            "others away"
        )
    paths = [file_names.inside(root, file_names.join(name, each), root) for each in names]
    return [filesystem.read(path, _MOST_PICTURE_BYTES) for path in paths]


def natural(name: str) -> tuple:
    """Return a natural sort key: numbers inside names are compared by value."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(part), part) if index % 2 else (0, part) for index, part in enumerate(parts))
