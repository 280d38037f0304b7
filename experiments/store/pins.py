"""What a pin keeps: the addresses behind a work directory, or one address with all that it starts from."""

from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.statistics import item_scores
from prismlab.experiments.store import garbage, store, views


def uses_of(home: filesystem.Path, what: str) -> views.Uses:
    """Return what a pin keeps.

    Args:
        home: the store.
        what: a work directory of the store, or an address in it.

    Raises:
        UserError: the store has no such address, or the directory did not use the store.
    """
    if not store.is_address(what):
        return _of_workdir(home, what)
    there = {each.address: each for each in garbage.items(home) if each.address}
    if what not in there:
        raise errors.UserError(
            f"no stage or evaluation of {home} has the address {what}; list them with: prismlab find {home}"
        )
    found, waiting = set(), {what}
    while waiting:
        address = waiting.pop()
        found.add(address)
        item = there.get(address)
        if item is not None:  # a parent may have been removed already
            waiting |= parents(item) - found
    kinds = {address: each.kind for address, each in there.items()}
    ours = sorted(each for each in found if each in kinds)
    return views.Uses(
        tuple(each for each in ours if kinds[each] == garbage.STAGE),
        tuple(each for each in ours if kinds[each] == garbage.SCORE),
    )


def parents(item: garbage.Item) -> set[str]:
    """Return the addresses that a stage or evaluation starts from; none for one that is being written.

    Raises:
        UserError: its description is damaged or too large.
    """
    found = description(item).get("inputs", {}).get("parents", {})
    named = found.values() if isinstance(found, Mapping) else ()
    return {each for each in named if isinstance(each, str) and store.is_address(each)}


def description(item: garbage.Item) -> dict[str, Any]:
    """Return what `stage.json` or the file of an evaluation says; {} for a stage that has none yet.

    Raises:
        UserError: the file is damaged, too large or a link.
    """
    path = item.path / "stage.json" if item.kind == garbage.STAGE else item.path
    if not path.exists():
        return {}
    limit = store.MOST_BYTES if item.kind == garbage.STAGE else item_scores.MOST_BYTES
    read = checked_json.load(views.check_plain(path), limit=limit)
    if not isinstance(read, dict) or not isinstance(read.get("inputs", {}), dict):
        raise errors.UserError(f"{path}: expected an object with inputs, found another value; remove it")
    return read


def check_present(home: filesystem.Path, uses: views.Uses) -> None:
    """Check that a store has what was pinned, after the pin was written.

    Raises:
        UserError: `gc` removed some of it meanwhile.
    """
    there = {each.address for each in garbage.items(home)}
    lost = [each for each in (*uses.stages, *uses.scores) if each not in there]
    if lost:
        raise errors.UserError(
            f"{len(lost)} of the pinned stages and evaluations are not in {home} ({lost[0]}, for example); "
            "run the command of the work directory again, which computes them"
        )


def names(home: filesystem.Path) -> list[str]:
    """Return what is pinned in a store."""
    return sorted(each.what for each in views.pinned(home).values())


def _of_workdir(home: filesystem.Path, workdir: str) -> views.Uses:
    path = filesystem.parse_path(workdir)
    if store.of(path).home != home or not (path / store.VIEW).exists():
        raise errors.UserError(
            f"{workdir} did not use the store {home}; give a work directory of train, ablate or eval, or an "
            "address"
        )
    uses: views.Uses = views.read(path / store.VIEW).all_uses
    return uses
