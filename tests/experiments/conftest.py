"""What the tests of whole runs share: one cache of clips, and one uninterrupted run to compare with."""

import pathlib

import cli
import jax
import pytest


@pytest.fixture(autouse=True)
def shared_cache(monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Keep every test away from the user's own cache."""
    monkeypatch.setenv("PRISMLAB_CACHE", str(cli.CACHE))
    return cli.CACHE


@pytest.fixture(autouse=True)
def usual_promotion():
    """Let dtypes mix as users have it: optax does so within its own update."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Return the work directory of tiny.gin, trained in one go: 8 steps a stage."""
    workdir = tmp_path_factory.mktemp("whole")
    done = cli.train(workdir, *cli.LONG)
    assert done.returncode == 0, done.stderr
    return workdir
