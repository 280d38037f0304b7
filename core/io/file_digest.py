"""Hashes of files by content, remembered by size and times so that an unchanged file is read once."""

import contextlib
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Iterable
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem

# A file that was written this many seconds ago could change again without a new time stamp.
_SETTLED = 2.0


def sha256(path: pathlib.Path) -> str:
    """Return the sha256 of a file as a hex string."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(folder: pathlib.Path, names: Iterable[str], cache: pathlib.Path | None) -> dict[str, str]:
    """Return name -> sha256 of files below a folder.

    Args:
        folder: the folder.
        names: paths relative to it.
        cache: directory that remembers the hashes; may be read-only or None, which only costs time.

    Raises:
        UserError: a file cannot be read.
    """
    folder = folder.absolute()
    known_as = hashlib.sha256(os.fspath(folder).encode()).hexdigest()[:16]
    memory = cache / f"hashes-{known_as}.json" if cache is not None else None
    before = _remembered(memory) if memory is not None else {}
    found: dict[str, str] = {}
    stored: dict[str, list[Any]] = {}
    now = time.time()
    for name in sorted(names):
        path = folder / name
        try:
            state = path.stat()
            # The time of change is set by the system alone: a copy with an old modification time is seen.
            mark = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
            known = before.get(name)
            found[name] = known[-1] if known and known[:-1] == mark else sha256(path)
        except OSError as error:
            raise errors.UserError(f"{path}: cannot be read: {error.strerror or error}") from error
        if now - max(state.st_mtime, state.st_ctime) > _SETTLED:
            stored[name] = [*mark, found[name]]
    if memory is not None and stored != {name: before.get(name) for name in stored}:
        with contextlib.suppress(OSError, errors.UserError):  # read-only or full: read again next time
            filesystem.write_atomic(memory, json.dumps({**before, **stored}).encode())
    return found


def _remembered(memory: pathlib.Path) -> dict[str, list[Any]]:
    try:
        read = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
