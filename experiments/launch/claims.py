"""Who works on what, agreed on by files in a shared directory.

    workdir/claims/<unit>.<n>        the n-th claim: written once, exclusively; touched while its owner lives
    workdir/claims/<unit>.<n>.free   the n-th claim was given back
    workdir/claims/<unit>.failed     why the unit cannot be done; removed when the command is started again

A unit is free if its last claim was given back, or has not been touched for a while. Claiming it means
creating the next number, which only one can do: exclusive creation is atomic on local disks and on NFS.
Nothing is ever renamed or removed, so nobody can lose a claim to a race.
"""

import json
import os
import pathlib
import secrets
import socket
import threading
import time
from typing import Any

from core import errors

BEAT, STALE = 10.0, 90.0  # seconds between two signs of life; after so many without one, a claim is void


class Claim:
    """A unit that is ours until it is given back.

    Args:
        path: the claim's file.
        unit: what was claimed.
        beat: seconds between two signs of life.
    """

    def __init__(self, path: pathlib.Path, unit: str, beat: float):
        self.path, self.unit = path, unit
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, args=(beat,), daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether somebody claimed the unit after us, having taken us for dead."""
        return _number(self.path) != _last(self.path.parent, self.unit)

    def _live(self, beat: float) -> None:
        while not self._ended.wait(beat):
            try:
                os.utime(self.path)
                if self.lost:
                    # This process slept for too long; another one writes the same files by now.
                    os.write(2, f"prismlab: {self.unit} was taken over by another worker\n".encode())
                    os._exit(75)
            except OSError:
                continue  # a shared disk may be away for a moment; if it stays away, the claim goes stale

    def release(self) -> None:
        """Give the unit back."""
        self._ended.set()
        self._thread.join()
        self.path.with_name(self.path.name + ".free").touch()


def claim(workdir: pathlib.Path, unit: str, *, beat: float = BEAT, stale: float = STALE) -> Claim | None:
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        last = _last(folder, unit)
        if last is not None and not _is_free(folder / f"{unit}.{last}", stale):
            return None
        path = folder / f"{unit}.{0 if last is None else last + 1}"
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    except OSError as error:
        raise errors.UserError(f"{folder} cannot be written: {error.strerror}") from error
    with os.fdopen(handle, "w") as file:
        json.dump({"host": socket.gethostname(), "process": os.getpid()}, file)
    return Claim(path, unit, beat)


def living(workdir: pathlib.Path, *, stale: float = STALE) -> dict[str, Any]:
    """Return unit -> owner of every claim that is held by somebody alive."""
    folder = workdir / "claims"
    found: dict[str, Any] = {}
    for path in folder.glob("*.0"):
        unit = path.name.removesuffix(".0")
        last = folder / f"{unit}.{_last(folder, unit)}"
        if not _is_free(last, stale):
            try:
                found[unit] = json.loads(last.read_text())
            except (OSError, ValueError):
                found[unit] = {"host": "unknown", "process": 0}
    return found


def fail(workdir: pathlib.Path, unit: str, why: str) -> None:
    """Note that a unit cannot be done."""
    (workdir / "claims" / f"{unit}.failed").write_text(why)


def failures(workdir: pathlib.Path) -> dict[str, str]:
    """Return unit -> why it cannot be done."""
    return {
        path.name.removesuffix(".failed"): path.read_text()
        for path in sorted((workdir / "claims").glob("*.failed"))
    }


def forgive(workdir: pathlib.Path) -> None:
    """Forget failures, so that a command started again tries again."""
    for path in (workdir / "claims").glob("*.failed"):
        path.unlink(missing_ok=True)


def _number(path: pathlib.Path) -> int:
    return int(path.name.rpartition(".")[2])


def _last(folder: pathlib.Path, unit: str) -> int | None:
    numbers = [
        int(path.name[len(unit) + 1 :])
        for path in folder.glob(f"{unit}.*")
        if path.name[len(unit) + 1 :].isdigit()
    ]
    return max(numbers, default=None)


def _is_free(path: pathlib.Path, stale: float) -> bool:
    if path.with_name(path.name + ".free").exists():
        return True
    try:
        return _now(path.parent) - path.stat().st_mtime > stale
    except FileNotFoundError:
        return False


def _now(folder: pathlib.Path) -> float:
    """Return the time of the clock that stamps files there: on a shared disk it is not our own."""
    probe = folder / f".clock-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        probe.unlink(missing_ok=True)
