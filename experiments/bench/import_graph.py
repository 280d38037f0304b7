"""Print the import graph between rooms, lowest level first: `make graph`.

Each line is a room (folder) and the rooms that its files import; imports implied by another room of the line
are omitted (transitive reduction). The level of a room is one above the highest level that it imports.
WORKSPACE.md contains the output, and a test keeps it current.
"""

import ast
import graphlib
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("core", "objectives", "data", "experiments")


def room_of(path: pathlib.Path) -> str:
    """Return the folder of a source file, relative to the repository."""
    return path.resolve().parent.relative_to(ROOT).as_posix()


def imports(path: pathlib.Path) -> set[str]:
    """Return the rooms that a file imports from, except its own."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prismlab."):
            module = str(node.module).removeprefix("prismlab.").replace(".", "/")
            for alias in node.names:
                target = ROOT / module / alias.name
                found.add(module if not target.is_dir() else f"{module}/{alias.name}")
    return {room if (ROOT / room).is_dir() else room.rpartition("/")[0] for room in found} - {room_of(path)}


def graph() -> dict[str, set[str]]:
    """Return room -> rooms that it imports, except for `experiments/main.py`, which starts every command."""
    rooms: dict[str, set[str]] = {}
    for top in ROOMS:
        for path in sorted((ROOT / top).rglob("*.py")):
            if room_of(path) != "experiments" or path.stem in ("exits", "console"):
                rooms.setdefault(room_of(path), set()).update(imports(path))
    return rooms


def reached(rooms: dict[str, set[str]], room: str) -> set[str]:
    """Return the rooms that a room imports, directly or transitively."""
    return rooms[room].union(*(reached(rooms, each) for each in rooms[room]))


def text() -> str:
    """Return the graph as text.

    Raises:
        graphlib.CycleError: rooms import each other in a cycle.
    """
    rooms = graph()
    level: dict[str, int] = {}
    for room in graphlib.TopologicalSorter(rooms).static_order():
        level[room] = 1 + max((level[each] for each in rooms.get(room, ())), default=-1)
    lines = []
    for room in sorted(rooms, key=lambda each: (level[each], each)):
        through = set().union(*(reached(rooms, each) for each in rooms[room]))
        lines.append(f"{level[room]:>2}  {room:<22} -> {', '.join(sorted(rooms[room] - through)) or '-'}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(text())
