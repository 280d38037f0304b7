"""A stage's folder: whether the stage is finished, and its weights, checked against what it said at its end.

`done.json` is written last, with the last step and the digest of the parameters. It alone proves nothing: a
copy that was cut short or a tidied folder may lack the last checkpoint.
"""

import dataclasses
import json
from typing import Any

import numpy as np

from prismlab.core import errors, trees
from prismlab.core.io import checked_json, filesystem
from prismlab.core.train import moving_average
from prismlab.core.train.checkpoints import checkpoint

DONE = "done.json"
MOST_BYTES = 2**29  # of a JSON file, which another user may have written


@dataclasses.dataclass(frozen=True)
class Finished:
    """Content of done.json.

    Args:
        step: last step of the stage.
        digest: `trees.digest` of the learner's arrays.
    """

    step: int
    digest: str


def left_of(folder: filesystem.Path) -> str | None:
    """Return what is left to do of a stage.

    Args:
        folder: the stage's folder; may be missing.

    Returns:
        None if it is finished and its last checkpoint is there; "" if it was not finished; a message if
        done.json says that it was finished, but its last checkpoint is missing.
    """
    ended = _ended(folder)
    if ended is None:
        return ""
    at = checkpoint.newest(folder / "checkpoints")
    if at == ended.step:
        return None
    rest = "no checkpoint is left, so it is trained again" if at is None else f"training resumes at step {at}"
    return f"{DONE} says step {ended.step}, but that checkpoint is missing; {rest}"


def read(folder: filesystem.Path) -> tuple[int, dict[str, np.ndarray]]:
    """Read the learner of a stage's newest checkpoint; if the stage is finished, check its step and digest.

    Args:
        folder: a stage's folder.

    Returns:
        Its step, and path -> array; the towers are those of the moving average that `recipe.Stage.encoder`
        names, if it is set.

    Raises:
        UserError: the checkpoint is missing, incomplete or damaged, even by a single byte, or it is not the
            last one of a finished stage.
    """
    ended = _ended(folder)
    at = checkpoint.newest(folder / "checkpoints")
    if ended is not None and at is not None and ended.step != at:
        raise errors.UserError(
            f"{folder / DONE} says step {ended.step}, but the newest checkpoint is step {at}: the last is "
            "missing; copy the stage's folder again, or run the command that trained it, which resumes there"
        )
    at, arrays, meta = checkpoint.read_with_meta(folder / "checkpoints")
    if ended is not None and ended.digest != trees.digest(arrays):
        raise errors.UserError(
            f"checkpoint {folder / 'checkpoints' / str(at)} does not match the digest in {folder / DONE}, so "
            "it is damaged; delete the stage's folder and run the same command to train it again"
        )
    return at, moving_average.read_arrays(arrays, meta.get(checkpoint.ENCODER))


def json_if_sound(path: filesystem.Path) -> Any:
    """Return the content of a JSON file; None if it is missing, damaged, too large or nested too deeply.

    Raises:
        UserError: the bucket request fails.
    """
    data = filesystem.read_if_exists(path, MOST_BYTES)
    if len(data) > MOST_BYTES:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    try:
        checked_json.check_depth(value)
    except RecursionError:
        return None
    return value


def _ended(folder: filesystem.Path) -> Finished | None:
    """Return the content of done.json; None (not finished) if it is missing or damaged."""
    found = json_if_sound(folder / DONE)
    if not isinstance(found, dict) or not {"step", "digest"} <= set(found):
        return None
    return Finished(found["step"], found["digest"])
