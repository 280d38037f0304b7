"""Leases on jobs, stored as files in a shared directory or bucket.

    workdir/claims/<unit>.<n>        the n-th lease: created exclusively, renewed while its owner runs
    workdir/claims/<unit>.<n>.free   the n-th lease was released
    workdir/claims/<unit>.failed     why the job failed; removed when the command is started again

A job is free if its last lease was released or has expired. Acquiring a lease means creating the file with
the next number, which succeeds in exactly one process: exclusive creation is atomic on local disks, on NFS
and in buckets. Lease files are never renamed or removed, so no lease is lost to a race.
"""

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_errors, filesystem, locks
from prismlab.experiments import console, exits

BEAT, STALE = 10.0, 90.0  # seconds between lease renewals; seconds after the last one until a lease expires


class Claim:
    """A lease on a job, renewed by a background thread until it is released.

    The process exits if the lease expires or another worker acquires the job.

    Args:
        path: the lease file.
        unit: name of the job.
        owner: content of the file.
        beat: seconds between lease renewals.
        stale: seconds after the last renewal until the lease expires.
    """

    def __init__(self, path: filesystem.Path, unit: str, owner: bytes, beat: float, stale: float):
        self.path, self.unit, self._owner, self._stale = path, unit, owner, stale
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, args=(beat,), daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """True if our lease expired and another worker took the job."""
        return (_last(_names(self.path.parent), self.unit) or 0) > _number(self.path)

    def _live(self, beat: float) -> None:
        seen = time.monotonic()
        while not self._ended.wait(beat):
            try:
                before = time.monotonic()
                locks.touch(self.path, self._owner)
                seen = before
                lost = self.lost  # this process slept for too long
            except Exception:
                # A shared disk or a bucket may be unavailable for less than `stale` seconds.
                lost = time.monotonic() - seen > self._stale
            if lost:  # another worker may be writing the same files
                os.write(2, f"prismlab: {self.unit} was, or may be, taken over by another worker\n".encode())
                os._exit(exits.INTERRUPTED)

    def release(self) -> None:
        """Release the lease."""
        self._ended.set()
        self._thread.join()
        # If this write fails, the lease expires by itself; do not mask the outcome of the job.
        with contextlib.suppress(OSError, errors.UserError):
            filesystem.write_atomic(self.path.with_name(self.path.name + ".free"), b"")


def claim(workdir: filesystem.Path, unit: str, *, beat: float = BEAT, stale: float = STALE) -> Claim | None:
    """Acquire the lease on a job, or return None if another worker holds it.

    Args:
        workdir: the shared work directory.
        unit: name of the job, valid as a file name.
        beat: seconds between lease renewals.
        stale: seconds after the last renewal until a lease expires.

    Raises:
        UserError: the directory cannot be written.
    """
    folder = workdir / "claims"
    who = {"host": socket.gethostname(), "process": os.getpid(), "token": secrets.token_hex(8)}
    owner = json.dumps(who).encode()
    path = None
    try:
        with file_errors.translate_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            there = _names(folder)
            last = _last(there, unit)
            if last is not None and not _is_free(folder, f"{unit}.{last}", there, stale):
                return None
            path = folder / f"{unit}.{0 if last is None else last + 1}"
            locks.create(path, owner)
    except FileExistsError:
        # If a bucket's response was lost, gcsfs retried and found our own lease file.
        if path is None or filesystem.read_if_exists(path) != owner:
            return None
    return Claim(path, unit, owner, beat, stale)


def outlast(workdir: filesystem.Path, unit: str, *, beat: float = BEAT, stale: float = STALE) -> Claim | None:
    """Acquire the lease on a job; if it is held, wait until it is renewed or expires.

    Args:
        workdir, unit, beat, stale: see `claim`.

    Returns:
        The lease, or None if its owner renewed it.
    """
    seen: Any = None
    while (held := claim(workdir, unit, beat=beat, stale=stale)) is None:
        folder = workdir / "claims"
        last = _last(_names(folder), unit)
        sign = (last, locks.modified_time(folder / f"{unit}.{last}"))
        if seen is None:
            console.tell(f"{workdir} is in use; waiting {stale:.0f} s for a lease renewal")
        elif sign != seen:
            return None
        seen = sign
        time.sleep(beat)
    return held


def living(workdir: filesystem.Path, *, stale: float = STALE) -> dict[str, Any]:
    """Return job -> owner of every active lease."""
    folder = workdir / "claims"
    there = _names(folder)
    found: dict[str, Any] = {}
    for unit in sorted(name.removesuffix(".0") for name in there if name.endswith(".0")):
        last = f"{unit}.{_last(there, unit)}"
        if not _is_free(folder, last, there, stale):
            try:
                found[unit] = json.loads((folder / last).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                found[unit] = {"host": "unknown", "process": 0}
    return found


def fail(workdir: filesystem.Path, unit: str, why: str) -> None:
    """Record that a job failed."""
    filesystem.write_atomic(workdir / "claims" / f"{unit}.failed", why.encode())


def failures(workdir: filesystem.Path) -> dict[str, str]:
    """Return job -> reason of its failure."""
    folder = workdir / "claims"
    names = sorted(name for name in _names(folder) if name.endswith(".failed"))
    return {name.removesuffix(".failed"): (folder / name).read_text(encoding="utf-8") for name in names}


def forgive(workdir: filesystem.Path) -> None:
    """Clear recorded failures, so that a restarted command retries the jobs."""
    for unit in failures(workdir):
        (workdir / "claims" / f"{unit}.failed").unlink(missing_ok=True)


def _names(folder: filesystem.Path) -> set[str]:
    """Return the names of all files in a folder, with one listing."""
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()


def _number(path: filesystem.Path) -> int:
    return int(path.name.rpartition(".")[2])


def _last(there: set[str], unit: str) -> int | None:
    ends = (name[len(unit) + 1 :] for name in there if name.startswith(f"{unit}."))
    return max((int(end) for end in ends if end.isdigit()), default=None)


def _is_free(folder: filesystem.Path, name: str, there: set[str], stale: float) -> bool:
    if f"{name}.free" in there:
        return True
    try:
        return _now(folder) - locks.modified_time(folder / name) > stale
    except FileNotFoundError:
        return False


def _now(folder: filesystem.Path) -> float:
    """Return the time of the clock that sets file times in a folder; it may differ from the local clock."""
    probe = folder / f".clock-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with contextlib.suppress(FileExistsError):  # as in `claim`
            locks.create(probe, b"")
        return locks.modified_time(probe)
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)
