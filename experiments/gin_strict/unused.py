"""Find unused bindings, which are errors: a value without effect usually hides a typo.

Only the file that was asked for and the command line are searched. A file that they include may be made for
several recipes, so bindings of it that this one does not reach are no fault.

A binding is used if it is reached from the root. A binding that only a *later* file or the command line made
unused is accepted (an ablation that swaps an objective keeps the base's bindings for the old one): each
binding is checked against the values set by its own and earlier files. A command-line binding has no later
file, so it must be used as is.
"""

from collections.abc import Iterable

from prismlab.experiments.gin_strict import binding_table

Node = tuple[binding_table.Target, tuple[str, ...]]


class Reached:
    """Bindings and scopes reached from the root, both by final values and by those known at a given rank.

    Args:
        bindings: everything that was read.
        root: class to start from.
        rank: bindings of sources up to this rank are known; the last rank sees only the final values.
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
            return  # a macro has one scope, its own name: visit it once, which also breaks cycles
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
    """Record an error for every unused binding, scope and macro.

    Args:
        bindings: everything that was read.
        root: class to start from.
        faults: collects the errors.

    Returns:
        The bindings in use.
    """
    last = [history[-1] for history in bindings.history.values()]
    ranks = {entry.rank for entry in last}
    seen = {rank: Reached(bindings, root, rank) for rank in {*ranks, max(ranks, default=0)}}
    idle_scopes: dict[str, list[binding_table.Entry]] = {}
    for entry in last:
        reached = seen[entry.rank]
        if entry in reached.entries or not entry.source.own:
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
    """Record an error for every macro that no line mentions; valid even if other lines were dropped."""
    mentioned = _macros_used(bindings)
    for name in bindings.macros():
        entry = bindings.macro(name)
        if name not in mentioned and entry is not None and entry.source.own:
            _unused_macro(bindings, entry, faults)


def _unused_macro(
    bindings: binding_table.Sheet, entry: binding_table.Entry, faults: binding_table.Faults
) -> None:
    # Suggest a name that is used but never bound first, then any other macro.
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
    return f"every use is overridden in a longer scope, {', '.join(others)}"
