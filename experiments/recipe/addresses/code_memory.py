"""Remember fingerprints of source files in the cache, by content, so that an unchanged file is not parsed."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping

from prismlab.core import code_fingerprint, errors
from prismlab.core.io import checked_json, filesystem

MOST = 5000  # modules in a file; older ones are dropped
_MOST_BYTES = 2**25


@dataclasses.dataclass(frozen=True)
class _File:
    modules: Mapping[str, code_fingerprint.Module]


@contextlib.contextmanager
def kept(cache: pathlib.Path | None) -> Iterator[None]:
    """Use what earlier processes parsed, and keep what is parsed in the block.

    Args:
        cache: directory shared by runs; may be read-only or None, which only costs time.
    """
    if cache is None:
        yield
        return
    path = cache / f"code-{_version()}.json"
    _load(path)
    before = len(code_fingerprint.parsed())
    yield
    found = code_fingerprint.parsed()
    if len(found) == before:
        return
    newest = dict(list(found.items())[-MOST:])
    with contextlib.suppress(OSError, errors.UserError):  # read-only or full: parsed again next time
        plain = {key: dataclasses.asdict(module) for key, module in newest.items()}
        filesystem.write_atomic(path, json.dumps({"modules": plain}).encode())


@functools.cache
def _load(path: pathlib.Path) -> None:
    with contextlib.suppress(OSError, errors.UserError):  # missing or damaged: written again
        read: _File = checked_json.read(_File, path, limit=_MOST_BYTES)
        code_fingerprint.remember(read.modules)


def _version() -> str:
    """Return what the fingerprint of equal bytes depends on: its code, and the version of Python."""
    source = pathlib.Path(code_fingerprint.__file__).read_bytes()
    return hashlib.sha256(source + repr(sys.version_info[:2]).encode()).hexdigest()[:16]
