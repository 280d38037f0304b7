"""Readers of image folders: captioned images (one-frame videos) and folders of video frames."""

import dataclasses
import posixpath
from collections.abc import Iterator

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem, user_paths
from prismlab.data.corpus.inputs import file_kinds, labels, media
from prismlab.data.video.containers import pictures


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

    @property
    def _root(self) -> str:
        return user_paths.expand(self.root)

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of image names.

        Raises:
            UserError: the folder does not exist or has no images.
        """
        return media.grouped(_some(self._root, self._names()), self.images_per_shard)

    def _names(self) -> Iterator[str]:
        return filter(_is_picture, file_names.list_files(self._root))

    def passed_over(self) -> Iterator[media.PassedOver]:
        """Yield the files that are neither images nor captions of images."""
        for folder, names in file_names.walk(self._root):
            stems = {posixpath.splitext(name)[0] for name in names if _is_picture(name)}
            captions = {stem + ending for stem in stems for ending in labels.ENDINGS}
            left = [name for name in names if name not in captions and not _is_picture(name)]
            yield from media.by_ending(file_names.join(folder, name) for name in left)

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield each image with its caption."""
        return media.isolated(unit.entries, lambda name: [name], self._medium)

    def _medium(self, name: str) -> media.Medium:
        cut = caption_beside(self._root, posixpath.splitext(name)[0], name)
        return file_kinds.medium(self._root, name, (cut,), picture=True)


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

    @property
    def _root(self) -> str:
        return user_paths.expand(self.root)

    def units(self) -> Iterator[media.Unit]:
        """Yield groups of folders.

        Raises:
            UserError: the folder does not exist or has no folders of frames.
        """
        return media.grouped(_some(self._root, self._folders()), self.clips_per_shard)

    def _folders(self) -> Iterator[str]:
        for folder, names in file_names.walk(self._root):
            if folder and any(map(_is_picture, names)):
                yield folder

    def passed_over(self) -> Iterator[media.PassedOver]:
        """Yield the files that are neither frames in a folder nor its caption."""
        captions = {"caption" + ending for ending in labels.ENDINGS}
        for folder, names in file_names.walk(self._root):
            used = folder and any(map(_is_picture, names))
            left = [name for name in names if not used or not (_is_picture(name) or name in captions)]
            yield from media.by_ending(file_names.join(folder, name) for name in left)

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield each folder with its caption."""
        return media.isolated(unit.entries, lambda name: [name], self._medium)

    def _medium(self, name: str) -> media.Medium:
        cut = caption_beside(self._root, file_names.join(name, "caption"), name)
        return file_kinds.medium(self._root, name, (cut,), self.fps)


def caption_beside(root: str, stem: str, key: str) -> media.Cut:
    """Read the caption of a clip from `stem.txt`, `.caption` or `.json`; what is wrong is the Cut's fault.

    Args:
        root: folder or URL.
        stem: path below the root, without the extension.
        key: name of the clip.
    """
    files = {}
    try:
        for ending in labels.ENDINGS:
            path = file_names.inside(root, stem + ending, root)
            if filesystem.file_type(path) == "file":
                files[ending] = filesystem.read(path, labels.MOST_TEXT_BYTES)
        caption, found = labels.beside(files, ("caption", "text"))
    except media.WRONG as error:
        return media.Cut(key, "", fault=media.reason(error))
    name = posixpath.basename(stem)
    fault = "" if files else f"expected a caption next to it, {name}.txt or .json"
    return media.Cut(key, caption, labels=found, fault=fault)


def _is_picture(name: str) -> bool:
    return file_kinds.suffix(name) in file_kinds.PICTURES


def _some(root: str, names: Iterator[str]) -> Iterator[str]:
    found = False
    for name in names:
        found = True
        yield name
    if not found:
        raise media.Stop(f"{root}: expected a folder of {', '.join(pictures.READ)} files, found none in it")
