"""Which process wrote a file, and whether that process has ended if it ran on this machine."""

import os
import pathlib
import socket
from typing import Any


def this_process() -> dict[str, Any]:
    """Return plain data that identifies this process: host, boot and namespace, process and start time."""
    return {
        "host": socket.gethostname(),
        "boot": _text("/proc/sys/kernel/random/boot_id"),
        "namespace": _namespace(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }


def has_ended(process: Any) -> bool:
    """Return True if a process is known to have ended; False if it runs or nothing is known about it.

    Args:
        process: from `this_process` of some process. Nothing is known about those of other machines and
            containers, nor on systems without /proc.
    """
    own = this_process()
    if not own["boot"] or not own["namespace"] or not isinstance(process, dict):
        return False
    number = process.get("process")
    if any(process.get(name) != own[name] for name in ("host", "boot", "namespace")):
        return False
    if not isinstance(number, int) or not 0 < number < 1 << 31:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # of another user
    # A number is used again after the end of a process; the start time differs then.
    started = _started(number)
    return started is not None and started != process.get("started")


def _text(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(number: int) -> int | None:
    """Return when a process started, in clock ticks since the boot; -1 if it is a zombie, None if unknown."""
    fields = _text(f"/proc/{number}/stat").rpartition(")")[2].split()  # the name may hold anything
    if len(fields) < 20:
        return None
    return -1 if fields[0] in ("Z", "X") else int(fields[19])
