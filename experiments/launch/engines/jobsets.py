"""JobSets on GKE, each on a TPU slice of its own.

The slices of one JobSet would be joined into one multislice run, and the loss of one would restart all.

Source of labels, resources and hosts per slice: cloud.google.com/kubernetes-engine/docs, TPU pages; of the
fields: jobset.sigs.k8s.io, API v1alpha2; of the label of the queue: kueue.sigs.k8s.io/docs/tasks/run/jobsets.
"""

import re
from collections.abc import Sequence
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments import exits
from prismlab.experiments.launch import executor
from prismlab.experiments.launch.engines import manifest
from prismlab.experiments.plan import topology
from prismlab.experiments.recipe import resources

ACCELERATOR = {"v5e": "tpu-v5-lite-podslice", "v5p": "tpu-v5p-slice", "v6e": "tpu-v6e-slice"}
CHIPS_PER_HOST = 4  # in multi-host slices; up to 8 chips of v5e or v6e share one host
NEEDED = ("image", "topology")
OPTIONAL = ("name", "namespace", "restarts", "service_account", "queue")
DISK = ("claim", "mount")  # settings of a shared disk; unused with a bucket
QUEUE = "kueue.x-k8s.io/queue-name"


def check(order: executor.Order, also: Sequence[str] = ()) -> None:
    """Check the settings and that each unit has a slice.

    Args:
        order: the units and settings.
        also: further names of settings.

    Raises:
        UserError: a setting is missing, unknown or unused, a topology is not a TPU slice, or a unit states
            more chips than the largest slice has.
    """
    in_bucket = filesystem.is_remote(order.workdir)
    known = (*NEEDED, *OPTIONAL, *also, *(() if in_bucket else DISK))
    needed = NEEDED if in_bucket else (*NEEDED, "claim")
    faults = [f"--setting {name}=... is needed" for name in needed if name not in order.settings]
    faults += [
        f"--setting {name} is not allowed with a work directory in a bucket"
        if name in DISK
        else f"--setting {name!r} is unknown; known settings: {', '.join(known)}"
        for name in order.settings
        if name not in known
    ]
    faults += [
        f"--setting {name}={order.settings[name]!r} must consist of a-z, 0-9 and -, starting with a letter, "
        "at most 30 characters"
        for name in ("name", "namespace", "claim", "service_account", "workflow_account", "queue")
        if name in order.settings and not re.fullmatch(r"[a-z][a-z0-9-]{0,29}", order.settings[name])
    ]
    if not str(order.settings.get("restarts", "1")).isdigit():
        faults.append(f"--setting restarts={order.settings['restarts']!r} must be an integer")
    if faults:
        raise errors.UserError("\n".join(faults))
    for unit in order.graph:
        if slice_for(order, unit.reserve) is None:
            largest = max(slices(order), key=lambda each: each.count)
            raise errors.UserError(
                f"{unit.told} needs {unit.reserve.chips} chips, but the largest slice of "
                f"--setting topology={order.settings['topology']} has {largest.count}; name a larger one"
            )
    slices(order)


def slices(order: executor.Order) -> list[topology.Topology]:
    """Return the slices that the setting `topology` names.

    Raises:
        UserError: a topology is unknown or not a TPU slice.
    """
    found = topology.parse_all(order.settings["topology"])
    for each in found:
        if each.chip.name not in ACCELERATOR:
            raise errors.UserError(f"--launcher gke needs a TPU slice, got topology={each.text}")
    return found


def slice_for(order: executor.Order, reserve: resources.Resources) -> topology.Topology | None:
    """Return the smallest slice with the stated chips (None if there is none), or the first of all."""
    found = slices(order)
    if not reserve.chips:
        return found[0]
    return min(
        (each for each in found if each.count >= reserve.chips), key=lambda each: each.count, default=None
    )


def hosts_of(where: topology.Topology) -> int:
    """Return the number of hosts of a slice."""
    single = where.chip.name in ("v5e", "v6e") and where.count <= 8
    return 1 if single else max(1, where.count // CHIPS_PER_HOST)


def jobset(
    order: executor.Order,
    words: Sequence[str],
    reserve: resources.Resources,
    metadata: dict[str, Any],
    failing: tuple[int, ...] = (exits.USER_ERROR, exits.DIVERGED),
) -> dict[str, Any]:
    """Return a JobSet that runs one command on one slice, with a process on each host.

    A process that is killed or interrupted (exit code 75) is started again.

    Args:
        order: has the settings.
        words: the command.
        reserve: what it states.
        metadata: name or generateName, and annotations.
        failing: exit codes after which a restart would not help.
    """
    where = slice_for(order, reserve) or slices(order)[0]
    hosts = hosts_of(where)
    settings = {name: manifest.Quoted(value) for name, value in order.settings.items()}
    requests: dict[str, Any] = {"google.com/tpu": where.count // hosts}
    if reserve.cores:
        requests["cpu"] = reserve.cores
    if reserve.memory_gigabytes:
        requests["memory"] = f"{round(1024 * reserve.memory_gigabytes)}Mi"
    container: dict[str, Any] = {
        "name": "prismlab",
        "image": settings["image"],
        "command": manifest.command(words),
        "ports": [{"containerPort": 8471}, {"containerPort": 8080}],
        "resources": {"requests": requests, "limits": {"google.com/tpu": where.count // hosts}},
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 120,
        "nodeSelector": {
            "cloud.google.com/gke-tpu-accelerator": ACCELERATOR[where.chip.name],
            "cloud.google.com/gke-tpu-topology": where.shape,
        },
        "containers": [container],
    }
    if "service_account" in settings:
        pod["serviceAccountName"] = settings["service_account"]
    if "claim" in settings:
        mount = settings.get("mount", manifest.Quoted("/work"))
        container["volumeMounts"] = [{"name": "work", "mountPath": mount}]
        pod["volumes"] = [{"name": "work", "persistentVolumeClaim": {"claimName": settings["claim"]}}]
    failed = {"containerName": "prismlab", "operator": "In", "values": list(failing)}
    job = {
        "parallelism": hosts,
        "completions": hosts,
        "backoffLimit": 0,
        "completionMode": "Indexed",
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": failed}]},
        "template": {"spec": pod},
    }
    annotations = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
    labels = {"labels": {QUEUE: settings["queue"]}} if "queue" in settings else {}
    failure = {
        "maxRestarts": int(order.settings.get("restarts", "20")),
        "rules": [{"name": "failed", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}],
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            **metadata,
            "namespace": settings.get("namespace", "default"),
            "annotations": {**metadata.get("annotations", {}), **annotations},
            **labels,
        },
        "spec": {
            "failurePolicy": failure,
            "replicatedJobs": [{"name": "worker", "replicas": 1, "template": {"spec": job}}],
        },
    }
