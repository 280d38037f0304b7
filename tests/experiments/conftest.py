"""What the tests of whole runs share: one cache of clips, and one uninterrupted run to compare with."""

import pathlib
import sys
import textwrap
from collections.abc import Iterator

import cli
import jax
import laid_store
import pytest
import user_lab

from prismlab.core import code_fingerprint
from prismlab.core.io import locks
from prismlab.experiments.store import store


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
def whole() -> pathlib.Path:
    """Return the work directory of quick.gin, trained in one go: 8 steps a stage."""
    workdir = cli.SHARED / "whole"
    with locks.held(cli.SHARED / "whole.lock"):  # one of the processes of a test run trains it
        if not (cli.SHARED / "whole.done").exists():
            done = cli.train(workdir, *cli.LONG)
            assert done.returncode == 0, done.stderr
            (cli.SHARED / "whole.done").touch()
    return workdir


@pytest.fixture
def lab(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Yield the folder of a user's package `adlab`, importable."""
    for name, content in user_lab.LAB.items():
        path = tmp_path / "adlab" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(content))
    monkeypatch.syspath_prepend(tmp_path)
    code_fingerprint.forget()
    yield tmp_path / "adlab"
    code_fingerprint.forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == "adlab"]:
        del sys.modules[name]


@pytest.fixture
def laid(tmp_path) -> laid_store.Laid:
    """Two stages, one after the other, and an evaluation of the second."""
    found = laid_store.Laid(tmp_path / "store", [set(), {0}], [1], {0, 1})
    store.prepare(store.Store(found.home, tmp_path / "w"))
    return found
