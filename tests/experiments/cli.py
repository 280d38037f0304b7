"""What the tests of whole runs share: the command in a process of its own, with small shared caches."""

import atexit
import functools
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import xla_flags

from prismlab.core.io import locks

# What jax_disable_most_optimizations sets in the process of the tests.
UNOPTIMIZED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
REPOSITORY = pathlib.Path(__file__).parents[2]
TINY = str(pathlib.Path(__file__).with_name("tiny.gin"))
QUICK = str(pathlib.Path(__file__).with_name("quick.gin"))
SHARED = pathlib.Path(os.environ["PRISMLAB_TESTS"])  # of all workers, see conftest.py
CACHE = SHARED / f"cache-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
ONE_STAGE = "recipe.Experiment.stages=(@stage1/recipe.Stage(),)"
LONG = ("STEPS=8", "loop.Settings.checkpoint_every=1")  # a checkpoint every step: a kill meets a save


def environment(devices: int = 1, **more: str) -> dict[str, str]:
    """Return the environment of a command: programs compiled once for all tests, rendered clips as well."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XLA_FLAGS", "PYTHONPATH", "COLUMNS")
    }
    return kept | {
        "PRISMLAB_CACHE": str(CACHE),
        "JAX_PLATFORMS": "cpu",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {UNOPTIMIZED} {xla_flags.FAST}",
        **more,
    }


class Command:
    """A command in a process forked from a warm one (warm_commands.py), used like `subprocess.Popen`."""

    def __init__(self, words: Sequence[str], environment: dict[str, str], folder: str):
        home = pathlib.Path(tempfile.mkdtemp(dir=SHARED))
        self._output = home / "output", home / "errors"
        self._answers = socket.socket(socket.AF_UNIX)
        self._answers.connect(_warm())
        request = {"words": list(words), "environment": environment, "folder": folder}
        with self._output[0].open("wb") as output, self._output[1].open("wb") as errors:
            descriptors = [output.fileno(), errors.fileno()]
            socket.send_fds(self._answers, [json.dumps(request).encode()], descriptors)
        self._told = b""
        self.returncode: int | None = None
        self._read(1, None)
        self.pid = int(self._told.split()[0])

    def _read(self, lines: int, timeout: float | None) -> None:
        """Read answers until there are so many lines; one is the process id, the next the wait status."""
        end = None if timeout is None else time.monotonic() + timeout
        while self._told.count(b"\n") < lines:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                return
            received = self._answers.recv(4096)
            assert received, "the process that starts commands has ended"
            self._told += received

    def poll(self) -> int | None:
        """Return the exit code, or None while the command runs."""
        return self._ended(0.0)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._read(2, timeout)
            if self._told.count(b"\n") == 2:
                self._answers.close()
                self.returncode = os.waitstatus_to_exitcode(int(self._told.split()[1]))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code at the end of the command."""
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired("prismlab", timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Return output and errors at the end of the command."""
        self.wait(timeout)
        output, errors = (path.read_text(encoding="utf-8") for path in self._output)
        return output, errors

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


@functools.cache
def _warm() -> str:
    """Return the socket of the process from which all workers of a test run fork commands."""
    home, alive = SHARED / "warm", SHARED / "warm.alive"
    with locks.held(SHARED / "warm.lock"):
        try:
            kept = os.open(alive, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # none was started, or it has ended
            kept = _serve(home, alive)
    atexit.register(os.close, kept)
    return str(home)


def _serve(home: pathlib.Path, alive: pathlib.Path) -> int:
    """Start the server, which exits when every worker has closed its end of the pipe; return this end."""
    for path in (home, alive):
        path.unlink(missing_ok=True)
    os.mkfifo(alive)
    read = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    kept = os.open(alive, os.O_WRONLY)
    script = pathlib.Path(__file__).with_name("warm_commands.py")
    server = subprocess.Popen([sys.executable, str(script), str(home)], env=environment(), stdin=read)
    os.close(read)
    atexit.register(server.wait)
    while not home.exists():
        assert server.poll() is None
        time.sleep(0.01)
    return kept


def start(*words: object, **more: object) -> Command | subprocess.Popen:
    """Start `prismlab`, or the module that stands in for it, with its output caught.

    Args:
        words: the command.
        more: env: its environment; cwd: its folder; module: what stands in for `prismlab`.
    """
    env = more.pop("env", None) or environment()
    module = more.pop("module", None)
    if module is None and _as_imported(env):
        return Command(list(map(str, words)), env, str(more.pop("cwd", os.getcwd())))
    command = [sys.executable, "-m", str(module or "prismlab.experiments.main"), *map(str, words)]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )  # type: ignore[call-overload]


def _as_imported(env: dict[str, str]) -> bool:
    """Return whether an environment agrees with the warm process in what Python and JAX read at import."""
    usual = environment()
    return all(
        env.get(name) == usual.get(name) for name in env.keys() | usual.keys()
        if name.startswith(("JAX_", "PYTHON", "LC_", "LANG"))
    )  # fmt: skip


def run(*words: object, **more: object) -> subprocess.CompletedProcess:
    """Run `prismlab` to its end."""
    process = start(*words, **more)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def train(workdir: pathlib.Path, *bindings: str, **more: object) -> subprocess.CompletedProcess:
    """Run `prismlab train quick.gin`."""
    return run("train", QUICK, *bindings, "--workdir", workdir, **more)


def digest(workdir: pathlib.Path) -> list[str]:
    """Return the lines of `prismlab digest`, from this process."""
    from prismlab.experiments.store import work_directory

    return [f"{name} {at} {sha}" for name, at, sha in work_directory.digests(workdir)]


def one_fault(done: subprocess.CompletedProcess, *told: str) -> str:
    """Check that a command ended as a user's mistake does, and return its one line."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    own = [line for line in done.stderr.splitlines() if line.startswith("prismlab: ")]
    lines = [line for line in own if "; waiting " not in line]  # progress, not a fault
    assert len(lines) == 1, done.stderr
    for part in told:
        assert part in lines[0], lines[0]
    return lines[0]
