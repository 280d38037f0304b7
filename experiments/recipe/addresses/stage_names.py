"""How people name a stage that was trained before: its folder, or its work directory and its name."""

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem, user_paths
from prismlab.core.train.checkpoints import stage_folder


def own_folders(workdir: filesystem.Path) -> list[filesystem.Path]:
    """Return the folders of the stages that are in a work directory itself, not in a store."""
    return sorted(path for path in (workdir / "stages").glob("*") if path.is_dir())


def find(
    name: str,
    option: str,
    folders: Callable[[pathlib.Path], Sequence[filesystem.Path]] = own_folders,
) -> pathlib.Path | None:
    """Return the folder of a stage, or None if the name is none of a stage.

    Args:
        name: local folder of a stage (`WORKDIR/stages/NAME`), or `WORKDIR/NAME` with the name of a stage of
            which one seed was trained; one of 0 steps counts only if it is the only one.
        option: what gave the name, for messages.
        folders: work directory -> folders of its stages.

    Raises:
        UserError: the name fits several stages.
    """
    path = user_paths.local(name)
    if (path / "stage.json").exists():
        return path
    named = re.compile(rf"{re.escape(path.name)}-s\d+-[0-9a-f]+")
    listed = folders(path.parent) if path.parent.is_dir() else ()
    found = [pathlib.Path(each) for each in listed if named.fullmatch(each.name)]
    if len(found) > 1:
        found = [each for each in found if _steps(each) != 0] or found
    if len(found) > 1:
        names = ", ".join(each.name for each in found)
        raise errors.UserError(f"{option} {name} fits several stages ({names}); name one of them")
    return found[0] if found else None


def _steps(folder: pathlib.Path) -> Any:
    """Return the steps of a stage; 0 is the untrained encoder that rows of an ablation are compared with."""
    facts = stage_folder.json_if_sound(folder / "stage.json") or {}
    return facts.get("inputs", {}).get("configuration", {}).get("steps")
