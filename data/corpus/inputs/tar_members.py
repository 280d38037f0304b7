"""List and read the members of a tar, compressed or not, in bounded memory and without unpacking to disk."""

import bz2
import contextlib
import dataclasses
import gzip
import lzma
import pathlib
import posixpath
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_errors, filesystem
from prismlab.data.corpus.inputs import media

_PIECE = 1 << 20  # bytes read at once
_MOST_HEADER = 1 << 18
_MOST_GLOBALS = 1000
_MAGIC: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_DAMAGE = (
    tarfile.TarError, EOFError, OSError, ValueError, OverflowError, RecursionError, zlib.error,
    lzma.LZMAError,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Member:
    """A regular file in a tar.

    Args:
        name: its name.
        offset: where its data starts in the (decompressed) tar.
        size: its size in bytes.
    """

    name: str
    offset: int
    size: int


class Tar:
    """An open tar.

    Args:
        path: path or URL, for error messages.
        file: the tar, decompressed and seekable.
        compressed: seeking backwards would decompress it again.
        stack: closes what the tar opens.
    """

    def __init__(self, path: str, file: Any, compressed: bool, stack: contextlib.ExitStack):
        self._path, self._file, self._compressed = path, file, compressed
        self._stack = stack

    def members(self) -> Iterator[Member | media.PassedOver]:
        """Yield the regular files in the order of the tar, and what is passed over: hidden files.

        Raises:
            Stop: a damaged tar, or a member that is a link or has an unsafe name.
        """
        last = -1
        bounded: Any = _Bounded(self._file)
        with _damage(self._path), tarfile.open(fileobj=bounded, mode="r:") as opened_tar:
            tar: Any = opened_tar
            while (member := tar.next()) is not None:
                tar.members.clear()  # tarfile would keep the headers of all members
                if member.offset_data <= last or member.size < 0 or len(tar.pax_headers) > _MOST_GLOBALS:
                    raise tarfile.ReadError(f"a wrong header of {member.name[:80]!r}")
                last = member.offset_data
                if member.isdir():
                    continue
                if any(part.startswith(".") and part.strip(".") for part in member.name.split("/")):
                    yield media.PassedOver("hidden files (such as macOS's ._ files)", member.name)
                    continue
                if "__MACOSX" in member.name.split("/"):
                    yield media.PassedOver("hidden files (such as macOS's ._ files)", member.name)
                    continue
                self._refuse(member)
                yield Member(member.name, member.offset_data, member.size)

    def _refuse(self, member: tarfile.TarInfo) -> None:
        what = ""
        if not member.isreg() or member.issparse():
            what = "a link, a device or a sparse file"
        elif posixpath.isabs(member.name) or ".." in member.name.split("/") or "\0" in member.name:
            what = "an absolute name or one with '..'"
        if what:
            raise media.Stop(
                f"{self._path}: expected plain files with relative names, got {what}: {member.name!r}"
            )

    def prepare(self, order: Sequence[Member]) -> None:
        """Decompress to a temporary file if the members that will be read are not in the order of the tar.

        Args:
            order: the members in the order in which they will be read.
        """
        offsets = [member.offset for member in order]
        if self._compressed and offsets != sorted(offsets):
            spool = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            with _damage(self._path):
                self._file.seek(0)
                while piece := self._file.read(_PIECE):
                    spool.write(piece)
            self._file, self._compressed = spool, False

    def read(self, member: Member) -> bytes:
        """Return the content of a member.

        Raises:
            Stop: the tar is damaged or cut short.
        """
        data = bytearray()
        with _damage(self._path):
            self._file.seek(member.offset)
            while len(data) < member.size:
                piece = self._file.read(min(_PIECE, member.size - len(data)))
                if not piece:
                    raise tarfile.ReadError("unexpected end of data")
                data += piece
        return bytes(data)


@contextlib.contextmanager
def opened(path: str) -> Iterator[Tar]:
    """Open a tar; `.gz`, `.bz2` and `.xz` are recognized by their content.

    Args:
        path: path or URL.

    Raises:
        Stop: the tar cannot be read.
    """
    with _damage(path):
        raw = filesystem.open_binary(path)
    with raw, contextlib.ExitStack() as stack:
        with _damage(path):
            head = raw.read(2)
            raw.seek(0)
        compression = _MAGIC.get(head)
        file = raw if compression is None else compression(raw)
        yield Tar(path, file, compression is not None, stack)


class _Bounded:
    """A file for tarfile, which would read a header of any size at once.

    Args:
        file: the file.
    """

    def __init__(self, file: Any):
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Read some bytes.

        Raises:
            tarfile.ReadError: more than a header may have.
        """
        if not 0 <= size <= _MOST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes, expected at most {_MOST_HEADER}")
        return self._file.read(size)


@contextlib.contextmanager
def _damage(path: str) -> Iterator[None]:
    """Convert what a damaged tar raises to one line."""
    try:
        yield
    except errors.UserError:
        raise
    except _DAMAGE as error:
        if file_errors.is_full(error):
            raise file_errors.as_user_error(pathlib.Path(tempfile.gettempdir()), error) from error
        raise media.Stop(f"{path}: expected a valid tar, got '{error}'; copy it again") from error
