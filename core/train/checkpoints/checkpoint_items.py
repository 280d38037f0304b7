"""Read the items of one checkpoint as numpy arrays, without its optimizer, mesh or training state."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util

from prismlab.core import errors
from prismlab.core.io import buckets, filesystem


def flat(tree: dict[str, Any]) -> dict[str, Any]:
    """Return path -> array of a nested tree."""
    arrays: dict[str, Any] = traverse_util.flatten_dict(tree, sep="/")
    return arrays


def _alone() -> dict[str, Any]:
    """Return Orbax options that let one process read without barriers with the others."""
    if jax.process_count() == 1:
        return {}
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"alone{own}"
    )
    return {"multiprocessing_options": options}


def unreadable(path: filesystem.Path, error: Exception) -> errors.UserError:
    """Return the UserError for a checkpoint that is damaged or has other shapes."""
    reason = " ".join(str(error).split())[:300]
    if filesystem.is_remote(path):
        return buckets.Unreachable(
            f"checkpoint {path} cannot be read ({reason}); try again; if that fails, it is damaged or "
            "was written for other shapes"
        )
    return errors.UserError(
        f"checkpoint {path} cannot be read: it is damaged or was written for other shapes ({reason}); "
        "delete that folder to fall back to the previous one, or use the configuration that wrote it"
    )


def steps(directory: filesystem.Path) -> list[int]:
    """Return the steps of the complete checkpoints in a directory, ascending, without opening it."""
    found = sorted(int(path.name) for path in directory.glob("*") if path.name.isdigit())
    whole = filesystem.absolute(directory)
    return [at for at in found if ocp.path.step.is_checkpoint_finalized(whole / str(at))]


def read_items(
    directory: filesystem.Path, at: int, items: Sequence[str]
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    """Read items of one complete checkpoint as numpy arrays, without comparing them with their checksums.

    Args:
        directory: a stage's checkpoint directory.
        at: step of the checkpoint.
        items: of "learner" and "optimizer".

    Returns:
        item -> path -> array, and the JSON values stored with them, which include `CHECKSUMS`.

    Raises:
        UserError: the checkpoint is missing, incomplete or damaged.
    """
    whole = filesystem.absolute(directory) / str(at)
    found = {}
    path = whole
    try:
        for item in items:
            path = whole / item
            with ocp.StandardCheckpointer(**_alone()) as reader:
                shapes = reader.metadata(path).item_metadata.tree
                on_host = jax.tree.map(
                    lambda m: jax.ShapeDtypeStruct(
                        m.shape, m.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
                    ),
                    shapes,
                )
                arrays = flat(reader.restore(path, on_host))
            found[item] = {name: np.asarray(value) for name, value in arrays.items()}
        with ocp.Checkpointer(ocp.JsonCheckpointHandler(), **_alone()) as reader:
            meta = reader.restore(whole / "meta")
    except Exception as error:
        raise unreadable(path, error) from error
    return found, dict(meta)
