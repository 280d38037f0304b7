"""The environment of a result: compiler flags, versions, devices, and the state of the source code."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import platform
import re
import subprocess
from collections.abc import Mapping

import jax

from prismlab.core import code_fingerprint
from prismlab.core.parallel import cores
from prismlab.experiments.certificate import shareable

# Variables that select how programs are compiled and run. Places, addresses and logs are left out.
_NAMES = re.compile(r"XLA_FLAGS|LIBTPU_INIT_ARGS|JAX_\w+|TF_XLA_FLAGS|NVIDIA_TF32_OVERRIDE|OMP_NUM_THREADS")
_ASIDE = re.compile(r"CACHE|_DIR$|_PATH$|ADDRESS|COORDINATOR|PROCESS|LOG|DUMP|DEBUG|TRACE")
_FLAGS_ASIDE = ("--xla_dump", "--xla_force_host_platform_device_count")
_ROOT = pathlib.Path(code_fingerprint.__file__).resolve().parents[1]
_SECONDS = 20.0  # until git is given up
_LONGEST = 4000  # characters of a variable


@dataclasses.dataclass(frozen=True)
class Environment:
    """Where a result was computed.

    Args:
        variables: environment variables that select how programs are compiled and run; flags are sorted.
        versions: package -> version, with that of Python.
        device: kind of the devices, such as "TPU v5 lite" or "cpu".
        devices: number of devices, of all hosts.
        hosts: number of processes.
        processor: model of the host's processor.
        cores: number of its logical cores that the process may use.
        system: operating system and machine, such as "Linux x86_64".
        mesh: axis -> size; {} for a result that is not computed on a mesh.
    """

    variables: Mapping[str, str]
    versions: Mapping[str, str]
    device: str
    devices: int
    hosts: int
    processor: str
    cores: int
    system: str
    mesh: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Source:
    """State of the checkout; None where there is none.

    Args:
        commit: git commit.
        changes: sha256 of the difference of tracked files to it; None if there is none.
        untracked: number of files that git neither knows nor ignores.
        lock: sha256 of requirements.lock.
    """

    commit: str | None = None
    changes: str | None = None
    untracked: int = 0
    lock: str | None = None


def of_process(versions: Mapping[str, str], mesh: Mapping[str, int] | None = None) -> Environment:
    """Return the environment of this process.

    Args:
        versions: package -> version.
        mesh: axis -> size of the mesh that a result was computed on.
    """
    return Environment(
        variables(os.environ), dict(versions), jax.devices()[0].device_kind, jax.device_count(),
        jax.process_count(), _processor(), cores.count(), f"{platform.system()} {platform.machine()}",
        {name: int(size) for name, size in (mesh or {}).items()},
    )  # fmt: skip


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that select how programs are compiled and run, in shareable form.

    Args:
        environ: all environment variables.

    Returns:
        name -> value, sorted; flags in alphabetical order, without those that only write files.
    """
    found = {}
    for name in sorted(environ):
        if not _NAMES.fullmatch(name) or _ASIDE.search(name):
            continue
        value = environ[name]
        if "FLAGS" in name or name.endswith("_ARGS"):
            # The last of several flags of one name is in force.
            last = {flag.partition("=")[0]: flag for flag in value.split()}
            value = " ".join(sorted(each for each in last.values() if not each.startswith(_FLAGS_ASIDE)))
        if value:
            found[name] = shareable.text(value)[:_LONGEST]
    if jax.config.values.get("jax_disable_most_optimizations"):
        found["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "True"
    return found


@functools.cache
def source(root: pathlib.Path = _ROOT) -> Source:
    """Return the state of the checkout that holds the package; read once in a process.

    Args:
        root: folder of the package's rooms.
    """
    with contextlib.suppress(OSError):
        lock = hashlib.sha256((root / "requirements.lock").read_bytes()).hexdigest()
        return dataclasses.replace(_git(root), lock=lock)
    return _git(root)


def _git(root: pathlib.Path) -> Source:
    # An installed package may lie below the repository of another project.
    if _run(root, "ls-files", "--error-unmatch", "core/code_fingerprint.py") is None:
        return Source()
    commit = _run(root, "rev-parse", "HEAD")
    if commit is None:
        return Source()
    changed = _run(root, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-color") or b""
    untracked = _run(root, "ls-files", "--others", "--exclude-standard") or b""
    changes = hashlib.sha256(changed).hexdigest() if changed.strip() else None
    return Source(commit.decode("ascii", "replace").strip()[:64], changes, len(untracked.splitlines()))


def _run(root: pathlib.Path, *words: str) -> bytes | None:
    """Return the output of git, or None if it is missing, slow or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@functools.cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        if found:
            return found[1].strip()[:100]
    return platform.processor()[:100]
