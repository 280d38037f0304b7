"""Run units on GKE TPU slices: one Argo Workflow, whose steps are JobSets with the queue of Kueue.

Where Argo is not installed, `--setting engine=jobset` writes JobSets of workers instead, which share the
units by leases (`worker`).

Source of the fields: argo-workflows.readthedocs.io, fields (v1alpha1), and its page on resource templates.
"""

import re
import shlex
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments import console, exits
from prismlab.experiments.launch import executor, units
from prismlab.experiments.launch.engines import jobsets, manifest
from prismlab.experiments.recipe import resources

JOBS = 2  # workers of engine=jobset, where --jobs does not say
ENGINES = ("argo", "jobset")
_SETTINGS = ("engine", "workflow_account")
FILE = "gke.yaml"


def run(order: executor.Order) -> None:
    """Write the manifest to the work directory and print how to start it."""
    path = order.workdir / FILE
    filesystem.write_atomic(path, preview(order).encode())
    name = shlex.quote(str(path))
    start = f"kubectl create -f {name}"
    if filesystem.is_remote(path):
        start = f"gcloud storage cat {name} | kubectl create -f -"
    console.write(f"written: {path}\nstart it with: {start}\nwhen it has ended: {order.line('ablate')}")


def preview(order: executor.Order) -> str:
    """Return the manifest.

    Raises:
        UserError: see `jobsets.check`.
    """
    engine = order.settings.get("engine", "argo")
    if engine not in ENGINES:
        raise errors.UserError(f"--setting engine={engine!r} is unknown; it is one of {', '.join(ENGINES)}")
    if engine == "jobset" and order.fail_fast:
        raise errors.UserError(
            "--fail-fast needs Argo, because workers share no state; drop --setting engine"
        )
    jobsets.check(order, _SETTINGS)
    prefix = order.settings.get("name", "prismlab")
    if engine == "argo":
        return manifest.text(workflow(order, prefix))
    words = order.words("worker", program=("prismlab",))
    # A worker may get any unit, so each has the slice of the unit that states most.
    most = max((unit.reserve for unit in order.graph), key=lambda each: each.chips, default=None)
    documents = [
        jobsets.jobset(
            order,
            words,
            most or resources.Resources(),
            {"generateName": f"{prefix}-{number}-"},
            failing=(exits.DIVERGED,),
        )
        for number in range(order.jobs or JOBS)
    ]
    return manifest.text(*documents)


def workflow(order: executor.Order, prefix: str) -> dict[str, Any]:
    """Return the Argo Workflow: a graph of steps, each of which creates and follows the JobSet of one unit.

    Args:
        order: the units and settings.
        prefix: first part of the names of workflow and JobSets.
    """
    steps = {unit.name: _name(unit.name) for unit in order.graph}
    tasks = []
    for unit in order.graph:
        needs = [steps[name] for name in order.parents(unit)]
        tasks.append({"name": steps[unit.name], "template": steps[unit.name]})
        if needs:
            tasks[-1]["depends"] = " && ".join(needs)
    spec: dict[str, Any] = {"entrypoint": "units"}
    if "workflow_account" in order.settings:
        spec["serviceAccountName"] = manifest.Quoted(order.settings["workflow_account"])
    if order.jobs is not None:
        spec["parallelism"] = order.jobs
    graph = {"name": "units", "dag": {"failFast": order.fail_fast, "tasks": tasks}}
    spec["templates"] = [graph, *(_step(order, unit, prefix) for unit in order.graph)]
    namespace = manifest.Quoted(order.settings.get("namespace", "default"))
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": f"{prefix}-", "namespace": namespace},
        "spec": spec,
    }


def _step(order: executor.Order, unit: units.Unit, prefix: str) -> dict[str, Any]:
    metadata = {
        "generateName": f"{prefix}-{unit.name.rpartition('-')[2][:8]}-",
        "annotations": {"prismlab/unit": manifest.Quoted(unit.name)},
    }
    words = order.words("run-unit", unit.name, program=("prismlab",))
    # Argo replaces {{...}} in the manifest; all texts of the user in it are quoted, where \u007b is a brace.
    text = manifest.text(jobsets.jobset(order, words, unit.reserve, metadata)).replace("{{", "{\\u007b")
    return {
        "name": _name(unit.name),
        "resource": {
            "action": "create",
            "setOwnerReference": True,
            "successCondition": "status.terminalState == Completed",
            "failureCondition": "status.terminalState == Failed",
            "manifest": text,
        },
    }


def _name(unit: str) -> str:
    """Return the name of a step; names of stages may contain characters that Argo does not allow."""
    return re.sub(r"[^a-z0-9-]", "-", unit)
