"""JAX's persistent compilation cache in `$PRISMLAB_CACHE`: later runs of a recipe load compiled programs."""

import contextlib
import hashlib
import importlib.metadata
import math
import os
import pathlib
import platform

import jax

MAX_BYTES = 2 << 30  # in total, for all machines and versions that share the cache directory
MIN_SECONDS = 0.0  # each process compiles hundreds of tiny programs: 6 s of a stage, if none were stored


def enable(cache: pathlib.Path) -> pathlib.Path | None:
    """Enable the compilation cache in a subdirectory of `cache`; call before the first compilation.

    Does nothing if the user set JAX_COMPILATION_CACHE_DIR or JAX_ENABLE_COMPILATION_CACHE=false. A cache
    that is read-only for this user is read and not written.

    Args:
        cache: `work_directory.default_cache()`.

    Returns:
        The directory, or None if one of these environment variables is set or a read-only cache has none.
    """
    off = os.environ.get("JAX_ENABLE_COMPILATION_CACHE", "true").lower() in ("0", "false", "no", "off")
    if off or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return None
    directory = cache / "compiled" / machine()
    prune(cache / "compiled", MAX_BYTES)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    writable = os.access(directory, os.W_OK)
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS if writable else math.inf)
    return directory


def machine() -> str:
    """Return 16 hex digits for the processor, the versions of JAX and the XLA flags of this process.

    Compiled CPU programs depend on the processor's instruction set, and JAX's own cache key does not include
    all of these values, so each combination has its own directory.
    """
    processor = platform.processor() + platform.machine()
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        processor += "".join(sorted({line for line in lines if line.startswith(wanted)}))
    versions = [importlib.metadata.version(name) for name in ("jax", "jaxlib")]
    flags = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS", "JAX_PLATFORMS")]
    return hashlib.sha256(repr([processor, versions, flags]).encode()).hexdigest()[:16]


def prune(folder: pathlib.Path, max_bytes: int) -> None:
    """Delete the oldest files of a folder until its total size is within a limit.

    Args:
        folder: may be missing; other processes may delete the same files.
        max_bytes: maximum total size of the remaining files.
    """
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                found.append((path.stat().st_mtime, path.stat().st_size, path))
    size = sum(each[1] for each in found)
    for _, own, path in sorted(found, key=lambda each: each[0]):
        if size <= max_bytes:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        size -= own
