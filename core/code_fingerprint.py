"""Fingerprints of source code: every module of ours that some modules import, with a hash of its syntax.

Numbers must never be reported for other code than the code that made them, so an address holds the code that
a result depends on (`experiments/recipe/addresses/fingerprints.py`), and so do names of files in the cache.

"Ours" is prismlab and the user's own modules: everything that is neither in the standard library nor
installed in site-packages or dist-packages. Versions of installed packages are therefore not part of a
fingerprint; a stage records them in `stage.json`. Files that code reads (tables, weights) are not seen.

Imports are read from the syntax tree, without running anything: also those inside functions, relative ones,
and `importlib.import_module("name")` with a literal name. Names computed at run time are not seen.
"""

import ast
import dataclasses
import functools
import hashlib
import importlib.machinery
import importlib.util
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prismlab.core import errors

# The public names of the package are imported on first use. The file holds nothing else, and a new name in it
# changes no result, so it is in no fingerprint; what it stands for is followed (`_stands_for`).
PUBLIC = "prismlab"
# They word errors and carry bytes from and to files, and never change a number.
CARRIERS = ("prismlab.core.errors", "prismlab.core.io")
_INSTALLED = ("site-packages", "dist-packages")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Fields of nodes that say how something is written, not what it does.
_SPELLING = ("ctx", "kind", "type_comment", "type_ignores")


@dataclasses.dataclass(frozen=True)
class Module:
    """One module of ours.

    Args:
        sha256: first 16 hex digits of the sha256 of its syntax, without docstrings, comments and formatting.
        imports: (module, name or "") of each import, absolute; a name may be a module or anything else.
    """

    sha256: str
    imports: tuple[tuple[str, str], ...]


def closure(roots: Iterable[str], without: Iterable[str] = ()) -> dict[str, str]:
    """Return module -> hash of every module of ours that the roots import, directly or through others.

    A module is read once in a process: the code in memory is the code of that moment.

    Args:
        roots: dotted names of modules; those that are not ours are skipped.
        without: modules and packages that are left out besides `CARRIERS`, with what only they import.

    Returns:
        The roots and what they import, by name, sorted.

    Raises:
        UserError: a root is a notebook or an interactive session, which has no source file.
    """
    roots, without = list(roots), (*CARRIERS, *without)
    found: dict[str, str] = {}
    waiting = [each for root in roots for each in _with_packages(root)]
    seen = set(waiting)
    for root in roots:
        if root == "__main__" and read(root) is None:
            raise errors.UserError(
                "a class or function of the configuration is defined in an interactive session, which has no "
                "source file; move it into a module, so that a change of its code is noticed"
            )
    while waiting:
        name = waiting.pop()
        if name == PUBLIC or any(name == each or name.startswith(each + ".") for each in without):
            continue
        module = read(name)
        if module is None:
            continue
        found[name] = module.sha256
        for package, attribute in module.imports:
            reached = {*_with_packages(package), *_attribute(package, attribute)}
            waiting += sorted(reached - seen)
            seen |= reached
    return dict(sorted(found.items()))


def digest(roots: Iterable[str]) -> str:
    """Return the first 16 hex digits of the sha256 of a closure, for names of files in a cache."""
    return hashlib.sha256(repr(closure(roots)).encode()).hexdigest()[:16]


def forget() -> None:
    """Read modules again at their next use; for tests, which change files."""
    read.cache_clear()
    _find.cache_clear()
    _bare.cache_clear()


@functools.cache
def read(name: str) -> Module | None:
    """Return the fingerprint of one module, or None if it is not ours or does not exist."""
    path = _find(name)
    if path is None:
        return None
    return _parsed(path.read_bytes(), name if path.name == "__init__.py" else name.rpartition(".")[0])


# Modules that were parsed, by the hash of their bytes and package: `remember` adds those of other processes.
_KNOWN: dict[str, Module] = {}


def parsed() -> dict[str, Module]:
    """Return all modules that this process has parsed or remembers, by content."""
    return dict(_KNOWN)


def remember(modules: Mapping[str, Module]) -> None:
    """Add modules that another process has parsed with the same version of this file; see `parsed`."""
    for key, module in modules.items():
        _KNOWN.setdefault(key, module)


def _parsed(data: bytes, package: str) -> Module:
    key = hashlib.sha256(package.encode() + b"\0" + data).hexdigest()[:32]
    if key not in _KNOWN:
        _KNOWN[key] = _parse(data, package)
    return _KNOWN[key]


