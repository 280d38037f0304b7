"""A work directory and the cache: who holds them, what lies in them, how files are written and read."""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from prismlab.core import errors, trees
from prismlab.core.io import atomic, filesystem
from prismlab.core.parallel import distributed
from prismlab.core.train import checkpoint
from prismlab.experiments.recipe import describe, stages
from prismlab.experiments.run import leases

BUSY = "another process is running in {}; wait for it or end it"


def default_cache() -> pathlib.Path:
    """Return the directory for rendered worlds, shards, tokenizers: $PRISMLAB_CACHE or the user's cache.

    Raises:
        UserError: it lies behind a URL.
    """
    if "://" in os.environ.get("PRISMLAB_CACHE", ""):
        raise errors.UserError(
            f"PRISMLAB_CACHE={os.environ['PRISMLAB_CACHE']}: the cache must be a directory of this machine "
            "or a mounted one; leave it unset and each machine makes its own"
        )
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("PRISMLAB_CACHE") or pathlib.Path(home) / "prismlab").absolute()


@contextlib.contextmanager
def claimed(workdir: filesystem.Place, root: Any, text: str) -> Iterator[None]:
    """Hold a work directory for one configuration and one process.

    Args:
        workdir: made if absent.
        root: Experiment or Ablation.
        text: the configuration as flat gin, kept beside for readers.

    Raises:
        UserError: it holds another configuration, or another process is running in it.
    """
    with filesystem.told(workdir):
        check_continues(workdir, root)
    with _alone_in_bucket(workdir) if filesystem.is_remote(workdir) else _alone(workdir):
        atomic.write_atomic(workdir / "config.json", json_bytes(describe.describe(root)))
        atomic.write_atomic(workdir / "config.gin", text.encode())
        yield


@contextlib.contextmanager
def _alone(workdir: filesystem.Place) -> Iterator[None]:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise errors.UserError(f"--workdir {workdir} cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise errors.UserError(BUSY.format(workdir)) from error
        yield


@contextlib.contextmanager
def _alone_in_bucket(workdir: filesystem.Place) -> Iterator[None]:
    held = leases.outlast(workdir / "running", "command")
    if held is None:
        raise errors.UserError(BUSY.format(workdir))
    try:
        yield
    finally:
        held.release()


def check_continues(workdir: filesystem.Place, root: Any) -> None:
    """Refuse a work directory that cannot go on with a configuration.

    A directory in which nothing was saved yet is free: a mistake that stopped the first stage can be
    mended in place. An ablation may ask for more seeds than before: what its first seeds gave stays as it is.

    Args:
        workdir: may be absent.
        root: Experiment or Ablation.

    Raises:
        UserError: it is a file, or holds what another configuration saved.
    """
    kept = workdir / "config.json"
    if workdir.exists() and not workdir.is_dir():
        raise errors.UserError(f"--workdir {workdir} is a file; give a directory")
    if next(workdir.glob("stages/*/checkpoints/[0-9]*"), None) is None:
        return
    if not kept.exists():
        raise errors.UserError(f"{workdir} holds stages but no config.json; use another --workdir")
    check_version(workdir, read_json(kept))
    before, now = placed_anywhere(read_json(kept)), placed_anywhere(describe.describe(root))
    if isinstance(before, dict) and "seeds" in before and set(before["seeds"]) <= set(now.get("seeds", ())):
        before["seeds"] = now["seeds"]
    if before != now:
        lines = describe.difference(before, now)
        more = f" (and {len(lines) - 5} more)" if len(lines) > 5 else ""
        raise errors.UserError(
            f"{workdir} holds another configuration; use another --workdir or undo: "
            + "; ".join(lines[:5])
            + more
        )


def check_version(workdir: filesystem.Place, config: Any) -> None:
    """Refuse to continue a work directory that was written before the modules moved into one package.

    Args:
        workdir: the work directory.
        config: its `config.json`.

    Raises:
        UserError: its classes have the old names, so the addresses of its stages differ from today's.
    """
    if isinstance(config, dict) and str(config.get("class", "")).startswith("experiments."):
        raise errors.UserError(
            f"{workdir} was written before the modules of prismlab moved into one package, so it cannot be "
            "continued; use another --workdir. `report`, `digest` and `inspect` still read it; its stages "
            f"serve as init_from or teacher by folder ({workdir}/stages/...)"
        )


def placed_anywhere(tree: Any) -> Any:
    """Return a described configuration without what only says where its arrays lie."""
    if isinstance(tree, list):
        return [placed_anywhere(each) for each in tree]
    if isinstance(tree, dict):
        return {name: placed_anywhere(each) for name, each in tree.items() if name not in stages.PLACEMENT}
    return tree


def record(path: filesystem.Place, value: Any) -> None:
    """Write plain data as a file, in process 0 alone."""
    if distributed.is_main():
        atomic.write_atomic(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return a value as readable JSON, ending in a newline."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def read_json(path: filesystem.Place) -> Any:
    """Read a JSON file of the work directory; a damaged one is a mistake the user can mend."""
    try:
        with filesystem.told(path):
            return json.loads(filesystem.read(path))
    except (OSError, ValueError) as error:
        raise errors.UserError(f"{path} cannot be read ({error}); move it away and run again") from error


def read_stage(folder: filesystem.Place) -> tuple[int, dict[str, np.ndarray]]:
    """Read the learner of a stage's newest checkpoint; that of a finished stage must be what was trained.

    Args:
        folder: a stage's directory.

    Returns:
        Its step, and path -> array.

    Raises:
        UserError: absent, half-written or damaged, be it by a single changed byte.
    """
    at, arrays = checkpoint.read_learner(folder / "checkpoints")
    done = folder / "done.json"
    kept = read_json(done) if done.exists() else {}
    if kept.get("step") == at and kept["digest"] != trees.digest(arrays):
        raise errors.UserError(
            f"checkpoint {folder / 'checkpoints' / str(at)} is not what {done} was written for, so it was "
            "damaged since; delete the stage's folder and run the same command to train it again"
        )
    return at, arrays


def digests(workdir: filesystem.Place) -> list[tuple[str, int, str]]:
    """Return (folder name, step, sha256 of parameters) of every finished or saved stage under a directory.

    Raises:
        UserError: the directory holds no stages.
    """
    folders = sorted(path for path in (workdir / "stages").glob("*") if path.is_dir())
    found = []
    for folder in folders:
        if checkpoint.newest(folder / "checkpoints") is not None:
            at, arrays = checkpoint.read_learner(folder / "checkpoints")
            found.append((folder.name, at, trees.digest(arrays)))
    if not found:
        raise errors.UserError(f"{workdir} holds no saved stage; give the --workdir of train or ablate")
    return found
