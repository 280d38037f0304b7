"""Launch workers as JobSets on GKE, each on its own TPU slice; writes a manifest for `kubectl apply -f`.

Every worker is a separate JobSet: GKE would join the slices of one JobSet into one multislice run, and the
loss of one slice would restart all.

Source of labels, resources and hosts per slice: cloud.google.com/kubernetes-engine/docs, TPU pages.
"""

import json
import re
import shlex

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.experiments import console, exits
from prismlab.experiments.launch import executor
from prismlab.experiments.plan import topology

ACCELERATOR = {"v5e": "tpu-v5-lite-podslice", "v5p": "tpu-v5p-slice", "v6e": "tpu-v6e-slice"}
JOBS = 2  # workers, where --jobs does not say
CHIPS_PER_HOST = 4  # in multi-host slices; up to 8 chips of v5e or v6e share one host
NEEDED, OPTIONAL = ("image", "topology"), ("name", "namespace", "restarts", "service_account")
DISK = ("claim", "mount")  # settings of a shared disk; unused with a bucket
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


_DISK = """\
              volumeMounts:
              - name: work
                mountPath: {mount}
            volumes:
            - name: work
              persistentVolumeClaim:
                claimName: {claim}
"""


def run(order: executor.Order) -> None:
    """Write the manifest to the work directory and print how to start the workers."""
    path = order.workdir / "jobset.yaml"
    filesystem.write_atomic(path, preview(order).encode())
    name = shlex.quote(str(path))
    start = f"gcloud storage cat {name} | kubectl apply -f -"
    if not filesystem.is_remote(path):
        start = f"kubectl apply -f {name}"
    console.write(f"written: {path}\nstart the workers with: {start}")


def preview(order: executor.Order) -> str:
    """Return the manifest: one JobSet per worker, with one process per host of its slice.

    Raises:
        UserError: a setting is missing, unknown or unused, or the topology is not a TPU slice.
    """
    in_bucket = filesystem.is_remote(order.workdir)
    known = (*NEEDED, *OPTIONAL, *(() if in_bucket else DISK))
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
        f"--setting {name}={order.settings[name]!r} must consist of a-z, 0-9 and -, starting with a letter"
        for name in ("name", "namespace", "claim", "service_account")
        if name in order.settings and not re.fullmatch(r"[a-z][a-z0-9-]{0,52}", order.settings[name])
    ]
    if not str(order.settings.get("restarts", "1")).isdigit():
        faults.append(f"--setting restarts={order.settings['restarts']!r} must be an integer")
    if faults:
        raise errors.UserError("\n".join(faults))
    return "---\n".join(_worker(order, number) for number in range(order.jobs or JOBS))


def _worker(order: executor.Order, number: int) -> str:
    where, hosts = slice_of(order)
    text = {name: _quoted(value) for name, value in order.settings.items()}
    disk = account = ""
    if not filesystem.is_remote(order.workdir):
        disk = _DISK.format(mount=text.get("mount", _quoted("/work")), claim=text["claim"])
    if "service_account" in text:
        account = f"            serviceAccountName: {text['service_account']}\n"
    return f"""\
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {_quoted(f"{order.settings.get('name', 'prismlab')}-{number}")}
  namespace: {text.get("namespace", '"default"')}
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: {order.settings.get("restarts", "20")}
    rules:
    - action: FailJobSet
      onJobFailureReasons: ["PodFailurePolicy"]
  replicatedJobs:
  - name: worker
    replicas: 1
    template:
      spec:
        parallelism: {hosts}
        completions: {hosts}
        backoffLimit: 0
        completionMode: Indexed
        podFailurePolicy:
          rules:
          # Only failed units are left; a restart would not help.
          - action: FailJob
            onExitCodes:
              containerName: prismlab
              operator: In
              values: [{exits.DIVERGED}]
        template:
          spec:
            restartPolicy: Never
{account}            terminationGracePeriodSeconds: 120
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: {ACCELERATOR[where.chip.name]}
              cloud.google.com/gke-tpu-topology: {where.shape}
            containers:
            - name: prismlab
              image: {text["image"]}
              command: {_command(order)}
              ports:
              - containerPort: 8471
              - containerPort: 8080
              resources:
                limits:
                  google.com/tpu: {where.count // hosts}
{disk}"""


def _quoted(value: str) -> str:
    """Return a string for the manifest: quoted as JSON, which is valid YAML, it stays one value.

    Only characters that YAML does not allow are escaped: JSON escapes one beyond U+FFFF as two halves, which
    YAML does not join.
    """
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _command(order: executor.Order) -> str:
    """Return the command of the container; Kubernetes expands $(NAME) in it, and reads $$ as $."""
    words = (_quoted(word.replace("$", "$$")) for word in order.words("worker", program=("prismlab",)))
    return f"[{', '.join(words)}]"


def slice_of(order: executor.Order) -> tuple[topology.Topology, int]:
    """Return the TPU slice of each worker and its number of hosts.

    Raises:
        UserError: the topology is unknown or not a TPU slice.
    """
    where = topology.parse(order.settings["topology"])
    if where.chip.name not in ACCELERATOR:
        raise errors.UserError(f"--launcher gke needs a TPU slice, got topology={where.text}")
    single = where.chip.name in ("v5e", "v6e") and where.count <= 8
    return where, 1 if single else max(1, where.count // CHIPS_PER_HOST)
