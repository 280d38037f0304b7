"""What every test shares: two devices, checked shapes, strict types, one hypothesis profile.

Everything here must happen before jax or a room of ours is imported for the first time.
"""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import xla_flags

# Each worker on a core of its own (and what it starts): two that may both use two cores hinder each other.
if (_worker := os.environ.get("PYTEST_XDIST_WORKER", "")) and hasattr(os, "sched_setaffinity"):
    _cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores[int(_worker.removeprefix("gw")) % len(_cores)]})

# One folder for all workers of a test run and for every command they start. The process that starts the
# workers makes it and removes it.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["PRISMLAB_TESTS"] = tempfile.mkdtemp(prefix="prismlab-tests-")
    atexit.register(shutil.rmtree, os.environ["PRISMLAB_TESTS"], ignore_errors=True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # no lines of Python in compiled programs
os.environ["XLA_FLAGS"] = " ".join(
    [os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=2", xla_flags.FAST]
)
os.environ["JAX_PLATFORMS"] = "cpu"

import bucket as storage_of_google
import hypothesis
import jax
import jaxtyping
import mlir_context
import pytest
import type_checks

from prismlab.experiments.run import compilation_cache

gc.disable()  # until all tests are collected

# Every annotation of these rooms is checked at each call and each construction.
jaxtyping.jaxtyped = type_checks.jaxtyped
jaxtyping.install_import_hook(["prismlab.core", "prismlab.objectives"], "beartype.beartype")
jaxtyping.install_import_hook("prismlab.data", "type_checks.numbers")

# Compiled programs are shared by all workers, by the commands that tests start and, with PRISMLAB_CACHE
# (`make test` sets it), by later runs.
_home = pathlib.Path(os.environ.get("PRISMLAB_CACHE") or os.environ["PRISMLAB_TESTS"]) / "compiled-tests"
if "PYTEST_XDIST_WORKER" not in os.environ:
    compilation_cache.prune(_home, 1 << 30)
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_home / compilation_cache.machine())
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(compilation_cache.MIN_SECONDS)
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", compilation_cache.MIN_SECONDS)

# Not switched on: jax_numpy_dtype_promotion="strict", because optax multiplies its int32 counts with
# floats (the objectives' contract switches it on for its own calls), and
# jax_numpy_rank_promotion="raise", because a bias [d] is added to tokens [b, n, d] in every layer.
jax.config.update("jax_legacy_prng_key", "error")
# Tests compile much and compute little; without the compiler's optimizations they take half the time.
jax.config.update("jax_disable_most_optimizations", True)
mlir_context.share()

hypothesis.settings.register_profile(
    "prismlab", deadline=None, max_examples=25, derandomize=True, database=None
)
hypothesis.settings.load_profile("prismlab")


@pytest.fixture(scope="session")
def _served() -> Iterator[storage_of_google.Bucket]:
    with storage_of_google.serve() as served:
        os.environ.update(served.environment)  # gcsfs and TensorStore look once
        yield served


@pytest.fixture
def bucket(_served: storage_of_google.Bucket) -> storage_of_google.Bucket:
    """Return an empty bucket, `gs://bucket`, for this process and those that it starts."""
    _served.clear()
    return _served


@pytest.fixture(params=["disk", "bucket"])
def somewhere(request: pytest.FixtureRequest) -> Any:
    """Return an empty folder: once a directory, once a folder of a bucket."""
    from prismlab.core.io import filesystem

    if request.param == "disk":
        return request.getfixturevalue("tmp_path")
    request.getfixturevalue("bucket")
    return filesystem.parse_path("gs://bucket/run")


TESTS = pathlib.Path(__file__).parent
# The uninterrupted run that these compare others with takes longest of all: one worker runs them all, and the
# other never waits for it.
WITH_WHOLE = (
    "test_bad_input", "test_bucket", "test_certify", "test_engine", "test_evaluate", "test_finished_stages",
    "test_kill", "test_named_model", "test_paired_rows", "test_parts_of_stages", "test_verify",
)  # fmt: skip


def scope(nodeid: str) -> str:
    """Return what is kept in one worker: a file with its fixtures, or a case of an objective's contract."""
    path, _, name = nodeid.partition("::")
    stem = path.rpartition("/")[2].removesuffix(".py")
    if stem == "test_contract" and "[" in name:
        return name[name.index("[") :]
    return "whole" if stem in WITH_WHOLE else path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that both workers end together."""
    of_runs = [item for item in items if TESTS / "experiments" in item.path.parents]
    using = {item.path.stem for item in of_runs if "whole" in getattr(item, "fixturenames", ())}
    if others := using.difference(WITH_WHOLE):
        raise pytest.UsageError(f"add {sorted(others)} to WITH_WHOLE: they use the fixture `whole`")
    rooms = {room: place for place, room in enumerate(("experiments", "objectives", "core", "data"))}
    items.sort(
        key=lambda item: (
            rooms.get(item.path.relative_to(TESTS).parts[0], len(rooms)),
            item.path.stem not in WITH_WHOLE,
        )
    )


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what every test shares, and look for cycles less often."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(optionalhook=True)  # only pytest-xdist asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Return a schedule by `scope`."""
    from xdist.scheduler import LoadScopeScheduling

    class Schedule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    return Schedule(config, log)
