"""Leases on jobs, stored as files in a shared directory or bucket.

    workdir/claims/<unit>.<n>        the n-th lease: created exclusively, renewed while its owner runs
    workdir/claims/<unit>.<n>.free   the n-th lease was released
    workdir/claims/<unit>.failed     why the job failed; removed when the command is started again

A job is free if its last lease was released or has expired. Acquiring a lease means creating the file with
the next number, which succeeds in exactly one process: exclusive creation is atomic on local disks, on NFS
and in buckets. Lease files are never renamed or removed, so no lease is lost to a race.

A lease expires when a reader has seen it unchanged for some time, by the reader's own clock: time stamps may
be wrong or copied. On the machine of its owner it also expires when that process has ended.
"""

import contextlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from prismlab.core import errors
from prismlab.core.io import file_errors, filesystem, locks, process_identity
from prismlab.experiments import console, exits

BEAT, STALE = 10.0, 90.0  # seconds between lease renewals; seconds without one until a lease expires
_UNKNOWN = {"host": "unknown", "process": 0}


class Watch:
    """What this process has seen of lease files: for how long each has not been renewed.

    Args:
        clock: seconds of a clock that never steps.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._seen: dict[str, tuple[float, float]] = {}  # path -> (modification time, seen first at)

    def unchanged(self, path: filesystem.Path) -> float:
        """Return for how many seconds this process has seen a file with its present modification time.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        sign = locks.modified_time(path)
        before, since = self._seen.get(str(path), (None, 0.0))
        if before == sign:
            return self._clock() - since
        self._seen[str(path)] = (sign, self._clock())
        return 0.0


class Claim:
    """A lease on a job, renewed by a background thread until it is released.

    The process exits if the lease expires or another worker acquires the job.

    Args:
        path: the lease file.
        unit: name of the job.
        owner: content of the file.
        beat: seconds between lease renewals.
        stale: seconds without a renewal until the lease expires.
    """

    def __init__(self, path: filesystem.Path, unit: str, owner: bytes, beat: float, stale: float):
        self.path, self.unit, self._owner, self._stale = path, unit, owner, stale
        self._ended = threading.Event()
        self._beat = beat
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """True if our lease expired and another worker took the job."""
        return (_last(_names(self.path.parent), self.unit) or 0) > _number(self.path)

    def _live(self) -> None:
        seen = time.monotonic()
        while not self._ended.wait(self._beat):
            line, code = f"{self.unit} was, or may be, taken over by another worker", exits.INTERRUPTED
            try:
                before = time.monotonic()
                locks.touch(self.path, self._owner)
                seen = before
                lost = self.lost  # this process slept for too long
            except Exception as error:
                # A shared disk or a bucket may be unavailable for less than `stale` seconds; this process
                # ends one renewal before others may take over.
                lost = time.monotonic() - seen > self._stale - self._beat
                if isinstance(error, FileNotFoundError):
                    line, code = f"{self.path} was deleted; run the same command again", exits.USER_ERROR
            if lost:  # another worker may be writing the same files
                os.write(2, f"prismlab: {line}\n".encode())
                os._exit(code)

    def release(self) -> None:
        """Release the lease, unless its file was deleted: the next process then makes the same one."""
        self._ended.set()
        self._thread.join()
        # If this write fails, the lease expires by itself; do not mask the outcome of the job.
        with contextlib.suppress(OSError, errors.UserError):
            if self.path.exists():
                filesystem.write_atomic(self.path.with_name(self.path.name + ".free"), b"")


def claim(
    workdir: filesystem.Path,
    unit: str,
    watch: Watch | None = None,
    *,
    beat: float = BEAT,
    stale: float = STALE,
) -> Claim | None:
    """Acquire the lease on a job, or return None if another process holds it.

    Args:
        workdir: the shared work directory.
        unit: name of the job, valid as a file name.
        watch: what earlier calls have seen; without it only released leases and those of ended processes of
            this machine are free.
        beat: seconds between lease renewals.
        stale: seconds without a renewal until a lease expires.

    Raises:
        UserError: the directory cannot be written.
    """
    folder = workdir / "claims"
    owner = json.dumps(process_identity.this_process() | {"token": secrets.token_hex(8)}).encode()
    watch = watch or Watch()
    path = None
    try:
        with file_errors.translate_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            there = _names(folder)
            last = _last(there, unit)
            if last is not None and not (
                _is_free(folder, f"{unit}.{last}", there)
                or watch.unchanged(folder / f"{unit}.{last}") > stale
            ):
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
    seen, watch = None, Watch()
    while (held := claim(workdir, unit, watch, beat=beat, stale=stale)) is None:
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


@contextlib.contextmanager
def in_turn(
    workdir: filesystem.Path, unit: str, *, beat: float = BEAT, stale: float = STALE
) -> Iterator[None]:
    """Hold the lease on a job; while another process holds it, wait until that is done or its lease expires.

    Args:
        workdir, unit, beat, stale: see `claim`.
    """
    watch, announced = Watch(), False
    while (held := claim(workdir, unit, watch, beat=beat, stale=stale)) is None:
        if not announced:
            owner = living(workdir).get(unit, _UNKNOWN)
            console.tell(f"{unit}: waiting for process {owner['process']} on {owner['host']}, which runs it")
        announced = True
        time.sleep(beat)
    try:
        yield
    finally:
        held.release()


def is_held(workdir: filesystem.Path, unit: str) -> bool:
    """Return whether a lease on a job is not released and its process may still run."""
    folder = workdir / "claims"
    there = _names(folder)
    last = _last(there, unit)
    return last is not None and not _is_free(folder, f"{unit}.{last}", there)


def living(workdir: filesystem.Path) -> dict[str, Any]:
    """Return job -> owner of every lease that is not released and whose process may still run."""
    folder = workdir / "claims"
    there = _names(folder)
    found: dict[str, Any] = {}
    for unit in sorted(name.removesuffix(".0") for name in there if name.endswith(".0")):
        last = f"{unit}.{_last(there, unit)}"
        if not _is_free(folder, last, there):
            found[unit] = _UNKNOWN | _owner(folder / last)
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


def _is_free(folder: filesystem.Path, name: str, there: set[str]) -> bool:
    return f"{name}.free" in there or process_identity.has_ended(_owner(folder / name))


def _owner(path: filesystem.Path) -> dict[str, Any]:
    """Return the owner in a lease file; {} if it is damaged, or being written."""
    text = filesystem.read_if_exists(path)
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
