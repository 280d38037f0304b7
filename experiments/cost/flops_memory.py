"""Remember the model FLOPs of a step in the cache, so that stages that differ in the seed count them once.

Only for CPUs: on a device with a published peak FLOPs are counted when a stage starts (`step_flops.of_step`),
and layers may be traced in another way there.
"""

import contextlib
import dataclasses
import json
import pathlib
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


def place(planned: stages.Planned, prints: fingerprints.Fingerprints) -> pathlib.Path | None:
    """Return the file that remembers the FLOPs of a step.

    Call it before training: source files may be edited while a stage trains.

    Args:
        planned: the stage.
        prints: fingerprints of this run.

    Returns:
        None where nothing is remembered: without a cache, on an accelerator, for a stage of few steps, and
        where the stage or its teacher has shapes that their inputs do not state (accepted code, a teacher
        from a folder).
    """
    shapes = _shapes_of(planned)
    alike = jax.default_backend() == "cpu" and step_flops.is_counted(planned)
    if prints.cache is None or not alike or shapes is None:
        return None
    code = prints.code((), (step_flops.__name__,))
    address = describe.address({"stage": shapes, "code": code, "jax": jax.__version__})
    return prints.cache / f"flops-{address}.json"


def counted(planned: stages.Planned, known: float | None, path: pathlib.Path | None) -> float | None:
    """Return what `step_flops.counted` returns, from the cache if it was counted before.

    Args:
        planned: the stage.
        known: see `step_flops.counted`.
        path: from `place`; the cache may be read-only, which only costs time.
    """
    if known is not None or path is None:
        return step_flops.counted(planned, known)
    with contextlib.suppress(OSError, errors.UserError):  # missing or damaged: written again
        kept: _Kept = checked_json.read(_Kept, path, limit=_MOST_BYTES)
        return kept.flops
    found = step_flops.counted(planned, known)
    with contextlib.suppress(OSError, errors.UserError):
        filesystem.write_atomic(path, json.dumps({"flops": found}).encode())
    return found


def _shapes_of(planned: stages.Planned) -> dict[str, Any] | None:
    """Return what decides the shapes of a step; None if that is not known.

    Of its parents, only the teacher matters.
    """
    teacher: Any = planned.teacher
    taught = _shapes_of(teacher) if isinstance(teacher, stages.Planned) else {}
    if planned.accepted or taught is None or isinstance(teacher, filesystem.Path):
        return None
    own = {key: planned.inputs[key] for key in ("configuration", "code")}
    return {**own, "teacher": taught or planned.inputs["parents"]["teacher"]}
