"""Read .npz files from untrusted sources: headers first, in bounded memory, without pickle."""

import dataclasses
import io
import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable

import ml_dtypes
import numpy as np

# What a damaged or hostile file can raise, besides `Invalid`, which is a ValueError.
_WRONG = (
    ArithmeticError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError,
    SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Larger arrays must not be compressed better than this: a file of 8 MB could ask for 8 GiB.
_ALWAYS_BYTES = 64 << 20
_MOST_HEADER = 1 << 16
_MOST_RATIO = 50
_UNNAMED, _BFLOAT16 = np.dtype("V2"), np.dtype(ml_dtypes.bfloat16)


class Invalid(ValueError):
    """The file is damaged or not a plain .npz of arrays; the message says why."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What an array is, known without reading it.

    Args:
        shape: its shape.
        dtype: its type; never one of Python objects or of unnamed bytes, except that two unnamed bytes are
            bfloat16, for which the format has no name.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


class Npz:
    """An open .npz file.

    Args:
        path: a local file.

    Raises:
        Invalid: it is not a complete zip archive, or has an array twice.
    """

    def __init__(self, path: str | os.PathLike[str]):
        try:
            if not zipfile.is_zipfile(path):
                raise Invalid("not a complete zip archive; truncated or another format")
            self._archive = zipfile.ZipFile(path)
            members = self._archive.infolist()
        except _WRONG as error:
            raise _invalid(error) from error
        self._members = {member.filename.removesuffix(".npy"): member for member in members}
        if len(self._members) < len(members):
            raise Invalid("expected each array once, got one twice")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays, in the order of the file."""
        return tuple(self._members)

    def header(self, name: str) -> Header:
        """Return shape and type of an array.

        Raises:
            Invalid: there is no such array, it is damaged or pickled.
        """
        member = self._members.get(name)
        if member is None:
            raise Invalid(f"expected an array {name}, found none")
        try:
            with self._archive.open(member) as file:
                start = io.BytesIO(file.read(_MOST_HEADER))
                shape, dtype = _header(start)
        except _WRONG as error:
            raise _invalid(error) from error
        if dtype.hasobject:
            raise Invalid(f"{name} contains pickled objects, which are never loaded")
        if dtype.kind == "V" and dtype != _UNNAMED:
            raise Invalid(f"{name} has the type {dtype}, expected numbers or text; save it as float32")
        size = start.tell() + dtype.itemsize * math.prod(shape)
        if min(shape, default=0) < 0 or size != member.file_size:
            raise Invalid(f"{name} has {member.file_size} bytes, expected {size} from its header")
        return Header(shape, _BFLOAT16 if dtype == _UNNAMED else dtype)

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return some arrays.

        Raises:
            Invalid: as `header`, or an array is compressed too well to be data, or its checksum differs.
        """
        found = {}
        for name in names:
            header = self.header(name)
            member = self._members[name]
            if member.file_size > max(_ALWAYS_BYTES, _MOST_RATIO * member.compress_size):
                raise Invalid(
                    f"expected {name} of at most {_MOST_RATIO} times its {member.compress_size} compressed "
                    f"bytes, got {member.file_size}; save it again with numpy.savez, uncompressed"
                )
            try:
                with self._archive.open(member) as file:
                    found[name] = np.lib.format.read_array(file, allow_pickle=False).view(header.dtype)
                    file.read(1)  # the checksum is compared at the end
            except _WRONG as error:
                raise _invalid(error) from error
        return found


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise Invalid(f"unknown .npy version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _invalid(error: Exception) -> Invalid:
    return Invalid(" ".join(str(error).split())[:200] or type(error).__name__)
