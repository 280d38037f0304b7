"""Reader of WebDataset tar files: files with the same name and different extensions form a sample."""

import dataclasses
import functools
import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_names, filesystem, user_paths
from prismlab.data.corpus.inputs import file_kinds, labels, media, tar_members
from prismlab.data.video.containers import pictures

# Name of a sample, its members by ending, and those that are read.
_Entry = tuple[str, Mapping[str, tar_members.Member], Mapping[str, tar_members.Member]]


@dataclasses.dataclass(frozen=True)
class Tars:
    """WebDataset tars with samples such as `0001.mp4`, `0001.txt`, `0001.json`; read without unpacking.

    The caption is the .txt file or a field of the .json file, whose other fields become labels. The files of
    a sample may be anywhere in the tar. Each tar becomes one shard. Compressed tars (.tar.gz) are supported;
    if their samples are scattered, they are decompressed to a temporary file. Hidden files are passed over.

    Args:
        pattern: paths or URLs, such as "corpora/tars/*.tar" or "gs://bucket/tars/*.tar".
        text_keys: fields of the .json file that may hold the caption; the first one present is used.
        max_member_bytes: maximum size of a file inside a tar.
    """

    pattern: str
    text_keys: tuple[str, ...] = ("caption", "text")
    max_member_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        object.__setattr__(self, "text_keys", tuple(self.text_keys))

    def units(self) -> Iterator[media.Unit]:
        """Yield one unit per tar, sorted by name.

        Raises:
            UserError: no file matches the pattern.
        """
        found = file_names.glob(user_paths.expand(self.pattern))
        if not found:
            raise media.Stop(f"{self.pattern}: expected tars, found no such file; correct Tars.pattern")
        for number, path in enumerate(found):
            # Size and modification time identify the content, to detect a changed tar on resume.
            yield media.Unit(number, (path, filesystem.size_and_version(path)[0]))

    def passed_over(self) -> Iterator[media.PassedOver]:
        """Yield nothing: the pattern names what is used."""
        return iter(())

    def read(self, unit: media.Unit) -> Iterator[media.Medium | media.PassedOver]:
        """Yield the samples of one tar, and the members that no sample uses.

        Raises:
            UserError: a corrupt tar, or a member that is a link, has an unsafe name or is too large.
        """
        path = unit.entries[0]
        samples: dict[str, dict[str, tar_members.Member]] = {}
        with tar_members.opened(path) as tar:
            for member in tar.members():
                if isinstance(member, media.PassedOver):
                    yield member
                    continue
                if member.size > self.max_member_bytes:
                    raise media.Stop(
                        f"{path}: expected files of at most {self.max_member_bytes} bytes, got {member.size} "
                        f"bytes (Tars.max_member_bytes is {self.max_member_bytes}): {member.name!r}"
                    )
                stem, ending = _split(member.name)
                sample = samples.setdefault(stem, {})
                if ending in sample:
                    raise media.Stop(
                        f"{path}: expected each file once, got {member.name!r} twice; recreate the tar"
                    )
                sample[ending] = member
            used = [self._used(sample) for sample in samples.values()]
            tar.prepare([member for each in used for member in each.values()])
            left = ({m.name for m in sample.values()} - {m.name for m in each.values()}
                    for sample, each in zip(samples.values(), used))  # fmt: skip
            for each in left:
                yield from media.by_ending(sorted(each))
            entries = zip(samples, samples.values(), used)
            make = functools.partial(self._medium, tar, self._prefix(path))
            yield from media.isolated(entries, lambda entry: [f"{self._prefix(path)}:{entry[0]}"], make)

    def _prefix(self, path: str) -> str:
        """Return the path of a tar below the fixed part of the pattern, the start of its keys."""
        whole, pattern = (
            each.partition("://")[2].lstrip("/") or each for each in (path, user_paths.expand(self.pattern))
        )
        fixed = re.split(r"[*?\[]", pattern)[0].rpartition("/")[0] + "/"
        return whole.removeprefix(fixed) if whole.startswith(fixed) else posixpath.basename(path)

    def _used(self, sample: Mapping[str, tar_members.Member]) -> dict[str, tar_members.Member]:
        """Return the members that are read, by ending, in the order of the tar."""
        used = {ending: sample[ending] for ending in sample if _is_medium(ending) or ending in labels.ENDINGS}
        return dict(sorted(used.items(), key=lambda item: item[1].offset))

    def _medium(self, tar: tar_members.Tar, prefix: str, entry: _Entry) -> media.Medium:
        name, sample, used = entry
        key = f"{prefix}:{name}"
        pixels = [ending for ending in used if _is_medium(ending)]
        if len(pixels) != 1:
            raise errors.UserError(f"expected one video or image, got the files {', '.join(sorted(sample))}")
        for member in used.values():
            if member.size > labels.MOST_TEXT_BYTES and member != used[pixels[0]]:
                most = labels.MOST_TEXT_BYTES
                raise errors.UserError(f"expected {member.name!r} of at most {most} bytes, got {member.size}")
        fault = pictures.refusal(pixels[0])
        data = {ending: tar.read(member) for ending, member in used.items() if not fault}
        caption, found = "", dict[str, Any]()
        try:
            caption, found = labels.beside(data, self.text_keys)
        except media.WRONG as error:
            fault = media.reason(error)
        kind = "image" if file_kinds.is_picture(pixels[0]) else "video"
        cut = media.Cut(key, caption, labels=found, fault=fault)
        return media.Medium(file_names.readable(key), kind, (cut,), read=lambda: [data.get(pixels[0], b"")])


def _is_medium(ending: str) -> bool:
    return ending in file_kinds.VIDEOS or file_kinds.is_picture(ending)


def _split(name: str) -> tuple[str, str]:
    # As in WebDataset, the extension starts at the first dot of the base name.
    folder, base = posixpath.split(name.removeprefix("./"))
    stem, dot, ending = base.partition(".")
    return posixpath.join(folder, stem), (dot + ending).lower()
