"""Host-memory helpers for a learner: initialise it on the CPU, compute the digest of its parameters."""

import contextlib

import jax
from jax.experimental import multihost_utils

from prismlab.core import trees
from prismlab.core.train import learner


def digest_of(tree: learner.Learner) -> str:
    """Return the sha256 of a learner's parameters; collective: every process must call it."""
    if jax.process_count() == 1:
        return trees.digest({name: jax.device_get(leaf) for name, leaf in trees.flatten(tree).items()})
    gather = multihost_utils.process_allgather
    return trees.digest({name: gather(leaf, tiled=True) for name, leaf in trees.flatten(tree).items()})


def on_host() -> contextlib.AbstractContextManager:
    """Return a context that creates arrays in host memory, since the state may not fit one device."""
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS excludes the CPU: use the first device
        return contextlib.nullcontext()
