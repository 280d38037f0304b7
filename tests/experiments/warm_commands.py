"""`python warm_commands.py SOCKET`: runs commands in processes forked from one that has imported prismlab.

Each is a process of its own, with its own devices, signals and exit code; it only need not import JAX, Orbax
and matplotlib again, which takes longer than most commands of the tests. One connection is one command: the
request is a line of JSON with two file descriptors; the answers are the process id and then the wait status.
The server ends with its standard input, a pipe that each worker of a test run holds open.
"""

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
from typing import Any

import mlir_context

BYTES = 1 << 20
# What commands import late, in whichever of them.
LATE = (
    "prismlab.experiments.encoders.evaluate", "prismlab.experiments.results.gather",
    "prismlab.experiments.launch.worker", "prismlab.experiments.run.rows", "tensorboardX",
)  # fmt: skip


def _import_all() -> None:
    from prismlab.core import code_fingerprint
    from prismlab.experiments import commands

    found = pkgutil.walk_packages(commands.__path__, f"{commands.__name__}.")
    names = [*(each.name for each in found), *LATE]
    for name in names:
        importlib.import_module(name)
    code_fingerprint.closure(names)  # syntax trees of all modules, kept by their content
    mlir_context.share()


def run(request: dict[str, Any], standard: list[int]) -> int:
    """Run a command in this process, with its own environment and output; return its exit code."""
    for target, given in enumerate((os.open(os.devnull, os.O_RDONLY), *standard)):
        os.dup2(given, target)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["prismlab", *request["words"]]
    from prismlab.experiments import main

    return main.main(request["words"])


def serve(path: str) -> tuple[dict[str, Any], list[int]] | None:
    """Fork a process for each request, until standard input ends; return the request in that process."""
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{path}.new")
    listening.listen(64)
    os.rename(f"{path}.new", path)  # clients wait for this name
    waiting: dict[int, socket.socket] = {}
    ready = selectors.DefaultSelector()
    for each in (sys.stdin, woken, listening):
        ready.register(each, selectors.EVENT_READ)
    while True:
        asked = {key.fileobj for key, _ in ready.select()}
        if listening in asked:
            connection = listening.accept()[0]
            text, standard, _, _ = socket.recv_fds(connection, BYTES, 2)
            child = os.fork()
            if child == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for each in (ready, listening, woken, wake, connection, *waiting.values()):
                    each.close()
                return json.loads(text), standard
            for each in standard:
                os.close(each)
            connection.sendall(f"{child}\n".encode())
            waiting[child] = connection
        if woken in asked:
            woken.recv(BYTES)
        for child in list(waiting):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                with waiting.pop(child) as connection:
                    connection.sendall(f"{status}\n".encode())
        if sys.stdin in asked:
            return None


if __name__ == "__main__":
    _import_all()
    gc.freeze()  # pages of the imported modules stay shared with the children
    asked = serve(sys.argv[1])
    if asked is not None:
        sys.exit(run(*asked))
