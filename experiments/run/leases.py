"""Who works on what, agreed on by files in a shared directory or bucket.

    workdir/claims/<unit>.<n>        the n-th claim: written once, exclusively; renewed while its owner lives
    workdir/claims/<unit>.<n>.free   the n-th claim was given back
    workdir/claims/<unit>.failed     why the unit cannot be done; removed when the command is started again

A unit is free if its last claim was given back, or has not been renewed for a while. Claiming it means
creating the next number, which only one can do: exclusive creation is atomic on local disks, on NFS and in
buckets. Nothing is ever renamed or removed, so nobody can lose a claim to a race.
"""

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from typing import Any

from prismlab.core import errors
from prismlab.core.io import atomic, filesystem
from prismlab.experiments import exits

BEAT, STALE = 10.0, 90.0  # seconds between two signs of life; after so many without one, a claim is void


class Claim:
    """A unit that is ours until it is given back.

    Args:
        path: the claim's file.
        unit: what was claimed.
        owner: the file's content.
        beat: seconds between two signs of life.
        stale: seconds without one after which others may take the unit, so that this process must end.
    """

    def __init__(self, path: filesystem.Place, unit: str, owner: bytes, beat: float, stale: float):
        self.path, self.unit, self._owner, self._stale = path, unit, owner, stale
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, args=(beat,), daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether somebody claimed the unit after us, having taken us for dead."""
        return (_last(_names(self.path.parent), self.unit) or 0) > _number(self.path)

    def _live(self, beat: float) -> None:
        seen = time.monotonic()
        while not self._ended.wait(beat):
            try:
                before = time.monotonic()
                filesystem.renew(self.path, self._owner)
                seen = before
                lost = self.lost  # this process slept for too long
            except Exception:
                # A shared disk or a bucket may be away for a moment, but not for long.
                lost = time.monotonic() - seen > self._stale
            if lost:  # another one may write the same files by now
                os.write(2, f"prismlab: {self.unit} was, or may be, taken over by another worker\n".encode())
                os._exit(exits.INTERRUPTED)

    def release(self) -> None:
        """Give the unit back."""
        self._ended.set()
        self._thread.join()
        # Where it cannot be told, the claim grows stale; how the work ended must not be hidden by that.
        with contextlib.suppress(OSError, errors.UserError):
            atomic.write_atomic(self.path.with_name(self.path.name + ".free"), b"")


def claim(workdir: filesystem.Place, unit: str, *, beat: float = BEAT, stale: float = STALE) -> Claim | None:
    """Claim a unit, or return None if somebody who is alive has it.

    Args:
        workdir: the shared work directory.
        unit: name of the unit, fit for a file name.
        beat: seconds between two signs of life.
        stale: seconds without one after which a claim is void.

    Raises:
        UserError: the directory cannot be written.
    """
    folder = workdir / "claims"
    who = {"host": socket.gethostname(), "process": os.getpid(), "token": secrets.token_hex(8)}
    owner = json.dumps(who).encode()
    path = None
    try:
        with filesystem.told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            there = _names(folder)
            last = _last(there, unit)
            if last is not None and not _is_free(folder, f"{unit}.{last}", there, stale):
                return None
            path = folder / f"{unit}.{0 if last is None else last + 1}"
            filesystem.create(path, owner)
    except FileExistsError:
        # Where a bucket's answer was lost, gcsfs asked again and met our own claim.
        if path is None or atomic.read_if_there(path) != owner:
            return None
    except OSError as error:
        raise errors.UserError(f"{folder} cannot be written: {error.strerror}") from error
    return Claim(path, unit, owner, beat, stale)


def outlast(
    workdir: filesystem.Place, unit: str, *, beat: float = BEAT, stale: float = STALE
) -> Claim | None:
    """Claim a unit; if somebody has it, wait for a sign of life from them, and take it if none comes.

    Args:
        workdir, unit, beat, stale: see `claim`.

    Returns:
        The claim, or None if its owner is alive.
    """
    seen: Any = None
    while (held := claim(workdir, unit, beat=beat, stale=stale)) is None:
        folder = workdir / "claims"
        last = _last(_names(folder), unit)
        sign = (last, filesystem.changed(folder / f"{unit}.{last}"))
        if seen is None:
            print(f"{workdir} is in use; waiting {stale:.0f} s for a sign of life", file=sys.stderr)
        elif sign != seen:
            return None
        seen = sign
        time.sleep(beat)
    return held


def living(workdir: filesystem.Place, *, stale: float = STALE) -> dict[str, Any]:
    """Return unit -> owner of every claim that is held by somebody alive."""
    folder = workdir / "claims"
    there = _names(folder)
    found: dict[str, Any] = {}
    for unit in sorted(name.removesuffix(".0") for name in there if name.endswith(".0")):
        last = f"{unit}.{_last(there, unit)}"
        if not _is_free(folder, last, there, stale):
            try:
                found[unit] = json.loads((folder / last).read_text())
            except (OSError, ValueError):
                found[unit] = {"host": "unknown", "process": 0}
    return found


def fail(workdir: filesystem.Place, unit: str, why: str) -> None:
    """Note that a unit cannot be done."""
    atomic.write_atomic(workdir / "claims" / f"{unit}.failed", why.encode())


def failures(workdir: filesystem.Place) -> dict[str, str]:
    """Return unit -> why it cannot be done."""
    folder = workdir / "claims"
    names = sorted(name for name in _names(folder) if name.endswith(".failed"))
    return {name.removesuffix(".failed"): (folder / name).read_text() for name in names}


def forgive(workdir: filesystem.Place) -> None:
    """Forget failures, so that a command started again tries again."""
    for unit in failures(workdir):
        (workdir / "claims" / f"{unit}.failed").unlink(missing_ok=True)


def _names(folder: filesystem.Place) -> set[str]:
    """Return the names of all files there, by one listing."""
    try:
        return {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        return set()


def _number(path: filesystem.Place) -> int:
    return int(path.name.rpartition(".")[2])


def _last(there: set[str], unit: str) -> int | None:
    ends = (name[len(unit) + 1 :] for name in there if name.startswith(f"{unit}."))
    return max((int(end) for end in ends if end.isdigit()), default=None)


def _is_free(folder: filesystem.Place, name: str, there: set[str], stale: float) -> bool:
    if f"{name}.free" in there:
        return True
    try:
        return _now(folder) - filesystem.changed(folder / name) > stale
    except FileNotFoundError:
        return False


def _now(folder: filesystem.Place) -> float:
    """Return the time of the clock that stamps files there: on a shared disk it is not our own."""
    probe = folder / f".clock-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with contextlib.suppress(FileExistsError):  # as in `claim`
            filesystem.create(probe, b"")
        return filesystem.changed(probe)
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)
