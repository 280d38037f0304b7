"""Files of a new component in a user's package: the component, a gin file with a row of it, and its test."""

import importlib.util
import keyword
import pathlib
import re
import string

from prismlab.core import errors
from prismlab.core.io import filesystem

KINDS = ("objective", "mask", "source", "task")
_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def write(kind: str, name: str, folder: pathlib.Path) -> list[pathlib.Path]:
    """Write the files of a new component.

    Args:
        kind: one of KINDS.
        name: name of the module; the class is called after it, `soft_margin` -> `SoftMargin`.
        folder: a package (with `__init__.py`), or an empty or new folder, which becomes one.

    Returns:
        The files that were written; component, test and gin file come last, in this order.

    Raises:
        UserError: the name is none of a module or is taken, or the folder is no package; nothing is written.
    """
    if kind not in KINDS:
        raise errors.UserError(f"expected one of {', '.join(KINDS)}, got {kind!r}")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise errors.UserError(
            f"{name!r} is no name of a module; expected lower-case letters, digits and _, such as soft_margin"
        )
    package = package_of(folder)
    files = [folder / f"{name}.py", folder / f"test_{name}.py", folder / f"{name}.gin"]
    taken = [path for path in (*files, folder / name) if path.exists()]
    if taken:
        raise errors.UserError(f"{taken[0]} exists already; choose another name, or remove it")
    given = {
        "name": name,
        "Name": "".join(part.capitalize() for part in name.split("_")),
        "package": package,
        "file": f"{folder.name}/{name}.gin",
    }
    mark = folder / "__init__.py"
    new = [] if mark.exists() else [mark]
    if new:
        folder.mkdir(parents=True, exist_ok=True)
        filesystem.write_atomic(mark, f'"""Components of {package} for prismlab."""\n'.encode())
    for path, suffix in zip(files, ("py", "test", "gin")):
        template = (_TEMPLATES / f"{kind}.{suffix}.txt").read_text(encoding="utf-8")
        filesystem.write_atomic(path, string.Template(template).substitute(given).encode())
    return [*new, *files]


def package_of(folder: pathlib.Path) -> str:
    """Return the dotted name of a package.

    Args:
        folder: the package; an empty or new folder counts as one.

    Raises:
        UserError: the folder is no package, or its name is none of a package.
    """
    if folder.exists() and not folder.is_dir():
        raise errors.UserError(f"{folder} is a file; give --package the folder of your package")
    held = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    if "__init__.py" not in held and any(not each.startswith(".") for each in held):
        raise errors.UserError(
            f"{folder} is no package, it has no __init__.py; give --package the folder of your package, or "
            "one that is empty or new"
        )
    names = [folder.name, *(each.name for each in above(folder))]
    for each in names:
        if not each.isidentifier() or keyword.iskeyword(each) or each in ("prismlab", "test", "tests"):
            raise errors.UserError(
                f"folder {each!r} cannot be a package of yours; rename it to letters, digits and _, or give "
                "--package another folder"
            )
    return ".".join(reversed(names))


def above(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the packages that hold a package, from the inside out."""
    found = []
    while (folder.parent / "__init__.py").exists():
        folder = folder.parent
        found.append(folder)
    return found


def path_advice(package: str, folder: pathlib.Path) -> str | None:
    """Return how to put a package on the path of Python, or None if it is.

    Args:
        package: dotted name.
        folder: its folder.
    """
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        found = None
    if found is not None and found.origin and pathlib.Path(found.origin).resolve().parent == folder.resolve():
        return None
    root = [folder, *above(folder)][-1].parent
    if found is not None and found.origin:
        return f"another package {package} is on the path of Python ({found.origin}); rename this one"
    return f"{package} is not on the path of Python yet: export PYTHONPATH={root}"
