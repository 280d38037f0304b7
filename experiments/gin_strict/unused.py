"""Which bindings matter? Those that do not are faults, for a value that changes nothing hides a mistake.

A binding matters when the walk from the root uses it. It is also forgiven when only a *later* file or the
command line made it idle (an arm that swaps an objective leaves the base's bindings for the old one
behind): so each binding is judged by what its own file and the earlier ones say of the values they bind.
A command-line binding has no later file, and must matter as it is.
"""

from collections.abc import Iterable

from prismlab.experiments.gin_strict import binding_table

Node = tuple[binding_table.Target, tuple[str, ...]]


class Reached:
    """What a walk met, with every binding as a source of this rank knew it, and as it is in the end.

    Args:
        bindings: all that was read.
        root: class that the walk starts from.
        rank: rank of the source that judges; the last rank sees the final values alone.
    """

    def __init__(self, bindings: binding_table.Sheet, root: binding_table.Target, rank: int):
        self.sheet, self.rank = bindings, rank
        self.entries: set[binding_table.Entry] = set()
        self.targets: dict[str, set[tuple[str, ...]]] = {}
        self.scopes: set[tuple[str, ...]] = set()
        waiting: list[Node] = [(root, ())]
        while waiting:
            target, scope = waiting.pop()
            visited = self.targets.setdefault(target.name, set())
            if scope in visited:
                continue
            visited.add(scope)
            self.scopes.update(scope[:length] for length in range(len(scope) + 1))
            for entry in self._bound(target, scope):
                waiting.extend(self._use(entry, scope))

    def _use(self, entry: binding_table.Entry, scope: tuple[str, ...]) -> Iterable[Node]:
        if entry in self.entries and entry.target is None:
            return  # a macro has one scope, its own name: once is enough, and a circle ends here
        self.entries.add(entry)
        for part in binding_table.parts(entry.value):
            if isinstance(part, binding_table.Macro):
                for each in self._views(self.sheet.history.get(((), "", part.name), [])):
                    yield from self._use(each, tuple(part.name.split("/")))
            elif part.target is not None:
                yield part.target, part.scope or scope

    def _views(self, history: list[binding_table.Entry]) -> set[binding_table.Entry]:
        known = [entry for entry in history if entry.rank <= self.rank]
        return {history[-1], (known or history)[-1]} if history else set()

    def _bound(self, target: binding_table.Target, scope: tuple[str, ...]) -> list[binding_table.Entry]:
        final: dict[str, binding_table.Entry] = {}
        known: dict[str, binding_table.Entry] = {}
        for length in range(len(scope) + 1):
            for history in self.sheet.of(target, scope[:length]):
                name = history[-1].name
                final[name] = history[-1]
                own = [entry for entry in history if entry.rank <= self.rank]
                if own:
                    known[name] = own[-1]
        return [*final.values(), *known.values()]


def unused(
    bindings: binding_table.Sheet, root: binding_table.Target, faults: binding_table.Faults
) -> set[binding_table.Entry]:
    """Note every binding, scope and macro that changes nothing.

    Args:
        bindings: all that was read.
        root: class that the walk starts from.
        faults: where to note them.

    Returns:
        The bindings that the final walk uses.
    """
    last = [history[-1] for history in bindings.history.values()]
    ranks = {entry.rank for entry in last}
    seen = {rank: Reached(bindings, root, rank) for rank in {*ranks, max(ranks, default=0)}}
    idle_scopes: dict[str, list[binding_table.Entry]] = {}
    for entry in last:
        reached = seen[entry.rank]
        if entry in reached.entries:
            continue
        if entry.target is None:
            _unused_macro(bindings, entry, faults)
        elif entry.scope not in reached.scopes:
            idle_scopes.setdefault("/".join(entry.scope), []).append(entry)
        else:
            faults.add(entry.place, f"{entry.shown} changes nothing: {_why(bindings, entry, reached)}")
    for scope, entries in idle_scopes.items():
        known = ["/".join(each) for each in seen[entries[0].rank].scopes if each]
        more = f" (nor for {len(entries) - 1} more bindings)" if len(entries) > 1 else ""
        near = binding_table.meant(scope, known)
        faults.add(entries[0].place, f"scope '{scope}' is never entered for {entries[0].shown}{more}{near}")
    return seen[max(seen)].entries if seen else set()


def unmentioned(bindings: binding_table.Sheet, faults: binding_table.Faults) -> None:
    """Note the macros that no line mentions; true even when other lines had to be dropped."""
    mentioned = _macros_used(bindings)
    for name in bindings.macros():
        entry = bindings.macro(name)
        if name not in mentioned and entry is not None:
            _unused_macro(bindings, entry, faults)


def _unused_macro(
    bindings: binding_table.Sheet, entry: binding_table.Entry, faults: binding_table.Faults
) -> None:
    # A name that is used and never bound is the likeliest meaning, then any other macro.
    missing = [each for each in _macros_used(bindings) if bindings.macro(each) is None]
    near = binding_table.meant(entry.name, missing) or binding_table.meant(entry.name, bindings.macros())
    faults.add(entry.place, f"macro {entry.name} is never used{near}")


def _macros_used(bindings: binding_table.Sheet) -> set[str]:
    values = [entry.value for history in bindings.history.values() for entry in history]
    return {part.name for part in binding_table.parts(values) if isinstance(part, binding_table.Macro)} - {
        binding_table.REQUIRED
    }


def _why(bindings: binding_table.Sheet, entry: binding_table.Entry, reached: Reached) -> str:
    assert entry.target is not None
    name = entry.shown.rsplit(".", 1)[0].rsplit("/", 1)[-1]
    uses = [
        scope
        for scope in reached.targets.get(entry.target.name, ())
        if scope[: len(entry.scope)] == entry.scope
    ]
    if not uses:
        where = f" in scope '{'/'.join(entry.scope)}'" if entry.scope else ""
        elsewhere = sorted("/".join(scope) or "none" for scope in reached.targets.get(entry.target.name, ()))
        known = f" (it is used in scope {', '.join(elsewhere)})" if elsewhere else ""
        return f"nothing that is used refers to {name}{where}{known}"
    winners = [bindings.bound(entry.target, scope).get(entry.name) for scope in sorted(uses)]
    others = sorted({f"{each.shown} at {each.place}" for each in winners if each and each is not entry})
    return f"every use has a nearer value, {', '.join(others)}"
