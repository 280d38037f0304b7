"""A store: stages and evaluations by address, shared by any number of work directories and users.

    store/store.json                         format of the store
    store/stages/<name>-s<seed>-<address>/   one stage; the address alone identifies it
    store/scores/<address>.json              one evaluation of one stage
    store/claims/                            leases on stages and evaluations (`leases`)

Without `--store`, a work directory is its own store. Otherwise it is a view: `view.json` names the store, and
only configuration, results, table and reports are in the work directory.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re

from prismlab.core import errors
from prismlab.core.io import checked_json, file_errors, filesystem
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.store import leases

FORMAT = 1  # of the files of a store
MARK, VIEW = "store.json", "view.json"
VARIABLE = "PRISMLAB_STORE"
MOST_BYTES = 2**24  # of a small JSON file in a store
_ADDRESS = re.compile(r"[0-9a-f]{16}")


@dataclasses.dataclass(frozen=True)
class Store:
    """Where the stages and evaluations of a work directory are.

    Args:
        home: folder of the store; local, on a network disk or in a bucket.
        workdir: the work directory; equal to `home` if it is its own store.
    """

    home: filesystem.Path
    workdir: filesystem.Path

    @property
    def is_shared(self) -> bool:
        """True if the store is another folder than the work directory."""
        return self.home != self.workdir

    def stage_folder(self, address: str, name: str) -> filesystem.Path:
        """Return the folder of a stage.

        Args:
            address: the stage's address.
            name: name of the folder if there is none yet, such as `Planned.folder`; it ends in the address.
                A stage that another user trained under another name is found by its address.

        Raises:
            UserError: the folder is a link, which a shared store may not have.
        """
        folder = self.home / "stages"
        if not (folder / name).exists():
            names = [each for each in self._names(folder) if each.endswith(f"-{address}")]
            ended = [each for each in names if (folder / each / stage_folder.DONE).exists()]
            name = min(ended or names or [name])
        self._check_plain(folder / name)
        return folder / name

    def score_path(self, address: str) -> filesystem.Path:
        """Return the file of an evaluation's scores.

        Raises:
            UserError: the file is a link, which a shared store may not have.
        """
        path = self.home / "scores" / f"{address}.json"
        self._check_plain(path)
        return path

    def turn(self, unit: str) -> contextlib.AbstractContextManager[None]:
        """Hold the lease on a stage or evaluation; wait while another process of any user holds it.

        Args:
            unit: address of a stage, or `score-<address>`.
        """
        return leases.in_turn(self.home, unit)

    @staticmethod
    def _names(folder: filesystem.Path) -> list[str]:
        try:
            return sorted(path.name for path in folder.iterdir())
        except FileNotFoundError:
            return []

    def _check_plain(self, path: filesystem.Path) -> None:
        if not (self.is_shared and isinstance(path, pathlib.Path)):
            return
        for each in (path.parent, path, path / "checkpoints"):
            if each.is_symlink():
                raise errors.UserError(
                    f"{each} is a link, which a shared store may not have; replace it by what it leads to"
                )


@dataclasses.dataclass(frozen=True)
class _Mark:
    format: int


@dataclasses.dataclass(frozen=True)
class _Named:
    """What this module reads of `view.json`; see `views.View`."""

    store: str = ""


def of(workdir: filesystem.Path) -> Store:
    """Return the store of an existing work directory: what its `view.json` names, or itself.

    Raises:
        UserError: view.json is damaged.
    """
    path = workdir / VIEW
    view = checked_json.read(_Named, path, limit=MOST_BYTES) if path.exists() else _Named()
    return Store(filesystem.parse_path(view.store) if view.store else workdir, workdir)


def choose(workdir: filesystem.Path, given: filesystem.Path | None) -> Store:
    """Return the store that a command uses, after a check of its format.

    Args:
        workdir: the work directory; may be missing.
        given: `--store`. None takes the store that the work directory used before, then
            $PRISMLAB_STORE, then the work directory itself.

    Raises:
        UserError: the store is a file, has another format or cannot be reached.
    """
    named = os.environ.get(VARIABLE, "")
    if given is not None:
        found = Store(filesystem.absolute(given), workdir)
    elif (workdir / VIEW).exists() or not named:
        found = of(workdir)
    else:
        home = filesystem.check_reachable(filesystem.parse_path(named))
        found = Store(filesystem.absolute(home), workdir)
    if found.home == filesystem.absolute(workdir):
        found = Store(workdir, workdir)
    check(found.home)
    return found


def named(given: filesystem.Path | None) -> filesystem.Path:
    """Return an existing store.

    Args:
        given: the store; None takes $PRISMLAB_STORE.

    Raises:
        UserError: neither is given, or the store has another format.
    """
    if given is None and not os.environ.get(VARIABLE):
        raise errors.UserError(f"name the store: its directory or gs://bucket/folder, or set {VARIABLE}")
    home = given or filesystem.check_reachable(filesystem.parse_path(os.environ[VARIABLE]))
    check(home)
    return filesystem.absolute(home)


def check(home: filesystem.Path) -> None:
    """Check that a folder can be a store of this version.

    Args:
        home: may be missing.

    Raises:
        UserError: it is a file, or its format is another one.
    """
    with file_errors.translate_errors(home):
        if home.exists() and not home.is_dir():
            raise errors.UserError(f"{home} is a file; pass a directory or gs://bucket/folder as the store")
        if not (home / MARK).exists():
            return
    found = checked_json.read(_Mark, home / MARK, limit=MOST_BYTES).format
    if found != FORMAT:
        raise errors.UserError(
            f"the store {home} has format {found}, and this version of prismlab reads format {FORMAT}; use "
            "another --store, or the version that wrote it"
        )


def prepare(store: Store) -> None:
    """Write `store.json` of a new store.

    Args:
        store: from `choose`.

    Raises:
        UserError: the store cannot be written.
    """
    if not (store.home / MARK).exists():
        filesystem.write_atomic(store.home / MARK, json_bytes({"format": FORMAT}))


def is_address(text: str) -> bool:
    """Return whether a text has the form of an address: 16 hexadecimal digits."""
    return _ADDRESS.fullmatch(text) is not None


def json_bytes(value: object) -> bytes:
    """Return a value as indented JSON with a final newline."""
    return (json.dumps(value, indent=1) + "\n").encode()
