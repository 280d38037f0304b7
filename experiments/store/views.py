"""What each work directory of a store uses, and what is pinned: `prismlab gc` keeps both.

    workdir/view.json           its store, and the addresses behind its table and its evaluation
    store/views/<id>.json       the same, registered by each work directory of the store
    store/pins/<id>.json        what is kept although no registered work directory uses it

A registration is written before anything that it names is relied on, and waits while `gc` runs; `gc` reads
the registrations after it has said that it runs. So one of the two always sees the other.
"""

import contextlib
import dataclasses
import getpass
import hashlib
import os
import pathlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.recipe.addresses import stages
from prismlab.experiments.store import leases, store

ROWS, EVALUATION = "rows", "evaluation"  # what of a work directory uses addresses: its table, `prismlab eval`
COLLECTING = "gc"  # lease that `gc` holds


@dataclasses.dataclass(frozen=True)
class Uses:
    """Addresses of stages and of evaluations.

    Args:
        stages: addresses of stages.
        scores: addresses of evaluations.
    """

    stages: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = [each for each in (*self.stages, *self.scores) if not store.is_address(each)]
        if wrong:
            raise errors.UserError(f"expected addresses of 16 hexadecimal digits, found {wrong[0][:40]!r}")

    def __or__(self, other: "Uses") -> "Uses":
        join = lambda a, b: tuple(sorted({*a, *b}))
        return Uses(join(self.stages, other.stages), join(self.scores, other.scores))


@dataclasses.dataclass(frozen=True)
class View:
    """Content of `view.json`, and of its registration in a shared store.

    Args:
        store: path or URL of the store; "" if the work directory is its own.
        workdir: absolute path or URL of the work directory.
        host: machine on which that path holds; "" for a URL.
        user: who ran the command.
        uses: `ROWS` or `EVALUATION` -> addresses.
    """

    store: str = ""
    workdir: str = ""
    host: str = ""
    user: str = ""
    uses: Mapping[str, Uses] = dataclasses.field(default_factory=dict)

    @property
    def all_uses(self) -> Uses:
        """Everything that it uses."""
        return union(self.uses.values())

    @property
    def is_gone(self) -> bool:
        """True if its work directory is known to be gone; that of another machine is not known."""
        if self.host not in ("", socket.gethostname()):
            return False
        try:
            return not (filesystem.parse_path(self.workdir) / store.VIEW).exists()
        except (OSError, errors.UserError):  # of a bucket or a disk that this user may not read
            return False


def union(several: Iterable[Uses]) -> Uses:
    """Return the addresses of all."""
    found = Uses()
    for each in several:
        found |= each
    return found


def writer(workdir: filesystem.Path) -> dict[str, str]:
    """Return who runs this process, recorded beside what it writes to a store: user, host, workdir."""
    place = filesystem.absolute(workdir)
    host = "" if filesystem.is_remote(place) else socket.gethostname()
    user = f"user {os.getuid()}"
    with contextlib.suppress(KeyError, OSError):  # a container may have no name for its user
        user = getpass.getuser()
    return {"user": user, "host": host, "workdir": os.fspath(place)}


def of_lines(lines: Iterable[stages.Line], kept: store.Store) -> Uses:
    """Return what rows use: their stages, the folders of this store that these start from, evaluations."""
    found: list[str] = []
    scores = []
    for line in lines:
        scores += [each.address for each in line.evaluations]
        for planned in line.stages:
            found.append(planned.address)
            given = [planned.teacher, *_values(planned.init_from)]
            folders = [each for each in given if isinstance(each, filesystem.Path)]
            found += [address for each in folders if (address := _inside(each, kept))]
    return union([Uses(tuple(found), tuple(scores))])


def register(kept: store.Store, kind: str, uses: Uses, *, exact: bool = False) -> None:
    """Write which addresses a work directory uses, before it relies on them; wait for a running `gc`.

    Args:
        kept: the store of the work directory.
        kind: `ROWS` or `EVALUATION`.
        uses: the addresses.
        exact: forget what it used before; else that is kept too, because its table shows it still.

    Raises:
        UserError: the store or the work directory cannot be written.
    """
    store.prepare(kept)
    here = writer(kept.workdir)
    before = _read(kept.workdir / store.VIEW)
    name = os.fspath(kept.home) if kept.is_shared else ""
    known = dict(before.uses) if before is not None and before.store == name else {}
    known[kind] = union([uses]) if exact else known.get(kind, Uses()) | uses
    view = View(name, here["workdir"], here["host"], here["user"], known)
    if before is None or (before.store, before.uses) != (view.store, view.uses):
        filesystem.write_atomic(kept.workdir / store.VIEW, store.json_bytes(dataclasses.asdict(view)))
    if kept.is_shared:
        path = kept.home / "views" / f"{identity(view)}.json"
        if _read(path) != view:
            filesystem.write_atomic(path, store.json_bytes(dataclasses.asdict(view)))
    if before is not None and before.store not in ("", name):  # it has moved to another store
        with contextlib.suppress(OSError, errors.UserError):
            (filesystem.parse_path(before.store) / "views" / f"{identity(view)}.json").unlink()
    if leases.is_held(kept.home, COLLECTING):
        with kept.turn(COLLECTING):
            pass


