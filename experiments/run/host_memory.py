"""The learner in the memory of this host: where a state is first made, and the digest of what came out."""

import contextlib

import jax
from jax.experimental import multihost_utils

from prismlab.core import trees
from prismlab.core.train import learner


def digest_of(tree: learner.Learner) -> str:
    """Return the sha256 of a learner's parameters; where several processes hold them, all must ask."""
    if jax.process_count() == 1:
        return trees.digest({name: jax.device_get(leaf) for name, leaf in trees.flatten(tree).items()})
    gather = multihost_utils.process_allgather
    return trees.digest({name: gather(leaf, tiled=True) for name, leaf in trees.flatten(tree).items()})


def on_host() -> contextlib.AbstractContextManager:
    """Return the context in which a state is first made: host memory, since one device may not hold it."""
    if jax.default_backend() == "cpu":
        return contextlib.nullcontext()
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS leaves the CPU out: the first device has to hold it
        return contextlib.nullcontext()
