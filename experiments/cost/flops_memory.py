"""Remember the model FLOPs of a step in the cache, so that stages that differ in the seed count them once."""

import contextlib
import dataclasses
import json
from typing import Any

import jax

from prismlab.core import errors
from prismlab.core.io import checked_json, filesystem
from prismlab.experiments.cost import step_flops
from prismlab.experiments.recipe import describe
from prismlab.experiments.recipe.addresses import fingerprints, stages

_MOST_BYTES = 4096


@dataclasses.dataclass(frozen=True)
class _Kept:
    flops: float


def counted(planned: stages.Planned, known: float | None, prints: fingerprints.Fingerprints) -> float | None:
    """Return what `step_flops.counted` returns, from the cache if it was counted before.

    Args:
        planned: the stage.
        known: see `step_flops.counted`.
        prints: fingerprints of this run; its cache may be read-only or None, which only costs time.
    """
    if known is not None or prints.cache is None or not step_flops.is_counted(planned):
        return step_flops.counted(planned, known)
    path = prints.cache / f"flops-{_address(planned, prints)}.json"
    with contextlib.suppress(OSError, errors.UserError):  # missing or damaged: written again
        kept: _Kept = checked_json.read(_Kept, path, limit=_MOST_BYTES)
        return kept.flops
    found = step_flops.counted(planned, known)
    with contextlib.suppress(OSError, errors.UserError):
        filesystem.write_atomic(path, json.dumps({"flops": found}).encode())
    return found


def _address(planned: stages.Planned, prints: fingerprints.Fingerprints) -> str:
    code = prints.code((), (step_flops.__name__,))
    return describe.address({"stage": _shapes_of(planned), "code": code, "jax": jax.__version__})


def _shapes_of(planned: stages.Planned) -> dict[str, Any]:
    """Return what decides the shapes of a step; of its parents only the teacher does."""
    teacher = planned.teacher
    return {
        "configuration": planned.inputs["configuration"],
        "code": planned.inputs["code"],
        "teacher": (
            _shapes_of(teacher)
            if isinstance(teacher, stages.Planned)
            else planned.inputs["parents"]["teacher"]
        ),
    }
