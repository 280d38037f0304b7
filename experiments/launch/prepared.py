"""What `ablate --launcher` leaves in a work directory, so that units elsewhere run the same code and data."""

import pathlib
from collections.abc import Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.train.checkpoints import stage_folder
from prismlab.experiments.launch import units
from prismlab.experiments.preview import accepted_code
from prismlab.experiments.recipe import describe, recipe
from prismlab.experiments.recipe.addresses import fingerprints
from prismlab.experiments.store import store, work_directory

FILE = "prepared.json"  # `facts` of the command that prepared the work directory
EVALUATIONS = "evaluations"  # their names in that file; units of rows have other names


def record(workdir: filesystem.Path, known: list[units.Unit], accept: Sequence[str] = ()) -> None:
    """Write what units elsewhere must agree on.

    Args:
        workdir: the shared work directory.
        known: all units of the ablation.
        accept: names of the stages whose change of code is accepted (`--accept-code`).
    """
    judged = sorted({each.label for unit in known for each in unit.evaluations})
    named = {EVALUATIONS: judged, accepted_code.FIELD: list(accept)}
    work_directory.record(workdir / FILE, {**facts(known), **named})


def prints(workdir: filesystem.Path, cache: pathlib.Path) -> fingerprints.Fingerprints:
    """Return the fingerprints with which the command that prepared a work directory resolved its units."""
    before = stage_folder.json_if_sound(workdir / FILE) or {}
    names = before.get(accepted_code.FIELD, ())
    return fingerprints.Fingerprints(cache, accepted_code.Accepted(names, store.of(workdir)))


def check(workdir: filesystem.Path, root: recipe.Ablation, known: list[units.Unit]) -> None:
    """Check that a work directory was prepared for this ablation, with the same code and data.

    Args:
        workdir: the shared work directory.
        root: the ablation.
        known: its units, as this process sees them.

    Raises:
        UserError: it contains no configuration, another one, or units of other code or data.
    """
    if not (workdir / "config.json").is_file():
        raise errors.UserError(
            f"{workdir} is not prepared; first: prismlab ablate FILE.gin --workdir {workdir} --launcher ..."
        )
    config = describe.addressed(work_directory.read_json(workdir / "config.json"))
    lines = describe.difference(config, describe.addressed(describe.describe(root)))
    if lines:
        raise errors.UserError(f"{workdir} contains another configuration: " + "; ".join(lines[:5]))
    before = stage_folder.json_if_sound(workdir / FILE)
    if before is not None and before.get("units") != facts(known)["units"]:
        raise errors.UserError(_other(workdir, before, known))


def check_store(workdir: filesystem.Path, given: filesystem.Path | None) -> None:
    """Check that `--store` of a command on a prepared work directory names the store of that directory.

    Args:
        workdir: the work directory.
        given: `--store`, or None.

    Raises:
        UserError: it names another store.
    """
    before = store.of(workdir)
    if given is not None and store.choose(workdir, given) != before:
        raise errors.UserError(
            f"--store {given}: {workdir} was prepared with the store {before.home}; leave --store out"
        )


def why_unknown(name: str, workdir: filesystem.Path, known: list[units.Unit]) -> str:
    """Return why an ablation has no unit of a name: its address differs where code or data do.

    Args:
        name: a name that none of `known` has.
        workdir: the shared work directory.
        known: the units of the ablation, as this process sees them.
    """
    before = stage_folder.json_if_sound(workdir / FILE)
    if before is not None and name in [*before.get("units", ()), *before.get(EVALUATIONS, ())]:
        return _other(workdir, before, known)
    return f"no unit of this ablation is named {name!r}; `prismlab ablate ... --dry-run` lists them"


def _other(workdir: filesystem.Path, before: dict[str, Any], known: list[units.Unit]) -> str:
    alike = {key: before.get(key) for key in ("units", EVALUATIONS, accepted_code.FIELD) if key in before}
    lines = describe.difference(before, {**facts(known), **alike})
    told = "; ".join(lines[:5]) or "another configuration"
    return (
        f"this machine has other code or data than the command that prepared {workdir}: {told}; give both "
        "the same, or prepare it again"
    )


def facts(known: list[units.Unit]) -> dict[str, Any]:
    """Return what all machines must agree on besides the configuration: code, data and settings."""
    found: dict[str, Any] = {"units": sorted(unit.name for unit in known)}
    found |= {"code": {}, "data": {}, "settings": {}}
    for unit in known:
        parts = [(unit.planned.stage.name, unit.planned.inputs)]
        for name, inputs in [*parts, *((each.name, each.inputs) for each in unit.evaluations)]:
            found["code"] |= inputs["code"]
            found["settings"] |= inputs["settings"]
            found["data"] |= {f"{name}: {path}": each for path, each in inputs["data"].items()}
    return found
