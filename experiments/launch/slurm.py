"""Launch workers as SLURM jobs, submitted with submitit (optional extra `slurm`)."""

import pathlib
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments import console
from prismlab.experiments.launch import executor

# Accepted names in --setting KEY=VALUE: parameters of sbatch as named by submitit.
SETTINGS = (
    "partition", "account", "qos", "time", "gpus_per_node", "cpus_per_task", "mem", "constraint", "nodes",
    "ntasks_per_node", "gres", "exclude", "nodelist", "comment",
)  # fmt: skip


def parameters(order: executor.Order) -> dict[str, Any]:
    """Return the parameters of sbatch.

    Raises:
        UserError: a setting is unknown; the message lists the known settings.
    """
    unknown = [name for name in order.settings if name not in SETTINGS]
    if unknown:
        raise errors.UserError(f"--setting {unknown[0]!r} is unknown; known settings: {', '.join(SETTINGS)}")
    found: dict[str, Any] = {"job_name": "prismlab", "time": 1440}
    for name, value in order.settings.items():
        found[name] = int(value) if value.isdigit() else value
    return found


def preview(order: executor.Order) -> str:
    """Return the batch script that submitit writes, and how often it is submitted."""
    slurm = _submitit().slurm.slurm
    script = slurm._make_sbatch_string(
        command=order.line("worker"), folder=str(_folder(order)), **parameters(order)
    )
    return f"sbatch, {order.jobs} times:\n{script}"


def run(order: executor.Order) -> None:
    """Submit the workers, which keep running after this command exits.

    Raises:
        UserError: SLURM or submitit is not available.
    """
    submitit = _submitit()
    try:
        executor = submitit.SlurmExecutor(folder=_folder(order))
    except RuntimeError as error:
        raise errors.UserError(
            f"SLURM is not available ({error}); run this on a login node, or print the script with --dry-run"
        ) from error
    executor.update_parameters(**parameters(order))
    task = submitit.helpers.CommandFunction(order.words("worker"))
    for _ in range(order.jobs):
        console.write(f"submitted {executor.submit(task).job_id}")


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
