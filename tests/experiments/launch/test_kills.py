"""Real units on real Dask clusters: the table ends equal to the undisturbed one, whatever is killed."""

import contextlib
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import cli
import pytest
import user_lab

pytestmark = pytest.mark.slow
SHORT = ("STEPS=8", "loop.Settings.checkpoint_every=1")


@pytest.fixture
def ablation(lab) -> Iterator[Callable]:
    """Yield a function that starts `prismlab ablate` on a small ablation of six units."""
    user_lab.ablation(lab)
    env = cli.environment(1)
    env["PYTHONPATH"] += f":{lab.parent}"
    started = []

    def start(workdir: pathlib.Path, *words: str) -> subprocess.Popen:
        file = lab.parent / "ablation.gin"
        started.append(cli.start("ablate", file, *SHORT, "--workdir", workdir, *words, env=env))
        return started[-1]

    start.env = env
    yield start
    for each in started:
        each.kill()
        each.communicate()


class Cluster:
    """A scheduler and two workers as processes."""

    def __init__(self, env: dict[str, str], folder: pathlib.Path):
        self.env, self.folder = env, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", ":0"
        )
        self.workers = [
            self._start("worker", self.address, "--nthreads", "1", "--dashboard-address", ":0")
            for _ in range(2)
        ]

    def _start(self, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{words[0]}", *words[1:]]
        with (self.folder / "dask.log").open("a") as log:
            return subprocess.Popen(command, env=self.env, cwd=self.folder, stdout=log, stderr=log)

    def stop(self) -> None:
        for each in (self.scheduler, *self.workers):
            each.kill()
            each.wait()


@pytest.fixture
def cluster(ablation, tmp_path) -> Iterator[Cluster]:
    made = Cluster(ablation.env, tmp_path)
    yield made
    made.stop()


def descendants(process: int) -> list[int]:
    """Return all processes below a process."""
    listed: list[str] = []
    for thread in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            listed += thread.read_text(encoding="ascii").split()
    return [each for child in map(int, listed) for each in (child, *descendants(child))]


def units_of(*processes: int) -> list[int]:
    """Return the units below some processes: each leads a session of its own."""
    below = [each for process in processes for each in descendants(process)]
    found = []
    for each in below:
        try:
            if os.getsid(each) == each:
                found.append(each)
        except ProcessLookupError:
            continue
    return found


def table(workdir: pathlib.Path) -> list:
    return [json.loads((workdir / "results.json").read_text()), cli.digest(workdir)]


def finish(ablation, workdir: pathlib.Path, *words: str) -> str:
    """Run the command to its end, as often as it is interrupted; return what it said on the way."""
    said = ""
    for _ in range(5):
        process = ablation(workdir, *words)
        out, err = process.communicate(timeout=300)
        said += out + err
        assert "Traceback" not in err, err
        assert process.returncode in (0, 75), err
        if process.returncode == 0:
            return said
    raise AssertionError(said)


_UNDISTURBED: list = []


@pytest.fixture
def undisturbed(ablation, tmp_path) -> list:
    """Return the table of a run that nothing disturbs, trained once for all tests."""
    if not _UNDISTURBED:
        finish(ablation, tmp_path / "undisturbed")
        _UNDISTURBED.extend(table(tmp_path / "undisturbed"))
    return _UNDISTURBED


def disturb(process: subprocess.Popen, draw: random.Random, kill: Callable[[], object]) -> None:
    """Kill something at a random moment in the run of a command."""
    time.sleep(draw.uniform(1.5, 8))
    if process.poll() is None:
        kill()


@pytest.mark.parametrize("moment", range(10))
def test_a_killed_unit(ablation, undisturbed, tmp_path, moment):
    draw, workdir = random.Random(moment), tmp_path / "run"
    process = ablation(workdir, "--launcher", "local")
    until = time.monotonic() + 60
    while not (found := units_of(process.pid)) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    assert found, process.communicate()
    time.sleep(draw.uniform(0, 2))
    for each in draw.sample(found, 1):
        os.kill(each, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert table(workdir) == undisturbed


@pytest.mark.parametrize("moment", range(10))
def test_a_killed_command(ablation, undisturbed, tmp_path, moment):
    """Its scheduler and workers end with it, and its units save and stop."""
    draw, workdir = random.Random(moment), tmp_path / "run"
    process = ablation(workdir, "--launcher", "local")
    disturb(process, draw, process.kill)
    process.communicate(timeout=300)
    finish(ablation, workdir, "--launcher", "local")
    assert table(workdir) == undisturbed


@pytest.mark.parametrize("moment", range(10))
def test_a_killed_worker(ablation, cluster, undisturbed, tmp_path, moment):
    draw, workdir = random.Random(moment), tmp_path / "run"
    words = ("--launcher", "dask", "--scheduler", cluster.address)
    process = ablation(workdir, *words)
    nanny = draw.choice(cluster.workers)
    disturb(
        process, draw, lambda: os.kill(draw.choice([nanny.pid, *descendants(nanny.pid)[:1]]), signal.SIGKILL)
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert table(workdir) == undisturbed


@pytest.mark.parametrize("moment", range(10))
def test_a_killed_scheduler(ablation, cluster, undisturbed, tmp_path, moment):
    draw, workdir = random.Random(moment), tmp_path / "run"
    words = ("--launcher", "dask", "--scheduler", cluster.address)
    process = ablation(workdir, *words)
    disturb(process, draw, cluster.scheduler.kill)
    _, err = process.communicate(timeout=300)
    assert process.returncode in (0, 2, 75), err
    assert "Traceback" not in err
    cluster.stop()
    cluster.start()
    finish(ablation, workdir, *words)
    assert table(workdir) == undisturbed
