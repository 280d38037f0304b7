"""Submit units as SLURM jobs with submitit (optional extra `slurm`), one job for each.

Units that need the same units and state the same resources form a job array, which waits for the jobs of
those (`afterok`). A job that reaches its time limit saves and is queued again (`slurm_job`).
"""

import pathlib
import secrets
from collections.abc import Mapping
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments import console
from prismlab.experiments.launch import executor, units
from prismlab.experiments.launch.engines import slurm_job
from prismlab.experiments.recipe import resources

# Accepted names in --setting KEY=VALUE: parameters of sbatch as named by submitit.
SETTINGS = (
    "partition", "account", "qos", "time", "gpus_per_node", "cpus_per_task", "mem", "constraint", "nodes",
    "ntasks_per_node", "gres", "exclude", "nodelist", "comment", "dependency",
)  # fmt: skip


def parameters(order: executor.Order) -> dict[str, Any]:
    """Return the parameters of sbatch that all jobs share.

    Raises:
        UserError: a setting is unknown; the message lists the known settings.
    """
    unknown = [name for name in order.settings if name not in SETTINGS]
    if unknown:
        raise errors.UserError(f"--setting {unknown[0]!r} is unknown; known settings: {', '.join(SETTINGS)}")
    found: dict[str, Any] = {"job_name": "prismlab", "time": 1440}
    for name, value in order.settings.items():
        found[name] = int(value) if value.isdigit() else value
    found["additional_parameters"] = {"kill-on-invalid-dep": "yes", "requeue": True}
    if order.jobs is not None:
        found["array_parallelism"] = order.jobs
    return found


def stated(reserve: resources.Resources) -> dict[str, Any]:
    """Return the parameters of sbatch that a unit states."""
    found: dict[str, Any] = {}
    if reserve.cores:
        found["cpus_per_task"] = reserve.cores
    if reserve.memory_gigabytes:
        found["mem"] = f"{round(1024 * reserve.memory_gigabytes)}M"
    if reserve.chips:
        found["gpus_per_node"] = reserve.chips
    return found


def arrays(order: executor.Order) -> list[list[units.Unit]]:
    """Return the units by what they need and state, those that others need first."""
    found: dict[Any, list[units.Unit]] = {}
    for unit in order.graph:
        found.setdefault((tuple(sorted(order.parents(unit))), unit.reserve), []).append(unit)
    return list(found.values())


def dependency(parents: list[str], jobs: Mapping[str, str], given: str = "") -> dict[str, str]:
    """Return the parameter that lets jobs wait.

    Args:
        parents: names of the units that they need.
        jobs: unit -> its job.
        given: the setting of the user.
    """
    after = [f"afterok:{':'.join(jobs[name] for name in parents)}"] if parents else []
    both = ",".join([*([given] if given else []), *after])
    return {"dependency": both} if both else {}


def preview(order: executor.Order) -> str:
    """Return the batch script of each array, in which jobs are still named by their units."""
    slurm, shared, lines = _submitit().slurm.slurm, parameters(order), []
    names = {unit.name: unit.name for unit in order.graph}
    for group in arrays(order):
        first = group[0]
        waits = dependency(order.parents(first), names, order.settings.get("dependency", ""))
        script = slurm._make_sbatch_string(
            command=order.line("run-unit", first.name), folder=str(_folder(order)), map_count=len(group),
            **{**shared, **stated(first.reserve), **waits},
        )  # fmt: skip
        lines.append(f"sbatch, for {', '.join(unit.name for unit in group)}:\n{script}")
    return "\n".join(lines)


def run(order: executor.Order) -> None:
    """Submit the jobs, which run on after this command exits.

    Raises:
        UserError: SLURM or submitit is not available, or SLURM refuses a job.
    """
    submitit = _submitit()
    try:
        engine = submitit.SlurmExecutor(folder=_folder(order), max_num_timeout=slurm_job.MOST)
    except RuntimeError as error:
        raise errors.UserError(
            f"SLURM is not available ({error}); run this on a login node, or print the scripts with --dry-run"
        ) from error
    shared = parameters(order) | {"job_name": f"prismlab-{secrets.token_hex(3)}"}
    cancel = shared["job_name"] if order.fail_fast else ""
    jobs: dict[str, str] = {}
    for group in arrays(order):
        waits = dependency(order.parents(group[0]), jobs, order.settings.get("dependency", ""))
        engine.parameters.clear()
        engine.update_parameters(**{**shared, **stated(group[0].reserve), **waits})
        try:
            with engine.batch():
                given = [
                    engine.submit(slurm_job.UnitJob(tuple(order.words("run-unit", unit.name)), cancel))
                    for unit in group
                ]
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            reason = " ".join(str(error).split())[-300:]
            raise errors.UserError(
                f"SLURM refused {group[0].told} ({reason}); correct --setting or recipe.Stage.reserve"
            ) from error
        for unit, job in zip(group, given):
            jobs[unit.name] = job.job_id
            console.write(f"{job.job_id}: {unit.told}")
    console.write(f"when all have ended: {order.line('ablate')}")


def _folder(order: executor.Order) -> pathlib.Path:
    """Return the folder for scripts and logs of submitit: on disk even if the work directory is a bucket."""
    here = pathlib.Path.cwd() if filesystem.is_remote(order.workdir) else order.workdir
    return pathlib.Path(here) / "slurm"


def _submitit() -> Any:
    try:
        import submitit
        import submitit.slurm.slurm  # noqa: F401, makes the submodule an attribute
    except ImportError as error:
        raise errors.UserError(
            f"--launcher slurm needs submitit, which is not installed: {errors.install_extra('slurm')}"
        ) from error
    return submitit
