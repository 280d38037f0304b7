"""The compilation cache is bounded, and no other machine, version or flag reads it."""

import math
import os
import pathlib
import subprocess
import sys

import jax
import pytest

from prismlab.experiments.run import compilation_cache


def test_other_flags_versions_and_processors_use_another_directory(monkeypatch):
    here = compilation_cache.machine()
    assert compilation_cache.machine() == here
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    flags = compilation_cache.machine()
    monkeypatch.undo()
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0")
    version = compilation_cache.machine()
    monkeypatch.undo()
    monkeypatch.setattr("platform.processor", lambda: "another")
    assert len({here, flags, version, compilation_cache.machine()}) == 4


def test_the_oldest_files_are_deleted_first(tmp_path):
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    compilation_cache.prune(tmp_path, 30)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle", "old"}
    compilation_cache.prune(tmp_path, 25)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle"}
    compilation_cache.prune(tmp_path / "absent", 1)


def test_what_the_user_set_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert compilation_cache.enable(tmp_path / "cache") is None


def test_a_read_only_cache_is_read_and_not_written(tmp_path, monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE"):
        monkeypatch.delenv(name, raising=False)
    set_to = {}
    monkeypatch.setattr(jax.config, "update", set_to.__setitem__)
    assert compilation_cache.enable(tmp_path) is not None
    assert set_to["jax_persistent_cache_min_compile_time_secs"] == compilation_cache.MIN_SECONDS
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert compilation_cache.enable(tmp_path) is not None
    assert set_to["jax_persistent_cache_min_compile_time_secs"] == math.inf
    set_to.clear()
    (tmp_path / "file").touch()
    assert compilation_cache.enable(tmp_path / "file") is None
    assert not set_to


@pytest.mark.parametrize("again", [False, True])
def test_a_second_process_finds_the_program(tmp_path_factory, again):
    cache = tmp_path_factory.getbasetemp() / "programs"
    code = (
        "import pathlib, sys, jax\n"
        "from prismlab.experiments.run import compilation_cache\n"
        "compilation_cache.MIN_SECONDS = 0.0\n"
        "folder = compilation_cache.enable(pathlib.Path(sys.argv[1]))\n"
        "hits = []\n"
        "jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))\n"
        "jax.jit(lambda x: jax.numpy.sin(x) @ x)(jax.numpy.ones((8, 8)))\n"
        "print(sum(name.endswith('cache_hits') for name in hits), len(list(folder.glob('*'))))\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    command = [sys.executable, "-c", code, str(cache)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    hits, files = map(int, done.stdout.split())
    assert files > 0
    assert (hits > 0) == again
    assert jax.config.jax_compilation_cache_dir == os.environ["JAX_COMPILATION_CACHE_DIR"]
    assert pathlib.Path(cache).exists()