def _parse(data: bytes, package: str) -> Module:
    imports: tuple[tuple[str, str], ...] = ()
    try:
        tree = _Stripped().visit(ast.parse(data))
        data, imports = repr(_shape(tree)).encode(), tuple(dict.fromkeys(_imports(tree, package)))
    except (SyntaxError, ValueError, RecursionError):
        pass  # compiled, not for this interpreter, or nested too deeply: its bytes, as they are
    return Module(hashlib.sha256(data).hexdigest()[:16], imports)


class _Stripped(ast.NodeTransformer):
    """Remove docstrings and blocks that only type checkers read."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        return super().generic_visit(node)

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        test = node.test
        name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
        return node.orelse if name == "TYPE_CHECKING" else node


def _shape(node: Any) -> Any:
    """Return a syntax tree as nested tuples, without empty fields: equal on all versions of Python."""
    if isinstance(node, list):
        return [_shape(each) for each in node]
    if not isinstance(node, ast.AST):
        return node
    fields = [(name, _shape(value)) for name, value in ast.iter_fields(node) if name not in _SPELLING]
    return (type(node).__name__, *(each for each in fields if each[1] is not None and each[1] != []))


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Yield (module, name or "") of the imports, and of the attributes of modules imported by name."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ""
                bound[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                base = ".".join([*above[: len(above) + 1 - node.level], *filter(None, [base])])
            for alias in node.names:
                yield base, alias.name
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.args[0].value, ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in bound:
            yield bound[node.value.id], node.attr


@functools.cache
def _with_packages(name: str) -> tuple[str, ...]:
    """Return a module and the packages that contain it, whose `__init__` its import runs."""
    parts = name.split(".")
    return tuple(".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _attribute(package: str, name: str) -> tuple[str, ...]:
    """Return the modules that `from package import name` reaches besides the package."""
    if not name or (_find(package) is None and not _bare(package)):
        return ()
    if _find(f"{package}.{name}") is not None:
        return (f"{package}.{name}",)
    return _stands_for(package, name)


def _stands_for(package: str, name: str) -> tuple[str, ...]:
    """Return the module behind a name that a package imports on first use (module-level `__getattr__`)."""
    loaded = sys.modules.get(package)
    if loaded is None or "__getattr__" not in vars(loaded) or name in vars(loaded):
        return ()
    try:
        found = getattr(loaded, name)
    except AttributeError:
        return ()
    return _with_packages(str(getattr(found, "__module__", None) or getattr(found, "__name__", "")))


@functools.cache
def _find(name: str) -> pathlib.Path | None:
    """Return the file of a module of ours; None for all others and for packages without an `__init__`."""
    top = name.partition(".")[0]
    if not name or top in sys.stdlib_module_names:
        return None
    loaded = getattr(sys.modules.get(name), "__file__", None)
    where = loaded or _origin(name)
    if not where or not pathlib.Path(where).is_file():
        return None
    path = pathlib.Path(where)
    ours = top == PUBLIC or not any(part in _INSTALLED for part in path.parts)
    return path if ours else None


def _origin(name: str) -> str | None:
    """Return the file of a module that is not loaded, without importing the packages that contain it."""
    spec = _spec(name)
    return spec.origin if spec is not None and spec.has_location else None


@functools.cache
def _bare(name: str) -> bool:
    """True for a folder of modules without an `__init__`."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        return False
    spec = getattr(sys.modules.get(name), "__spec__", None) or _spec(name)
    return spec is not None and not spec.has_location and spec.submodule_search_locations is not None


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Return the spec of a module without importing the packages that contain it."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    whole = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        whole, inside = f"{whole}.{part}", list(spec.submodule_search_locations)
        spec = _inside(whole, inside)
    return spec


def _inside(name: str, folders: list[str]) -> importlib.machinery.ModuleSpec | None:
    """Return the spec of a module in the folders of its package, which need not be loaded."""
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    try:
        return next((found for find in finders if find and (found := find(name, folders))), None)
    except (
        KeyError
    ):  # a folder without `__init__` in a package that is not loaded; Python asks for its parent
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        last = name.rpartition(".")[2]
        spec.submodule_search_locations = [str(pathlib.Path(folder, last)) for folder in folders]
        return spec