def identity(view: View) -> str:
    """Return the name of a registration: that of the work directory's host and path."""
    return hashlib.sha256(f"{view.host}:{view.workdir}".encode()).hexdigest()[:16]


def stage_folders(workdir: filesystem.Path) -> list[filesystem.Path]:
    """Return the folders of stages of a work directory: all of its own, or those that it uses of its store.

    Args:
        workdir: the work directory.

    Raises:
        UserError: its view.json is damaged.
    """
    kept = store.of(workdir)
    folders = sorted(path for path in (kept.home / "stages").glob("*") if path.is_dir())
    if not kept.is_shared:
        return folders
    uses = set(read(workdir / store.VIEW).all_uses.stages)
    return [path for path in folders if path.name.rpartition("-")[2] in uses]


def registered(home: filesystem.Path) -> list[View]:
    """Return the registrations in a store, and the view of the store itself if it is a work directory.

    Args:
        home: the store. Its own view has no `workdir`, because it may have been moved.

    Raises:
        UserError: a registration is damaged, too large or a link, or the store holds the results of a
            version that did not write what they use.
    """
    own = _read(home / store.VIEW)
    if own is None and (home / "results.json").exists():
        raise errors.UserError(
            f"{home} is a work directory whose view.json is missing, so what its table uses is not known; "
            "run its train or ablate command again"
        )
    found = [] if own is None or own.store else [dataclasses.replace(own, workdir="")]
    return found + [read(path) for path in _json_files(home / "views")]


def forget(home: filesystem.Path, workdir: str) -> int:
    """Remove the registrations of a work directory, on any machine; return how many there were.

    Args:
        home: the store.
        workdir: its path as it was registered, such as `gc` prints it.
    """
    found = [path for path in _json_files(home / "views") if read(path).workdir == workdir]
    for path in found:
        path.unlink()
    return len(found)


@dataclasses.dataclass(frozen=True)
class Pin:
    """Content of a file in `pins/`.

    Args:
        what: the work directory or address that was pinned.
        user: who pinned it.
        uses: what is kept.
    """

    what: str
    user: str
    uses: Uses


def pinned(home: filesystem.Path) -> dict[str, Pin]:
    """Return file name -> pin of a store.

    Raises:
        UserError: a pin is damaged, too large or a link.
    """
    plain = lambda path: checked_json.read(Pin, check_plain(path), limit=store.MOST_BYTES)
    return {path.name: plain(path) for path in _json_files(home / "pins")}


def pin(home: filesystem.Path, what: str, uses: Uses, user: str) -> None:
    """Keep stages and evaluations until they are unpinned; wait for a running `gc`.

    Args:
        home: the store.
        what: the work directory or address, as `unpin` takes it.
        uses: what is kept.
        user: who pins it.
    """
    path = home / "pins" / f"{_pin_name(what)}.json"
    filesystem.write_atomic(path, store.json_bytes(dataclasses.asdict(Pin(what, user, uses))))
    if leases.is_held(home, COLLECTING):
        with leases.in_turn(home, COLLECTING):
            pass


def unpin(home: filesystem.Path, what: str) -> bool:
    """Remove a pin; return whether there was one."""
    path = home / "pins" / f"{_pin_name(what)}.json"
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def _pin_name(what: str) -> str:
    return what if store.is_address(what) else hashlib.sha256(what.encode()).hexdigest()[:16]


def _read(path: filesystem.Path) -> View | None:
    return checked_json.read(View, path, limit=store.MOST_BYTES) if path.exists() else None


def read(path: filesystem.Path) -> View:
    """Read a `view.json` or a registration.

    Raises:
        UserError: the file is missing, damaged, too large or a link.
    """
    view: View = checked_json.read(View, check_plain(path), limit=store.MOST_BYTES)
    return view


def check_plain(path: filesystem.Path) -> filesystem.Path:
    """Return the path of a file; check that it is no link, pipe or folder.

    Raises:
        UserError: it is one.
    """
    if isinstance(path, pathlib.Path) and (path.is_symlink() or not path.is_file()):
        raise errors.UserError(f"{path} is no file of its own, as a store needs it; remove it")
    return path


def _json_files(folder: filesystem.Path) -> Iterator[filesystem.Path]:
    if isinstance(folder, pathlib.Path) and folder.is_symlink():
        raise errors.UserError(f"{folder} is a link, which a shared store may not have; remove it")
    with contextlib.suppress(FileNotFoundError):
        yield from sorted(path for path in folder.iterdir() if path.name.endswith(".json"))


def _values(init_from: Any) -> Iterable[Any]:
    return init_from.values() if isinstance(init_from, Mapping) else (init_from,)


def _inside(folder: filesystem.Path, kept: store.Store) -> str:
    """Return the address of a stage's folder in a store, or ""."""
    address = folder.name.rpartition("-")[2]
    near = filesystem.absolute(folder).parent == filesystem.absolute(kept.home / "stages")
    return address if near and store.is_address(address) else ""
