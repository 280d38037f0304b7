"""Reader of WebDataset tar files: files with the same name and different extensions form a sample."""

import dataclasses
import json
import posixpath
import tarfile
from collections.abc import Iterator
from typing import Any

from prismlab.core.io import urls
from prismlab.data.corpus.inputs import file_kinds, media
from prismlab.data.video import pictures

_TEXTS = (".txt", ".caption", ".json")
_MOST_TEXT_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Tars:
    """WebDataset tars with samples such as `0001.mp4`, `0001.txt`, `0001.json`; read without unpacking.

    The caption is the .txt file or a field of the .json file, whose other fields become labels. Each tar
    becomes one shard. Compressed tars (.tar.gz) are supported.

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
        found = urls.glob(self.pattern)
        if not found:
            raise media.Stop(f"{self.pattern}: expected tars, found no such file; correct Tars.pattern")
        for number, path in enumerate(found):
            # Size and modification time identify the content, to detect a changed tar on resume.
            yield media.Unit(number, (path, urls.state(path)[0]))

    def read(self, unit: media.Unit) -> Iterator[media.Medium]:
        """Yield the samples of one tar.

        Raises:
            UserError: a corrupt tar, or a member that is a link, has an unsafe name or is too large.
        """
        path = unit.entries[0]
        sample: dict[str, bytes] = {}
        name = ""
        for member, data in self._members(path):
            stem, ending = _split(member)
            if stem != name and sample:
                yield from self._medium(path, name, sample)
                sample = {}
            name = stem
            if ending in sample:
                raise media.Stop(f"{path}: expected each file once, got {member!r} twice; recreate the tar")
            sample[ending] = data
        if sample:
            yield from self._medium(path, name, sample)

    def _members(self, path: str) -> Iterator[tuple[str, bytes]]:
        try:
            with urls.open_binary(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
                for member in tar:
                    if member.isdir():
                        continue
                    self._refuse(path, member)
                    stream = tar.extractfile(member)
                    assert stream is not None, "a regular file"
                    data = stream.read(member.size)
                    if len(data) < member.size:
                        raise tarfile.ReadError("unexpected end of data")
                    yield member.name, data
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            if isinstance(error, media.Stop):
                raise
            raise media.Stop(f"{path}: expected a valid tar, got '{error}'; copy it again") from error

    def _refuse(self, path: str, member: tarfile.TarInfo) -> None:
        what = ""
        if not member.isreg() or member.issparse():
            what = "a link, a device or a sparse file"
        elif posixpath.isabs(member.name) or ".." in member.name.split("/") or "\0" in member.name:
            what = "an absolute name or one with '..'"
        elif member.size > self.max_member_bytes:
            what = f"{member.size} bytes (Tars.max_member_bytes is {self.max_member_bytes})"
        if what:
            raise media.Stop(f"{path}: expected plain files with relative names, got {what}: {member.name!r}")

    def _medium(self, path: str, name: str, sample: dict[str, bytes]) -> Iterator[media.Medium]:
        key = f"{posixpath.basename(path)}:{name}"
        pixels = [each for each in sample if each in file_kinds.VIDEOS or file_kinds.is_picture(each)]
        fault, caption, labels = "", "", dict[str, Any]()
        try:
            caption, labels = self._text(sample)
        except (ValueError, RecursionError) as error:
            fault = f"expected a caption in UTF-8 and JSON, got '{error}'"
        if len(pixels) != 1:
            fault = fault or f"expected one video or image, got the files {', '.join(sorted(sample))}"
        data = [sample[pixels[0]]] if pixels else [b""]
        kind = "image" if pixels and file_kinds.is_picture(pixels[0]) else "video"
        fault = fault or (pictures.refusal(pixels[0]) if pixels else "")
        yield media.Medium(
            key, kind, (media.Cut(key, caption, labels=labels, fault=fault),), read=lambda: data
        )

    def _text(self, sample: dict[str, bytes]) -> tuple[str, dict[str, Any]]:
        labels = {}
        for ending in _TEXTS:
            if len(sample.get(ending, b"")) > _MOST_TEXT_BYTES:
                raise ValueError(f"{ending} of more than {_MOST_TEXT_BYTES} bytes")
        if ".json" in sample:
            labels = json.loads(sample[".json"].decode("utf-8-sig"))
            if not isinstance(labels, dict):
                raise ValueError("JSON that is not an object")
        inside = [labels.pop(key) for key in self.text_keys if key in labels]
        for ending in (".txt", ".caption"):
            if ending in sample:
                return sample[ending].decode("utf-8-sig").strip(), labels
        return next((each for each in inside if isinstance(each, str)), ""), labels


def _split(name: str) -> tuple[str, str]:
    # As in WebDataset, the extension starts at the first dot of the base name.
    folder, base = posixpath.split(name.removeprefix("./"))
    stem, dot, ending = base.partition(".")
    return posixpath.join(folder, stem), (dot + ending).lower()
