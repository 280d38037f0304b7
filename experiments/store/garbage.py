"""Remove from a store what no registered work directory and no pin needs (`prismlab gc`).

A stage or evaluation that a process holds the lease on is kept. Lease files stay: exclusive creation needs
their numbers.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator

from prismlab.core import errors
from prismlab.core.io import buckets, file_errors, filesystem, temporary_files
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.store import leases, store, views

STAGE, SCORE, LEFTOVER = "stage", "evaluation", "leftover"


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing in a store.

    Args:
        kind: `STAGE`, `SCORE` or `LEFTOVER`, the temporary file of a process that was killed.
        address: its address; "" for a leftover.
        path: its folder or file.
        beside: further files of an evaluation, such as its certificate.
    """

    kind: str
    address: str
    path: filesystem.Path
    beside: tuple[filesystem.Path, ...] = ()

    @property
    def lease(self) -> str:
        """Name of the lease on it; "" for a leftover."""
        return f"score-{self.address}" if self.kind == SCORE else self.address


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a store holds.

    Args:
        items: everything that has an address, and what killed processes left.
        garbage: the items that are not needed.
        held: those of them that a process may be working on.
        gone: registrations whose work directory is gone; what they use is kept.
        needed: number of items that are needed.
    """

    items: tuple[Item, ...]
    garbage: tuple[Item, ...]
    held: tuple[Item, ...]
    gone: tuple[views.View, ...]
    needed: int


def survey(home: filesystem.Path) -> Survey:
    """List what a store holds and who needs it; nothing is changed.

    Args:
        home: the store.

    Raises:
        UserError: the folder is no store, or a registration or pin in it is damaged.
    """
    store.check(home)
    if not (home / store.MARK).exists():
        raise errors.UserError(
            f"{home} is no store: it has no {store.MARK}; give the --store of train or ablate, or a work "
            "directory that this version has written"
        )
    known = views.registered(home)
    uses = views.union([each.all_uses for each in known])
    uses |= views.union(each.uses for each in views.pinned(home).values())
    wanted = {STAGE: set(uses.stages), SCORE: set(uses.scores), LEFTOVER: set()}
    found = tuple(items(home))
    unused = tuple(each for each in found if each.address not in wanted[each.kind])
    busy = leases.living(home)
    held = tuple(each for each in unused if each.lease in busy)
    gone = tuple(each for each in known if each.workdir and each.is_gone)
    return Survey(found, unused, held, gone, len(found) - len(unused))


def items(home: filesystem.Path) -> Iterator[Item]:
    """Yield the stages, evaluations and leftovers of a store; other files and links stay."""
    for path in _entries(home / "stages"):
        address = path.name.rpartition("-")[2]
        if store.is_address(address) and path.is_dir():
            yield Item(STAGE, address, path)
    scores: dict[str, list[filesystem.Path]] = {}
    for path in _entries(home / "scores"):
        address = path.name.partition(".")[0]
        if store.is_address(address) and path.is_file():
            scores.setdefault(address, []).append(path)
    for address, paths in scores.items():
        paths.sort(key=lambda path: not path.name.endswith(".json"))
        yield Item(SCORE, address, paths[0], tuple(paths[1:]))
    if isinstance(home, pathlib.Path):  # objects of a bucket are written whole
        for folder in (home, home / "scores", home / "views", home / "pins"):
            if not folder.is_symlink():
                for path in temporary_files.unfinished(folder):
                    yield Item(LEFTOVER, "", path)


def size(item: Item) -> int:
    """Return the bytes of all files of an item; links are not followed."""
    if not isinstance(item.path, pathlib.Path):
        found = [buckets.connect(path) for path in (item.path, *item.beside)]
        return sum(int(system.du(inner)) for system, inner in found)
    if not item.path.is_dir():
        return sum(os.lstat(path).st_size for path in (item.path, *item.beside))
    total = 0
    for folder, _, names in os.walk(item.path):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What `remove` did.

    Args:
        removed: items that are gone.
        held: items whose lease a process holds; they stay.
        failed: items that this user may not remove, with the reason.
    """

    removed: tuple[Item, ...]
    held: tuple[Item, ...]
    failed: tuple[tuple[Item, str], ...]


def remove(
    home: filesystem.Path,
    say: Callable[[str], None] = lambda line: None,
    *,
    beat: float = leases.BEAT,
    stale: float = leases.STALE,
    patience: float | None = None,
) -> Outcome:
    """Remove what is not needed, while registrations of work directories wait.

    Args:
        home: the store.
        say: called with lines on progress.
        beat, stale: see `leases.claim`.
        patience: seconds to wait until leases of other machines have expired; None waits that long.

    Raises:
        UserError: see `survey`.
    """
    survey(home)  # before a lease is written into a folder that is no store
    with leases.in_turn(home, views.COLLECTING, beat=beat, stale=stale):
        found = survey(home)
        waiting = list(found.garbage)
        patience = stale + 2 * beat if patience is None else patience
        if found.held:
            say(f"{len(found.held)} items may be in use; waiting up to {patience:.0f} s for their leases")
        removed: list[Item] = []
        failed: list[tuple[Item, str]] = []
        watch, until = leases.Watch(), time.monotonic() + (patience if found.held else 0.0)
        while waiting:
            waiting = [
                each for each in waiting if not _tried(home, each, watch, removed, failed, beat, stale)
            ]
            if time.monotonic() >= until:
                break
            if waiting:
                time.sleep(beat)
    return Outcome(tuple(removed), tuple(waiting), tuple(failed))


def _tried(
    home: filesystem.Path, item: Item, watch: leases.Watch, removed: list[Item],
    failed: list[tuple[Item, str]], beat: float, stale: float,
) -> bool:  # fmt: skip
    """Remove an item under its lease; return False if another process holds that."""
    held = leases.claim(home, item.lease, watch, beat=beat, stale=stale) if item.lease else None
    if item.lease and held is None:
        return False
    try:
        with file_errors.translate_errors(item.path):
            _delete(item)
        removed.append(item)
    except errors.UserError as error:
        failed.append((item, str(error)))
    finally:
        if held is not None:
            held.release()
    return True


def _delete(item: Item) -> None:
    if item.kind != STAGE:
        for path in (item.path, *item.beside):
            path.unlink(missing_ok=True)
        return
    (item.path / stage_folder.DONE).unlink(missing_ok=True)  # first: half of it is not a finished stage
    if isinstance(item.path, pathlib.Path):
        shutil.rmtree(item.path)  # follows no links
    else:
        item.path.rmtree(missing_ok=True)


def _entries(folder: filesystem.Path) -> list[filesystem.Path]:
    """Return what is in a folder, without links."""
    if isinstance(folder, pathlib.Path) and folder.is_symlink():
        return []
    try:
        found = sorted(folder.iterdir(), key=lambda path: path.name)
    except FileNotFoundError:
        return []
    return [path for path in found if not (isinstance(path, pathlib.Path) and path.is_symlink())]
