"""The configuration that a stage was trained with, from its folder and the config.gin beside it."""

import inspect
import pathlib
import pydoc
from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.gin_strict import strict, sub_rooms
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.recipe.addresses import stage_names


def of(folder: filesystem.Path, facts: Mapping[str, Any]) -> recipe.Stage:
    """Return the configuration of a stage, from config.gin in its folder or of its work directory.

    Args:
        folder: the stage's folder.
        facts: content of its stage.json.

    Raises:
        UserError: config.gin is missing, or holds the stage no longer.
    """
    file = folder / "config.gin"
    file = file if file.exists() else folder.parent.parent / "config.gin"
    if not file.exists():
        raise errors.UserError(
            f"{file} is missing, so the encoder of {folder.name} cannot be built; copy the whole directory"
        )
    root = strict.load(str(file), earlier=True).root
    experiments = root.experiments().values() if isinstance(root, recipe.Ablation) else [root]
    described = lambda stage: describe.addressed(describe.describe(stage))
    wanted = sub_rooms.renamed(facts["inputs"]["configuration"])
    known = [stage for experiment in experiments for stage in experiment.stages]
    for stage in known:
        if stage.name == facts["name"] and as_recorded(described(stage)["towers"], wanted["towers"]):
            return stage
    for stage in known:  # renamed since
        if all(as_recorded(described(stage)[field], wanted[field]) for field in wanted):
            return stage
    raise errors.UserError(
        f"{file} no longer holds stage {facts['name']!r} as {folder.name} was trained; train that row "
        "again, or restore its configuration"
    )


def as_recorded(now: describe.Tree, then: describe.Tree) -> bool:
    """Return whether a configuration equals one that an earlier version may have recorded.

    Args:
        now: the configuration, as `describe.describe` gives it.
        then: the recorded one; it may lack fields that its classes have gained since, which must have their
            default in `now`.
    """
    if isinstance(now, list) and isinstance(then, list):
        return len(now) == len(then) and all(map(as_recorded, now, then))
    if not isinstance(now, dict) or not isinstance(then, dict):
        return bool(now == then)
    if then.keys() - now.keys() or not all(as_recorded(now[name], then[name]) for name in then):
        return False
    added = now.keys() - then.keys()
    if not added:
        return True
    kind = pydoc.locate(str(now.get("class", now.get("partial of"))))
    if not callable(kind):
        return False
    defaults = inspect.signature(kind).parameters
    return all(
        name in defaults and describe.addressed(describe.describe(defaults[name].default)) == now[name]
        for name in added
    )


def if_known(folder: filesystem.Path) -> recipe.Stage | None:
    """Return the configuration of a stage, or None for a copy of its checkpoints alone, which says no sizes.

    Args:
        folder: the stage's folder.
    """
    facts = stage_folder.json_if_sound(folder / "stage.json")
    if not isinstance(folder, pathlib.Path) or not isinstance(facts, dict) or "name" not in facts:
        return None
    try:
        return of(folder, facts)
    except errors.UserError:
        return None


def of_name(name: str) -> recipe.Stage | None:
    """Return the configuration of a stage that a recipe names as a parent, or None if it is not known.

    Args:
        name: local folder of a stage, or WORKDIR/NAME; a URL says no sizes.
    """
    if filesystem.is_remote(filesystem.parse_path(name)):
        return None
    folder = stage_names.find(name, "teacher")
    return None if folder is None else if_known(folder)
