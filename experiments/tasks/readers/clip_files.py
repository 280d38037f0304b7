"""Find the video of an annotation among the files a user has, and load it; nothing is ever substituted."""

import functools
import hashlib
import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem, user_paths
from prismlab.data.records import record
from prismlab.data.video import frames, listing
from prismlab.data.video.containers import opening
from prismlab.experiments.tasks.interface import items

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
MOST_PICTURES = 20_000


class ClipFiles:
    """Videos below a folder, found by name: a file, or a folder with one picture for each frame.

    Args:
        root: folder or URL, searched once with all its subfolders.

    Raises:
        UserError: there is no such folder.
    """

    def __init__(self, root: str):
        self.root = user_paths.expand(root)
        self._found: dict[str, list[str]] = {}
        for folder, names in file_names.walk(self.root):
            pictures = False
            for name in names:
                stem, ending = posixpath.splitext(name)
                if ending.lower() in listing.SUFFIXES:
                    self._found.setdefault(stem, []).append(posixpath.join(folder, name))
                pictures = pictures or ending.lower() in PICTURES
            if pictures and folder:
                self._found.setdefault(posixpath.basename(folder), []).append(folder)

    def stems(self) -> list[str]:
        """Return the names of all videos, without suffix."""
        return list(self._found)

    def fields(self, name: str) -> dict[str, Any]:
        """Return the fields of an Item whose video has this name: its path, or why there is none.

        Args:
            name: name without suffix, or with the last folders before it ("running/clip_1"); from an
                annotation file, so it is only compared with names of files.
        """
        stem = name.rpartition("/")[2]
        found = self._found.get(stem, [])
        if "/" in name:
            found = [each for each in found if ("/" + _without_suffix(each)).endswith("/" + name)]
        if len(found) == 1:
            return {"path": file_names.join(self.root, found[0])}
        reason = f"{name[:100]}: no video of this name below {self.root}"
        if found:
            reason = f"{name[:100]}: two videos of this name ({found[0]}, {found[1]}); keep one"
        return {"path": "", "extra": {"missing": reason}}


def _without_suffix(path: str) -> str:
    stem, ending = posixpath.splitext(path)
    return stem if ending.lower() in listing.SUFFIXES else path


def name_of(path: str) -> str:
    """Return the path of an annotation without the suffix of a video: "a/b.mp4" to "a/b"."""
    return _without_suffix(path.strip().lstrip("/"))


def item(files: ClipFiles, key: str, name: str, **fields: Any) -> items.Item:
    """Return the item of the video of this name; if there is none, `load` says why.

    Args:
        files: the user's videos.
        key: key of the item.
        name: see `ClipFiles.fields`.
        fields: other fields of the item.
    """
    found = files.fields(name)
    extra = {**fields.pop("extra", {}), **found.pop("extra", {})}
    return items.Item(key, **found, **fields, extra=extra)


def load(one: items.Item) -> record.Record:
    """Read the clip of an item into memory: a part of a video by seconds, or by frames (`extra["frames"]`).

    Raises:
        UserError: the video is missing, too large, or has other frames than its annotation says.
    """
    if not one.path:
        raise errors.UserError(one.extra.get("missing", f"{one.key}: no video"))
    span = one.extra.get("frames")
    if filesystem.file_type(one.path) == "folder":
        return _pictures(one, span)
    data = _content(one.path, filesystem.size_and_version(one.path))
    if span is None:
        return record.Record(one.key, data, one.key, start=one.start, end=one.end)
    first, last, fps = span[0], span[1], float(one.extra["fps"])
    start, end = max(0.0, (first - 0.5) / fps), (last + 0.5) / fps
    clip = record.Record(one.key, data, one.key, start=start, end=end)
    count = frames.count(clip)
    if count != last - first + 1:
        raise errors.UserError(
            f"{one.path}: expected {last - first + 1} frames from frame {first} at {fps:g} frames a second, "
            f"found {count}; give the video as it was annotated, or set the reader's fps"
        )
    return record.Record(one.key, data, one.key, start=start, end=end, frame_count=count)


@functools.lru_cache(maxsize=1)  # windows of one long video follow each other
def _content(path: str, version: Any) -> bytes:
    del version
    return filesystem.read(path, opening.Limits().max_bytes)


def _pictures(one: items.Item, span: Sequence[int] | None) -> record.Record:
    names = _numbered(one.path)
    if span is not None:
        if span[1] >= len(names):
            raise errors.UserError(
                f"{one.path}: expected {span[1] + 1} pictures or more, found {len(names)}; extract all frames"
            )
        names = names[span[0] : span[1] + 1]
    elif one.start is not None or one.end is not None:
        raise errors.UserError(
            f"{one.path}: a clip by seconds needs a video, found a folder of pictures without a frame rate"
        )
    limit = opening.Limits().max_bytes // max(1, len(names))
    files = [filesystem.read(file_names.join(one.path, name), limit) for name in names]
    return record.of_frames(one.key, files, one.key)


@functools.lru_cache(maxsize=8)
def _numbered(folder: str) -> tuple[str, ...]:
    """Return the pictures of a folder in the order of the last number in their names."""
    _, inside = next(file_names.walk(folder))
    names = [name for name in inside if name.lower().endswith(PICTURES)]
    numbers = {name: re.findall(r"\d+", posixpath.splitext(name)[0])[-1:] for name in names}
    if len(names) > MOST_PICTURES or not all(numbers.values()):
        raise errors.UserError(
            f"{folder}: expected at most {MOST_PICTURES} pictures with a frame number in their names, found "
            f"{len(names)}"
        )
    order = sorted(names, key=lambda name: (int(numbers[name][0][:18]), name))
    values = [int(numbers[name][0][:18]) for name in order]
    if values and values != list(range(values[0], values[0] + len(values))):
        raise errors.UserError(f"{folder}: expected a picture for every frame, found gaps in the numbers")
    return tuple(order)


def digest(annotations: Sequence[str], root: str) -> str:
    """Return a digest of annotation files and of the names and sizes of the videos below a folder.

    A video that arrives later, or is replaced by one of another size, changes the digest; so a score with
    missing videos is not reused.

    Args:
        annotations: paths of files; "" stands for none.
        root: folder of the videos.
    """
    root = user_paths.expand(root)
    paths = (posixpath.join(root, folder, name) for folder, names in file_names.walk(root) for name in names)
    return digest_of(annotations, paths)


def digest_of(annotations: Sequence[str], videos: Iterable[str]) -> str:
    """Return a digest of annotation files and of the names and sizes of videos, present or missing."""
    found = hashlib.sha256()
    for path in annotations:
        if path:
            with filesystem.open_binary(user_paths.expand(path)) as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    for path in videos:
        is_sized = path.lower().endswith(listing.SUFFIXES) and not filesystem.is_remote(path)
        size = os.path.getsize(path) if is_sized and filesystem.file_type(path) else ""
        found.update(f"{path} {size}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()
