"""Read GGUF files of language models: metadata, and tensors one at a time, without running anything.

Every size is checked against the file before memory is taken for it, so that a damaged or hostile file is one
line. Quantised blocks are of 32 numbers each.

Source: ggml-org/ggml docs/gguf.md, ggml-quants (Q4_1, Q8_0).
"""

import dataclasses
import math
import pathlib
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from prismlab.core import errors
from prismlab.core.io import user_paths

MAGIC = b"GGUF"
VERSIONS = (2, 3)
BLOCK = 32
# Number of the type in files -> its name and the bytes of `BLOCK` numbers.
TYPES = {0: ("F32", 128), 1: ("F16", 64), 3: ("Q4_1", 20), 8: ("Q8_0", 34)}
_NAMES = {
    2: "Q4_0",
    6: "Q5_0",
    7: "Q5_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    30: "BF16",
}
_MOST = 1 << 16  # tensors, and entries of metadata
_MOST_ITEMS = 1 << 22  # of an array of metadata
_LONGEST = 1 << 22  # bytes of a string
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9


@dataclasses.dataclass(frozen=True)
class Tensor:
    """Where a tensor is in the file.

    Args:
        shape: outermost axis first.
        kind: number of its type.
        start: of its bytes in the file.
    """

    shape: tuple[int, ...]
    kind: int
    start: int

    @property
    def numbers(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Number of bytes."""
        block = TYPES[self.kind][1]
        return self.numbers * block // BLOCK


class Gguf:
    """An open GGUF file; arrays are read when they are asked for.

    Args:
        path: the file.

    Raises:
        UserError: it is no GGUF file, is truncated, or has tensors of a type that is not read.
    """

    def __init__(self, path: str):
        self.path = pathlib.Path(user_paths.expand(path))
        if not self.path.is_file():
            raise errors.UserError(f"language model: no file at {self.path}; correct the path")
        if self.path.stat().st_size < 24:
            raise self._fault("a file of at least 24 bytes", f"{self.path.stat().st_size}")
        self._bytes: UInt8[np.ndarray, " n"] = np.memmap(self.path, np.uint8, "r")
        self._at = 0
        if bytes(self._take(4)) != MAGIC:
            raise self._fault("a GGUF file", f"one that begins with {bytes(self._bytes[:4])!r}")
        version = self._scalar(4)
        if version not in VERSIONS:
            raise self._fault(f"version {VERSIONS} of GGUF", f"version {version}")
        tensors, entries = self._count("tensors", _MOST), self._count("entries of metadata", _MOST)
        self.metadata: Mapping[str, Any] = {
            self._string(): self._value(self._scalar(4)) for _ in range(entries)
        }
        listed = [self._tensor() for _ in range(tensors)]
        step = self.metadata.get("general.alignment", 32)
        if not isinstance(step, int) or not 1 <= step <= 1 << 20:
            raise self._fault("an alignment of 1 to 1048576", f"{step!r}")
        start = -(-self._at // step) * step
        self.tensors: dict[str, Tensor] = {}
        for name, tensor in listed:
            placed = dataclasses.replace(tensor, start=start + tensor.start)
            if name in self.tensors:
                raise self._fault("each tensor once", f"{name!r} twice")
            if placed.start + placed.size > len(self._bytes):
                raise self._fault(
                    f"{placed.start + placed.size} bytes up to the end of {name!r}",
                    f"{len(self._bytes)}: the file is truncated",
                )
            self.tensors[name] = placed

    def read(self, name: str) -> Float32[np.ndarray, "..."]:
        """Return a tensor as float32; memory for this tensor alone is taken.

        Raises:
            UserError: it has a number that is not finite.
        """
        tensor = self.tensors[name]
        raw = np.asarray(self._bytes[tensor.start : tensor.start + tensor.size])
        found = dequantised(raw, tensor.kind).reshape(tensor.shape)
        if not np.isfinite(found).all():
            raise self._fault(f"finite numbers in {name!r}", "some that are not; the file is damaged")
        return found

    def _fault(self, expected: str, found: str) -> errors.UserError:
        return errors.UserError(f"language model: {self.path}: expected {expected}, found {found}")

    def _take(self, size: int) -> Any:
        if self._at + size > len(self._bytes):
            raise self._fault(f"{size} bytes at {self._at}", f"the end of the file at {len(self._bytes)}")
        self._at += size
        return self._bytes[self._at - size : self._at]

    def _scalar(self, kind: int) -> Any:
        form = _SCALARS.get(kind)
        if form is None:
            raise self._fault("a type of metadata from 0 to 12", f"{kind} at byte {self._at}")
        return struct.unpack(form, bytes(self._take(struct.calcsize(form))))[0]

    def _count(self, what: str, most: int) -> int:
        count: int = self._scalar(10)
        if count > most:
            raise self._fault(f"at most {most} {what}", f"{count}; the file is damaged")
        return count

    def _string(self) -> str:
        return bytes(self._take(self._count("bytes of a string", _LONGEST))).decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            return self._scalar(kind)
        inner = self._scalar(4)
        count = self._count("items of an array", _MOST_ITEMS)
        if inner == _STRING:
            return [self._string() for _ in range(count)]
        if inner not in _SCALARS:
            raise self._fault("an array of numbers or strings", f"one of type {inner}")
        form = _SCALARS[inner]
        raw = bytes(self._take(count * struct.calcsize(form)))
        return [each for (each,) in struct.iter_unpack(form, raw)]

    def _tensor(self) -> tuple[str, Tensor]:
        name = self._string()
        axes = self._scalar(4)
        if not 1 <= axes <= 4:
            raise self._fault(f"1 to 4 axes of {name[:60]!r}", f"{axes}")
        shape = tuple(self._scalar(10) for _ in range(axes))[::-1]
        kind, start = self._scalar(4), self._scalar(10)
        if kind not in TYPES:
            known = ", ".join(known for known, _ in TYPES.values())
            raise self._fault(
                f"tensors of type {known}",
                f"{name[:60]!r} of type {_NAMES.get(kind, kind)}; convert the file to one of these types",
            )
        if min(shape) < 1 or shape[-1] % (1 if kind < 2 else BLOCK):
            raise self._fault(f"rows of whole blocks of {BLOCK} in {name[:60]!r}", f"the shape {shape}")
        return name, Tensor(shape, kind, start)


def dequantised(raw: UInt8[np.ndarray, " n"], kind: int) -> Float32[np.ndarray, " m"]:
    """Return the numbers of whole blocks as float32.

    Args:
        raw: the bytes.
        kind: a key of `TYPES`.
    """
    name, size = TYPES[kind]
    if name in ("F32", "F16"):
        plain: np.ndarray = raw.view("<f4" if name == "F32" else "<f2").astype(np.float32)
        return plain
    blocks = raw.reshape(-1, size)
    factor = blocks[:, :2].copy().view("<f2").astype(np.float32)
    if name == "Q8_0":
        return (blocks[:, 2:].view(np.int8) * factor).reshape(-1)
    least = blocks[:, 2:4].copy().view("<f2").astype(np.float32)
    made = np.empty((len(blocks), BLOCK), np.float32)
    # Low halves of the bytes are the first 16 numbers, high halves the last.
    made[:, :16], made[:, 16:] = blocks[:, 4:] & 15, blocks[:, 4:] >> 4
    made *= factor
    made += least
    return made.reshape(-1)
