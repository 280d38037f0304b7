"""What the tests of whole runs share: the command in a process of its own, with small shared caches."""

import os
import pathlib
import subprocess
import sys

import xla_flags

# What jax_disable_most_optimizations sets in the process of the tests.
UNOPTIMIZED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
REPOSITORY = pathlib.Path(__file__).parents[2]
TINY = str(pathlib.Path(__file__).with_name("tiny.gin"))
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
        "PYTHONPATH": str(REPOSITORY),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {UNOPTIMIZED} {xla_flags.FAST}",
        **more,
    }


def start(*words: object, **more: object) -> subprocess.Popen:
    """Start `prismlab`, or the module that stands in for it, with its output caught."""
    env = more.pop("env", None) or environment()
    command = [sys.executable, "-m", str(more.pop("module", "prismlab.experiments.main")), *map(str, words)]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more
    )  # type: ignore[call-overload]


def run(*words: object, **more: object) -> subprocess.CompletedProcess:
    """Run `prismlab` to its end."""
    process = start(*words, **more)
    out, err = process.communicate(timeout=600)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def train(workdir: pathlib.Path, *bindings: str, **more: object) -> subprocess.CompletedProcess:
    """Run `prismlab train tiny.gin`."""
    return run("train", TINY, *bindings, "--workdir", workdir, **more)


def digest(workdir: pathlib.Path) -> list[str]:
    """Return the lines of `prismlab digest`, from this process."""
    from prismlab.experiments.run import work_directory

    return [f"{name} {at} {sha}" for name, at, sha in work_directory.digests(workdir)]


def one_fault(done: subprocess.CompletedProcess, *told: str) -> str:
    """Check that a command ended as a user's mistake does, and return its one line."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("prismlab: ")]
    assert len(lines) == 1, done.stderr
    for part in told:
        assert part in lines[0], lines[0]
    return lines[0]
