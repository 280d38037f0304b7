"""Processes of units on this machine: start `prismlab run-unit`, wait for it, stop all of a work directory.

A process is forked from a server that has imported the training code once (`multiprocessing`'s fork server:
milliseconds instead of seconds, and the imports hold no device). A Dask worker below a nanny may not have
children of that kind; there each unit imports for itself.
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing import connection
from typing import Any

from prismlab.core import allocator

# Imported by the server, and so by no unit. They start no device and no thread. `main` is not among them:
# multiprocessing runs it again in each child, and warns if it was imported.
IMPORTED = (
    "prismlab.experiments.commands.recipes.run_unit",
    "prismlab.experiments.gin_strict.strict",
    "prismlab.experiments.launch.unit_run",
    "prismlab.experiments.run.compilation_cache",
    "prismlab.experiments.store.host_agreement",
)
_RUNNING: dict[int, str] = {}  # process -> its work directory
_TOLD: set[int] = set()  # processes that were asked to stop
_LOCK = threading.Lock()


def run(words: Sequence[str], workdir: str, environment: Mapping[str, str]) -> int:
    """Run a command of prismlab in a process of its own, and wait for it.

    If the process that called this is killed, the unit saves and stops.

    Args:
        words: arguments after `prismlab`.
        workdir: the unit's work directory; `stop` stops the units of one.
        environment: variables to add.

    Returns:
        The exit code, or the negative number of the signal that killed it.
    """
    with _LOCK:
        started = _start(list(words), dict(environment))
        _RUNNING[started.pid] = workdir
    try:
        if isinstance(started, subprocess.Popen):
            return started.wait()
        connection.wait([started.sentinel])
        with _LOCK:  # starting a process reads the exit codes of all that ended; each can be read once
            started.join()
        return int(started.exitcode)
    finally:
        with _LOCK:
            del _RUNNING[started.pid]
            _TOLD.discard(started.pid)


def stop(workdir: str, force: bool = False) -> int:
    """Ask the units of a work directory to save and stop; does not wait for them.

    Args:
        workdir: see `run`.
        force: kill them instead.

    Returns:
        How many were running.
    """
    with _LOCK:
        found = [process for process, own in _RUNNING.items() if own == workdir]
        for process in found:
            if force or process not in _TOLD:
                _TOLD.add(process)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL if force else signal.SIGTERM)
    return len(found)


def _start(words: list[str], environment: dict[str, str]) -> Any:
    if multiprocessing.current_process().daemon:
        command = [sys.executable, "-m", __name__, *words]
        return subprocess.Popen(command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    started = context.Process(target=_enter, args=(words, environment))
    started.start()
    return started


def _enter(words: list[str], environment: dict[str, str]) -> None:
    """Run a command in this new process, and exit with its code."""
    os.setsid()  # Ctrl-C in a terminal reaches the command that started the units, which asks them to stop
    os.environ.update(environment)
    allocator.keep_freed()  # before any thread
    threading.Thread(target=_stop_with, args=(os.getppid(),), daemon=True).start()
    from prismlab.experiments import main

    sys.exit(main.main(words))


def _stop_with(parent: int) -> None:
    """Stop this process as a scheduler would when its parent ends."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    _enter(sys.argv[1:], {})
