"""Work directories and the cache: locking, configuration checks, reading and writing of files."""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from prismlab.core import errors, trees
from prismlab.core.io import atomic, checked_json, filesystem
from prismlab.core.parallel import distributed
from prismlab.core.train import checkpoint
from prismlab.experiments.recipe import describe, stages
from prismlab.experiments.run import leases

BUSY = "another process is running in {}; wait for it or stop it"


def default_cache() -> pathlib.Path:
    """Return the directory for rendered worlds, shards, tokenizers: $PRISMLAB_CACHE or the user's cache.

    Raises:
        UserError: $PRISMLAB_CACHE is a URL.
    """
    if "://" in os.environ.get("PRISMLAB_CACHE", ""):
        raise errors.UserError(
            f"PRISMLAB_CACHE={os.environ['PRISMLAB_CACHE']}: the cache must be a local or mounted "
            "directory; unset it to use the user's cache on each machine"
        )
    home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("PRISMLAB_CACHE") or pathlib.Path(home) / "prismlab").absolute()


@contextlib.contextmanager
def claimed(workdir: filesystem.Place, root: Any, text: str) -> Iterator[None]:
    """Lock a work directory for one configuration and one process.

    Args:
        workdir: created if missing.
        root: Experiment or Ablation.
        text: the configuration as flat gin, saved as config.gin.

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
    """Check that a work directory can be continued with a configuration.

    A directory without checkpoints accepts any configuration, so an error that stopped the first stage can be
    fixed in place. An ablation may add seeds to those already run.

    Args:
        workdir: may be missing.
        root: Experiment or Ablation.

    Raises:
        UserError: it is a file, or holds checkpoints of another configuration.
    """
    kept = workdir / "config.json"
    if workdir.exists() and not workdir.is_dir():
        raise errors.UserError(f"--workdir {workdir} is a file; pass a directory")
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
            f"{workdir} holds another configuration; use another --workdir or revert: "
            + "; ".join(lines[:5])
            + more
        )


def check_version(workdir: filesystem.Place, config: Any) -> None:
    """Refuse to continue a work directory written before the modules moved into one package.

    Args:
        workdir: the work directory.
        config: its `config.json`.

    Raises:
        UserError: its classes have the old names, so the addresses of its stages differ.
    """
    if isinstance(config, dict) and str(config.get("class", "")).startswith("experiments."):
        raise errors.UserError(
            f"{workdir} was written before the modules of prismlab moved into one package, so it cannot be "
            "continued; use another --workdir. `report`, `digest` and `inspect` still read it; its stages "
            f"serve as init_from or teacher by folder ({workdir}/stages/...)"
        )


def placed_anywhere(tree: Any) -> Any:
    """Return a described configuration without the fields that only affect array placement."""
    if isinstance(tree, list):
        return [placed_anywhere(each) for each in tree]
    if isinstance(tree, dict):
        return {name: placed_anywhere(each) for name, each in tree.items() if name != stages.RUN}
    return tree


def record(path: filesystem.Place, value: Any) -> None:
    """Write plain data as a JSON file, in process 0 only."""
    if distributed.is_main():
        atomic.write_atomic(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return a value as indented JSON with a final newline."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def read_json(path: filesystem.Place) -> Any:
    """Read a JSON file of the work directory.

    Raises:
        UserError: the file is missing or damaged.
    """
    return checked_json.load(path)


def read_stage(folder: filesystem.Place) -> tuple[int, dict[str, np.ndarray]]:
    """Read the learner of a stage's newest checkpoint; if the stage is finished, verify its digest.

    Args:
        folder: a stage's directory.

    Returns:
        Its step, and path -> array.

    Raises:
        UserError: the checkpoint is missing, incomplete or damaged, even by a single byte.
    """
    at, arrays = checkpoint.read_learner(folder / "checkpoints")
    done = folder / "done.json"
    kept = read_json(done) if done.exists() else {}
    if kept.get("step") == at and kept["digest"] != trees.digest(arrays):
        raise errors.UserError(
            f"checkpoint {folder / 'checkpoints' / str(at)} does not match the digest in {done}, so it is "
            "damaged; delete the stage's folder and run the same command to train it again"
        )
    return at, arrays


def digests(workdir: filesystem.Place) -> list[tuple[str, int, str]]:
    """Return (folder name, step, sha256 of parameters) of each stage with a checkpoint in a work directory.

    Raises:
        UserError: the directory holds no saved stage.
    """
    folders = sorted(path for path in (workdir / "stages").glob("*") if path.is_dir())
    found = []
    for folder in folders:
        if checkpoint.newest(folder / "checkpoints") is not None:
            at, arrays = checkpoint.read_learner(folder / "checkpoints")
            found.append((folder.name, at, trees.digest(arrays)))
    if not found:
        raise errors.UserError(f"{workdir} holds no saved stage; pass the --workdir of train or ablate")
    return found
