"""Versions of installed packages that take part in a result; recorded beside it, not part of its address."""

import functools
import importlib.metadata
import platform

PACKAGES = ("jax", "jaxlib", "numpy", "optax", "equinox", "av", "sentencepiece", "grain")


@functools.cache
def versions() -> dict[str, str]:
    """Return package -> version, with that of Python."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
