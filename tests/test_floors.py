"""The rules of the house that a machine can check: floors, length, docstrings, no path of one machine."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROOMS = ("core", "objectives", "data", "experiments")
# Room -> what it may import of ours, as prefixes of dotted names.
FLOORS = {
    "core": ("core",),
    "objectives": ("objectives", "core"),
    "data": (
        "data",
        "prismlab.core.types",
        "prismlab.core.errors",
        "prismlab.core.io.atomic",
        "prismlab.core.io.filesystem",
    ),
    "experiments": ROOMS,
}
LONGEST = 300
EXCUSE = re.compile(r"# long because: \w+")
HOMES = ("work", "home", "root", "Users", "mnt", "media", "tmp", "private", "scratch")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:" + "|".join(HOMES) + r")/\w")


def _sources(*rooms):
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def _imports(path):
    """Yield (line, dotted name) of each import; `from core import x` counts as core.x."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _under(name, prefixes):
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def floor_faults(room, path):
    """Return "file:line: what" for each import that a room must not make."""
    faults = []
    for line, name in _imports(path):
        where = f"{path.relative_to(path.parents[len(path.parents) - 1])}:{line}"
        if name.split(".")[0] in (*ROOMS, "prismlab", "tests") and not _under(name, FLOORS[room]):
            faults.append(f"{where}: {room} imports {name}")
        if room == "data" and _under(name, ("jax", "equinox", "optax", "flax", "orbax")):
            faults.append(f"{where}: data imports {name}, which starts jax in every worker")
        if room != "experiments" and _under(name, ("gin",)):
            faults.append(f"{where}: {room} imports gin, which belongs to experiments")
    return faults


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_imports_only_from_its_own_floor_and_below(room):
    faults = [fault for path in _sources(room) for fault in floor_faults(room, path)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("core", "from objectives import masked"),
        ("core", "import gin"),
        ("objectives", "from experiments import engine"),
        ("objectives", "import prismlab.data.world.world"),
        ("data", "from core import keys"),
        ("data", "import jax.numpy as jnp"),
        ("data", "def f():\n    from prismlab.core.nn.layers import Linear"),
    ],
)
def test_the_check_itself_sees_what_is_wrong(tmp_path, room, line):
    path = tmp_path / "wrong.py"
    path.write_text(line + "\n")
    assert floor_faults(room, path)


def test_no_file_is_longer_than_a_person_likes_to_read():
    long = []
    for path in _sources(*ROOMS, "tests"):
        lines = path.read_text().splitlines()
        if len(lines) > LONGEST and not any(EXCUSE.search(line) for line in lines):
            long.append(f"{path.relative_to(ROOT)}: {len(lines)} lines")
    assert not long, "\n".join(long)


def _public(body, prefix=""):
    """Yield (line, name, node) of each public class, function and method."""
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_") and node.name != "__call__":
            continue
        yield node.lineno, prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body, f"{prefix}{node.name}.")


def test_everything_public_says_what_it_is():
    silent = []
    for path in _sources(*ROOMS):
        tree = ast.parse(path.read_text())
        if tree.body and not ast.get_docstring(tree):
            silent.append(f"{path.relative_to(ROOT)}:1: the file")
        for line, name, node in _public(tree.body):
            if not ast.get_docstring(node):
                silent.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    assert not silent, "\n".join(silent)


def test_no_file_knows_one_machine():
    found = []
    texts = [
        p for p in ROOT.iterdir() if p.suffix in (".toml", ".md", ".yml", ".cff") or p.name == "Makefile"
    ]
    for room in (*ROOMS, "tests", "docs", ".ci", ".github"):
        texts += [
            p
            for p in (ROOT / room).rglob("*")
            if p.suffix in (".py", ".gin", ".md", ".toml", ".yml", ".json")
        ]
    for path in texts:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if MACHINE_PATH.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found, "\n".join(found)
