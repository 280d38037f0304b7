"""Work directories and the cache: locking, what is finished, reading and writing of files."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from prismlab.core import errors, trees
from prismlab.core.io import checked_json, file_errors, filesystem, locks, temporary_files, user_paths
from prismlab.core.parallel import distributed
from prismlab.core.train.checkpoints import checkpoint, stage_folder
from prismlab.experiments.recipe import describe
from prismlab.experiments.store import leases, matched_rows, store, views

BUSY = "another process is running in {}; wait for it or stop it"


def default_cache() -> pathlib.Path:
    """Return the directory for rendered worlds, shards, tokenizers: $PRISMLAB_CACHE or the user's cache.

    Raises:
        UserError: $PRISMLAB_CACHE is a URL, or it is unset and the user has no home directory.
    """
    own = os.environ.get("PRISMLAB_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return user_paths.local(own or f"{home}/prismlab").absolute()
    except errors.UserError as error:
        source = f"PRISMLAB_CACHE={own}" if own else f"the cache of the user in {home}"
        raise errors.UserError(
            f"{source}: {error}; set PRISMLAB_CACHE to a local or mounted directory"
        ) from error


@contextlib.contextmanager
def claimed(workdir: filesystem.Path, root: Any, text: str) -> Iterator[None]:
    """Lock a work directory for one process, and write the configuration into it.

    A work directory is a store of stages and evaluations by address: any configuration may use it, and reuses
    what it shares with earlier ones.

    Args:
        workdir: created if missing.
        root: Experiment or Ablation.
        text: the configuration as flat gin, saved as config.gin.

    Raises:
        UserError: it is a file, was written by a version whose addresses differ, or another process is
            running in it.
    """
    with file_errors.translate_errors(workdir):
        check_usable(workdir)
    busy = BUSY.format(workdir)
    with _alone_in_bucket(workdir) if filesystem.is_remote(workdir) else locks.held(workdir / ".lock", busy):
        if isinstance(workdir, pathlib.Path):  # those of live workers are locked, and stay
            for folder in (workdir, workdir / "scores", workdir / "claims", *workdir.glob("stages/*")):
                temporary_files.remove_unfinished(folder)
        filesystem.write_atomic(workdir / "config.json", json_bytes(describe.describe(root)))
        filesystem.write_atomic(workdir / "config.gin", text.encode())
        matched = matched_rows.of(root)
        if matched or (workdir / matched_rows.FILE).is_file():
            filesystem.write_atomic(workdir / matched_rows.FILE, json_bytes(matched))
        yield


@contextlib.contextmanager
def _alone_in_bucket(workdir: filesystem.Path) -> Iterator[None]:
    held = leases.outlast(workdir / "running", "command")
    if held is None:
        raise errors.UserError(BUSY.format(workdir))
    try:
        yield
    finally:
        held.release()


def check_usable(workdir: filesystem.Path) -> None:
    """Check that a work directory can hold results of this version.

    Args:
        workdir: may be missing.

    Raises:
        UserError: it is a file, or its stages were written before the modules moved into one package.
    """
    if workdir.exists() and not workdir.is_dir():
        raise errors.UserError(f"--workdir {workdir} is a file; pass a directory")
    # Missing or damaged, it is written again: stages are found by their addresses.
    config = stage_folder.json_if_sound(workdir / "config.json")
    if isinstance(config, dict) and str(config.get("class", "")).startswith("experiments."):
        raise errors.UserError(
            f"{workdir} was written before the modules of prismlab moved into one package, so it cannot be "
            "continued; use another --workdir. `report`, `digest` and `inspect` still read it; its stages "
            f"serve as init_from or teacher by folder ({workdir}/stages/...)"
        )


def check_not_deleted(folder: filesystem.Path) -> None:
    """Check that a work directory, or a folder in it, was not deleted under this process.

    Only `claimed` and the checkpoints of a stage create folders: made again by a later write, they would hold
    a part of the results and look whole. In a bucket there are no folders to check.

    Raises:
        UserError: the folder is missing.
    """
    if not filesystem.is_remote(folder) and not folder.is_dir():
        raise errors.UserError(
            f"{folder} was deleted while this process used it; run the same command again, which creates "
            "what is missing"
        )


def record(path: filesystem.Path, value: Any) -> None:
    """Write plain data as a JSON file in an existing folder, in process 0 only.

    Raises:
        UserError: the folder was deleted, or the file cannot be written.
    """
    if distributed.is_main():
        check_not_deleted(path.parent)
        filesystem.write_atomic(path, json_bytes(value))


def save_scores(kept: store.Store, address: str, value: Mapping[str, Any]) -> None:
    """Write the scores of an evaluation to the store, with a checksum.

    Raises:
        UserError: the store or the work directory was deleted, or the file cannot be written.
    """
    for folder in (kept.home, kept.workdir):
        check_not_deleted(folder)
    filesystem.write_atomic(kept.score_path(address), json_bytes(checked_json.sealed(dict(value))))


def json_bytes(value: Any) -> bytes:
    """Return a value as indented JSON with a final newline."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def read_json(path: filesystem.Path) -> Any:
    """Read a JSON file of the work directory.

    Raises:
        UserError: the file is missing or damaged.
    """
    return checked_json.load(path)


def digests(workdir: filesystem.Path) -> list[tuple[str, int, str]]:
    """Return (folder name, step, sha256 of parameters) of each stage with a checkpoint in a work directory.

    Raises:
        UserError: the directory holds no saved stage.
    """
    found = []
    for folder in views.stage_folders(workdir):
        if checkpoint.newest(folder / "checkpoints") is not None:
            at, arrays = checkpoint.read_learner(folder / "checkpoints")
            found.append((folder.name, at, trees.digest(arrays)))
    if not found:
        raise errors.UserError(f"{workdir} holds no saved stage; pass the --workdir of train or ablate")
    return found
