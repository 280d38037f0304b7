"""The rules of the house that a machine can check: floors, length, docstrings, no path of one machine."""

import ast
import functools
import graphlib
import pathlib
import re
import subprocess
import sys

import pytest

from prismlab.experiments.bench import import_graph
from tests.floors import FLOORS

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROOMS = ("core", "objectives", "data", "experiments")
LONGEST = 300
EXCUSE = re.compile(r"# long because: \w+")
HOMES = ("work", "home", "root", "Users", "mnt", "media", "tmp", "private", "scratch")
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:" + "|".join(HOMES) + r")/\w")


def _sources(*rooms):
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


@functools.cache
def _tree(path):
    return ast.parse(path.read_text(), str(path))


def _imports(path):
    """Yield (line, dotted name) of each import; `from core import x` counts as core.x."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _under(name, prefixes):
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def _room_of(path):
    return path.parent.relative_to(ROOT).as_posix().replace("/", ".")


def _target(name):
    """Return the dotted name of the module of ours that an import reaches, or None for anything else."""
    parts = name.split(".")[1:] if name.startswith("prismlab.") else []
    for length in (len(parts), len(parts) - 1):
        if length > 0 and ROOT.joinpath(*parts[:length]).with_suffix(".py").exists():
            return ".".join(parts[:length])
    return ".".join(parts) if parts and ROOT.joinpath(*parts).is_dir() else None


def floor_faults(room, path):
    """Return "file:line: what" for each import that a room must not make."""
    faults = []
    for line, name in _imports(path):
        where = f"{path.name}:{line}"
        if _under(name, ("tests", *ROOMS)):
            faults.append(f"{where}: {room} imports {name}; import it from prismlab")
        target = _target(name)
        if target is not None:
            home = target if ROOT.joinpath(*target.split(".")).is_dir() else target.rpartition(".")[0]
            if home != room and not home.startswith(room + ".") and home not in FLOORS[room]:
                faults.append(f"{where}: {room} imports {name}")
        if _under(room, ("data",)) and _under(name, ("jax", "equinox", "optax", "flax", "orbax")):
            faults.append(f"{where}: data imports {name}, which starts jax in every worker")
        if not _under(room, ("experiments",)) and _under(name, ("gin",)):
            faults.append(f"{where}: {room} imports gin, which belongs to experiments")
    return faults


@pytest.mark.parametrize("room", sorted(FLOORS))
def test_each_room_imports_only_from_its_own_floor_and_below(room):
    paths = [path for path in _sources(room.replace(".", "/")) if _room_of(path) == room]
    assert paths, f"{room} holds no files"
    faults = [fault for path in paths for fault in floor_faults(room, path)]
    assert not faults, "\n".join(faults)


def test_every_room_has_a_floor():
    assert {_room_of(path) for path in _sources(*ROOMS)} == set(FLOORS)


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("core.train", "from prismlab.objectives import masked"),
        ("core.nn", "from prismlab.core.towers import video"),
        ("core.train", "import gin"),
        ("objectives", "from prismlab.experiments.run import engine"),
        ("objectives", "import prismlab.data.world.world"),
        ("objectives", "from core import keys"),
        ("data.video", "from prismlab.core.nn import layers"),
        ("data.video", "from prismlab.data.loader import loader"),
        ("data.loader", "import jax.numpy as jnp"),
        ("data.records", "def f():\n    from prismlab.core.nn.layers import Linear"),
        ("experiments.recipe", "from prismlab.experiments.run import engine"),
    ],
)
def test_the_check_itself_sees_what_is_wrong(tmp_path, room, line):
    path = tmp_path / "wrong.py"
    path.write_text(line + "\n")
    assert floor_faults(room, path)


def test_no_module_imports_itself_through_others():
    graph = {}
    for path in _sources(*ROOMS):
        name = path.with_suffix("").relative_to(ROOT).as_posix().replace("/", ".")
        graph[name] = {_target(each) for _, each in _imports(path)} - {None, name}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_picture_in_the_map_is_current():
    assert import_graph.text() in (ROOT / "WORKSPACE.md").read_text(), "run `make graph`, copy its output"


@pytest.mark.slow  # without cycles, all that this can find is a module that lacks an import of its own
def test_every_module_imports_alone():
    code = (
        "import importlib, os, sys\n"
        "import jax, equinox, optax, grain, scipy.stats, orbax.checkpoint, rich.console, flax, PIL.Image\n"
        "for name in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        try: importlib.import_module(name)\n"
        "        except BaseException as error: print(name, repr(error)); os._exit(1)\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    named = [
        "prismlab." + path.with_suffix("").relative_to(ROOT).as_posix().replace("/", ".")
        for path in _sources(*ROOMS)
        if "bench" not in path.parts
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *named], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout, done.stdout


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
        if len(node.body) == 1 and ast.unparse(node.body[0]) == "...":
            continue  # a member of a Protocol, documented where it is implemented
        yield node.lineno, prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body, f"{prefix}{node.name}.")


def test_everything_public_says_what_it_is():
    silent = []
    for path in _sources(*ROOMS):
        tree = _tree(path)
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


# What opens or renames files in a way that has one home, and that home.
FILE_CALLS = {
    r"\bos\.(?:replace|rename)\(|\bmkstemp\(|\bNamedTemporaryFile\(|\bshutil\.move\(": "temporary_files.py",
    r"\bO_APPEND\b|\bos\.truncate\(": "in_place.py",
    r"\bflock\(": "locks.py temporary_files.py",
    r"\bexpanduser\(": "user_paths.py",
    r"\bopen\((?:[^()\n]*, )?[\"'](?:a|r\+|ab|r\+b)[\"']": "",
}


@pytest.mark.parametrize("calls", FILE_CALLS)
def test_files_are_written_by_the_file_system_layer(calls):
    found = {path.relative_to(ROOT) for path in _sources(*ROOMS) if re.search(calls, path.read_text())}
    homes = {pathlib.Path("core/io", name) for name in FILE_CALLS[calls].split()}
    assert found == homes, "use prismlab.core.io.filesystem, in_place or locks"
