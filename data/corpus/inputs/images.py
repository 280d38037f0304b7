"""Readers of image folders: captioned images (one-frame videos) and folders of video frames."""

import dataclasses
import json
import posixpath
from collections.abc import Iterator
from typing import Any

from prismlab.core import errors
from prismlab.core.io import urls
from prismlab.data.corpus.inputs import file_kinds, media
from prismlab.data.video import pictures

_MOST_TEXT_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Images:
    """Folder of images with captions: `a.jpg` next to `a.txt` or `a.json` (with "caption" or "text").

    Args:
        root: folder or URL; read recursively.
        images_per_shard: images per shard.
    """

    root: str
    images_per_shard: int = 5000

    def __post_init__(self) -> None:
        if self.images_per_shard < 1:
            raise errors.UserError(
                f"expected Images.images_per_shard of 1 or more, got {self.images_per_shard}"
            )

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of image names.

        Raises:
            UserError: the folder does not exist or has no images.
        """
        return media.grouped(_some(self.root, self._names()), self.images_per_shard)

    def _names(self) -> Iterator[str]:
        return (name for name in urls.listing(self.root) if file_kinds.suffix(name) in file_kinds.PICTURES)

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield each image with its caption."""
        for name in unit.entries:
            stem = urls.join(self.root, posixpath.splitext(name)[0])
            cuts = (caption_beside(stem, name),)
            yield file_kinds.medium(urls.join(self.root, name), name, cuts, picture=True)


@dataclasses.dataclass(frozen=True)
class FrameFolders:
    """Folder of folders, each with the frames of one clip and a `caption.txt` or `caption.json`.

    Frames are in natural sort order: frame_2.jpg before frame_10.jpg.

    Args:
        root: folder or URL.
        fps: frames per second; None if unknown.
        clips_per_shard: clips per shard.
    """

    root: str
    fps: float | None = None
    clips_per_shard: int = 1000

    def __post_init__(self) -> None:
        if self.clips_per_shard < 1:
            raise errors.UserError(
                f"expected FrameFolders.clips_per_shard of 1 or more, got {self.clips_per_shard}"
            )
        if self.fps is not None and not self.fps > 0:
            raise errors.UserError(f"expected FrameFolders.fps > 0, got {self.fps}")

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of folders.

        Raises:
            UserError: the folder does not exist or has no folders of frames.
        """
        return media.grouped(_some(self.root, self._folders()), self.clips_per_shard)

    def _folders(self) -> Iterator[str]:
        for folder, names in urls.folders(self.root):
            if folder and any(file_kinds.suffix(name) in file_kinds.PICTURES for name in names):
                yield folder

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield each folder with its caption."""
        for name in unit.entries:
            path = urls.join(self.root, name)
            yield file_kinds.medium(path, name, (caption_beside(urls.join(path, "caption"), name),), self.fps)


def caption_beside(stem: str, key: str) -> media.Cut:
    """Read the caption of a clip from `stem.txt` or `stem.json`; if missing, the Cut has a fault.

    Args:
        stem: path or URL without the extension.
        key: name of the clip.
    """
    try:
        if urls.what(stem + ".txt") == "file":
            return media.Cut(key, urls.read(stem + ".txt", _MOST_TEXT_BYTES).decode("utf-8-sig").strip())
        if urls.what(stem + ".json") == "file":
            labels: Any = json.loads(urls.read(stem + ".json", _MOST_TEXT_BYTES).decode("utf-8-sig"))
            if not isinstance(labels, dict):
                raise ValueError("JSON that is not an object")
            found = [labels.pop(name) for name in ("caption", "text") if name in labels]
            return media.Cut(key, str(found[0]) if found else "", labels=labels)
        return media.Cut(
            key, "", fault=f"expected a caption next to it, {posixpath.basename(stem)}.txt or .json"
        )
    except (errors.UserError, ValueError, RecursionError) as error:
        return media.Cut(key, "", fault=f"expected a caption in UTF-8, got '{error}'")


def _some(root: str, names: Iterator[str]) -> Iterator[str]:
    found = False
    for name in names:
        found = True
        yield name
    if not found:
        raise media.Stop(f"{root}: expected a folder of {', '.join(pictures.READ)} files, found none in it")
