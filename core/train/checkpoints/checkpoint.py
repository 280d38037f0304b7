"""Asynchronous, atomic checkpoints of a stage, with Orbax.

A checkpoint has three items: `learner` (weights, for later stages), `optimizer` (state needed only to
resume this stage) and `meta` (JSON: step, configuration address, shapes). Orbax writes to a temporary
folder and renames it (in a bucket it writes a commit marker last), so an interrupted save leaves the
previous checkpoint intact.
"""

from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from jax.sharding import Mesh, NamedSharding

from prismlab.core import errors, trees
from prismlab.core.io import buckets, filesystem
from prismlab.core.parallel import sharding
from prismlab.core.train.checkpoints import checkpoint_items, checksums, retention
from prismlab.core.train.steps import step

ENCODER = "encoder"  # in `meta`: `recipe.Stage.encoder` of the stage, if it is set
CHECKSUMS = "checksums"  # in `meta`: item -> path -> checksum (`checksums.of`)


def _nested(arrays: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = traverse_util.unflatten_dict(arrays, sep="/")
    return tree


class Checkpoints:
    """The checkpoints of one stage directory; only the holder of its lease opens them.

    Args:
        directory: created if missing; the first save removes what interrupted saves have left in it.
        keep: number of latest checkpoints to keep.

    Attributes:
        newest: step of the newest checkpoint, also while it is being written; None without one.
    """

    def __init__(self, directory: filesystem.Path, keep: int = 2):
        self.directory = filesystem.absolute(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._policy = retention.Newest(keep)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy, create=True, cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(self.directory, options=options)
        self.newest = self.latest()

    @property
    def protected(self) -> int | None:
        """Step of the checkpoint that is kept however many follow, or None."""
        return self._policy.protected

    def protect(self, at: int | None) -> None:
        """Keep the checkpoint of a step until another is protected; None protects none."""
        self._policy.protected = at

    def latest(self) -> int | None:
        """Return the step of the newest complete checkpoint, or None."""
        at: int | None = self._manager.latest_step()
        return at

    def save(self, state: step.TrainState, meta: dict[str, Any]) -> None:
        """Start an asynchronous save; arrays are copied before this returns, files are written later.

        Args:
            state: the state; it may be donated to the next step afterwards.
            meta: JSON values stored with it.

        Raises:
            UserError: this or an earlier save failed (disk full, no permission).
        """
        rest = {"opt_state": state.opt_state, "key": jax.random.key_data(state.key), "step": state.step}
        at = int(state.step)
        items = {"learner": trees.flatten(state.learner), "optimizer": trees.flatten(rest)}
        sums = {item: checksums.of(arrays) for item, arrays in items.items()}
        try:
            self._manager.save(
                at,
                args=ocp.args.Composite(
                    **{item: ocp.args.StandardSave(_nested(arrays)) for item, arrays in items.items()},
                    meta=ocp.args.JsonSave({"step": at, **meta, CHECKSUMS: sums}),
                ),
            )
        except (OSError, ValueError) as error:
            raise self._failed(error) from error
        self.newest = at

    def wait(self) -> None:
        """Wait until all saves are on disk.

        Raises:
            UserError: a save failed.
        """
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except (OSError, ValueError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> errors.UserError:
        reason = " ".join(str(error).split())[:300]
        if filesystem.is_remote(self.directory):
            return buckets.Unreachable(
                f"cannot save a checkpoint under {self.directory}: {reason}; when the bucket is "
                "writable again, run the same command to continue from the last complete one"
            )
        left, advice = newest(self.directory), "free some space"
        if left != self.latest() or isinstance(error, FileNotFoundError):
            advice = "find out what deleted files there"
        return errors.UserError(
            f"cannot save a checkpoint under {self.directory}: {reason}; the last complete one is step "
            f"{left}; {advice} and run the same command again"
        )

    def restore(
        self, like: step.TrainState, mesh: Mesh | None = None, rules: sharding.Rules | None = None
    ) -> tuple[step.TrainState, dict[str, Any]]:
        """Restore the newest checkpoint into the structure of a given state.

        The devices, the mesh and the number of processes may differ from those it was saved with; each
        device reads its own part.

        Args:
            like: a state of the same structure, such as the result of step.init.
            mesh: device mesh to restore on; None uses the shardings of `like`.
            rules: sharding rules; the defaults if None.

        Returns:
            The state, and the JSON values stored with it.

        Raises:
            UserError: there is no complete checkpoint, or it does not match `like`.
        """
        at = self.latest()
        if at is None:
            raise errors.UserError(f"no complete checkpoint under {self.directory}")
        rest = {"opt_state": like.opt_state, "key": jax.random.key_data(like.key), "step": like.step}
        wanted = {"learner": trees.flatten(like.learner), "optimizer": trees.flatten(rest)}
        specs = {} if mesh is None else sharding.specs(like, dict(mesh.shape), rules or sharding.Rules())

        def struct(item: str, name: str, leaf: Any) -> jax.ShapeDtypeStruct:
            path = f"learner/{name}" if item == "learner" else name
            where = leaf.sharding if mesh is None else NamedSharding(mesh, specs[path])
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)

        def abstract(item: str, arrays: dict[str, Any]) -> dict[str, Any]:
            return _nested({name: struct(item, name, leaf) for name, leaf in arrays.items()})

        try:
            found = self._manager.restore(
                at,
                args=ocp.args.Composite(
                    **{
                        item: ocp.args.StandardRestore(abstract(item, arrays))
                        for item, arrays in wanted.items()
                    },
                    meta=ocp.args.JsonRestore(),
                ),
            )
        except Exception as error:
            raise checkpoint_items.unreadable(self.directory / str(at), error) from error
        meta = dict(found["meta"])
        sums = meta.pop(CHECKSUMS, {})
        for item in wanted:
            checksums.check(checkpoint_items.flat(found[item]), sums.get(item), str(self.directory / str(at)))
        tree = trees.replace(like.learner, checkpoint_items.flat(found["learner"]))
        rest = trees.replace(rest, checkpoint_items.flat(found["optimizer"]))
        key = jax.random.wrap_key_data(rest["key"])
        return step.TrainState(rest["step"], tree, rest["opt_state"], key), meta

    def close(self) -> None:
        """Wait until all saves are on disk, and release the threads of the manager.

        Raises:
            UserError: a save failed.
        """
        try:
            self.wait()
        finally:
            self._manager.close()


def newest(directory: filesystem.Path) -> int | None:
    """Return the step of the newest complete checkpoint in a directory, or None, without opening it."""
    return max(checkpoint_items.steps(directory), default=None)


def read_learner(directory: filesystem.Path) -> tuple[int, dict[str, np.ndarray]]:
    """Read the learner arrays of the newest complete checkpoint as numpy arrays.

    Args:
        directory: a stage's checkpoint directory.

    Returns:
        The step, and a dict path -> array.

    Raises:
        UserError: the checkpoint is missing, incomplete or damaged.
    """
    return read_with_meta(directory)[:2]


def read_with_meta(directory: filesystem.Path) -> tuple[int, dict[str, np.ndarray], dict[str, Any]]:
    """Read what `read_learner` reads, and the JSON values stored with it."""
    at = newest(directory)
    if at is None:
        raise errors.UserError(
            f"no complete checkpoint under {directory}; train the stage that writes it first"
        )
    found, meta = checkpoint_items.read_items(directory, at, ("learner",))
    arrays = found["learner"]
    sums = meta.get(CHECKSUMS, {}).get("learner")
    checksums.check(arrays, sums, str(filesystem.absolute(directory) / str(at)))
    return at, arrays, meta


def adopt(tree: Any, arrays: dict[str, np.ndarray], source: str) -> tuple[Any, int]:
    """Copy arrays with matching paths into a tree; all other arrays are kept.

    Args:
        tree: a learner, or a dictionary of towers; arrays that are copied may be shapes in it.
        arrays: path -> array, from read_learner.
        source: name of the arrays in error messages.

    Returns:
        The tree, and the number of arrays that were copied.

    Raises:
        UserError: no tower matches, or an array of the same path has another shape.
    """
    own = trees.flatten(tree)
    shared = sorted(own.keys() & arrays.keys())
    wrong = [
        f"{n}: expected {own[n].shape}, got {arrays[n].shape}"
        for n in shared
        if own[n].shape != arrays[n].shape
    ]
    if wrong:
        listed = "; ".join(wrong[:8]) + (f"; and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        raise errors.UserError(f"{source} has other shapes: {listed}; use the same sizes in both stages")
    if not any(name.startswith("towers/") for name in shared):
        raise errors.UserError(f"{source} has no tower in common with this stage; use another checkpoint")
    taken = {name: jax.numpy.asarray(arrays[name], own[name].dtype) for name in shared}
    return trees.replace(tree, taken), len(shared)
