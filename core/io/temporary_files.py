"""Temporary files beside the local files that they replace; those of killed processes are removed.

The writing process holds a lock on its temporary file, which the system releases when the process ends.
"""

import contextlib
import fcntl
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping

from prismlab.core import errors
from prismlab.core.io import file_errors

_SUFFIX = ".tmp"


@contextlib.contextmanager
def replacing(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary file in the folder of a file; when the block ends, rename it to that file.

    If the block fails, or deletes the temporary file, the target is left unchanged.

    Args:
        target: the final path; its folder is created if missing.

    Raises:
        UserError: the disk is full, or the folder cannot be written or was deleted during the block.
    """
    with _temporary(target) as temporary:
        with file_errors.full_disk(target):
            yield temporary
        if not target.parent.is_dir():
            raise errors.UserError(f"cannot write {target}: its folder was deleted meanwhile; run again")
        if temporary.exists():
            with file_errors.translate_errors(target):
                _settle(temporary, target)


def write_together(files: Mapping[pathlib.Path, bytes]) -> None:
    """Write files atomically, each by itself, and wait for the disk once instead of once a file.

    Args:
        files: content of each file; their folders are created if missing.

    Raises:
        UserError: the disk is full, or a folder cannot be written.
    """
    with contextlib.ExitStack() as made:
        written = {target: made.enter_context(_temporary(target)) for target in files}
        for target, temporary in written.items():
            with file_errors.translate_errors(target), file_errors.full_disk(target):
                temporary.write_bytes(files[target])
        if written:
            os.sync()
        for target, temporary in written.items():
            with file_errors.translate_errors(target):
                _rename(temporary, target)


def remove_unfinished(folder: pathlib.Path) -> None:
    """Delete the temporary files that killed processes left in a folder, which may be missing.

    Args:
        folder: its subfolders are not searched. A file that cannot be deleted stays.
    """
    for path in unfinished(folder):
        with contextlib.suppress(OSError):
            path.unlink()


def unfinished(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the temporary files that killed processes left in a folder; each is locked until the next one.

    Args:
        folder: may be missing; its subfolders are not searched.
    """
    for path in sorted(folder.glob(f".*{_SUFFIX}")):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _temporary(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a locked temporary file in the folder of a file; delete it at the end unless it was renamed."""
    with file_errors.translate_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = _locked(target)
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(target: pathlib.Path) -> tuple[int, pathlib.Path]:
    """Return the locked descriptor and the path of a new temporary file."""
    while True:
        descriptor, name = tempfile.mkstemp(_SUFFIX, f".{target.name[:40]}.", target.parent)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process took it for unfinished, and deletes it
            os.close(descriptor)
            continue
        except OSError:
            return descriptor, pathlib.Path(name)  # a file system without locks
        if os.path.exists(name):
            return descriptor, pathlib.Path(name)
        os.close(descriptor)


def _settle(temporary: pathlib.Path, target: pathlib.Path) -> None:
    """Write a temporary file to disk and rename it."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    _rename(temporary, target)


def _rename(temporary: pathlib.Path, target: pathlib.Path) -> None:
    """Rename a temporary file, with the default permissions of a new file."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(temporary, 0o666 & ~mask)  # mkstemp makes it private
    os.replace(temporary, target)
