"""Load released models, for commands and as init_from, teacher or towers in gin files.

A model is specified by a preset ("videoprism_public_v1_base") or, for custom sizes, by the path of a .json
file with `kind` and the field names of the release (see core/weights/released.py).
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PRNGKeyArray

from prismlab.core import errors, keys, trees, types
from prismlab.core.io import user_paths
from prismlab.core.towers import video, video_encoder
from prismlab.core.weights import released


def configuration(model: str) -> str | dict[str, Any]:
    """Return the argument of `released.build`: a preset name, or the mapping in a .json file.

    Args:
        model: preset, or path ending in .json.

    Raises:
        UserError: the file is missing or is not a JSON object.
    """
    if not model.endswith(".json"):
        return model
    try:
        read = json.loads(user_paths.local(model).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.UserError(f"released model {model}: expected JSON, got '{error}'") from error
    if not isinstance(read, dict):
        raise errors.UserError(f"released model {model}: expected a JSON object with `kind` and sizes")
    return read


def load(model: str, weights: str | None) -> released.Model:
    """Return a released model with weights from a file, or with random weights.

    Args:
        model: see `configuration`.
        weights: path of the weights; None initializes them randomly with a fixed seed.

    Raises:
        UserError: the model is unknown, or the file is missing, damaged or belongs to another model.
    """
    config = configuration(model)
    if weights is None:
        return released.build(config, key=keys.seeded(0, "random weights"))
    return released.load(config, user_paths.local(weights))


def tower_of(model: Any) -> Any:
    """Return the tower of clips of a model; a bare encoder is wrapped in a tower without a pooler.

    Args:
        model: a released model, or a tower of clips, which is returned as it is.
    """
    if isinstance(model, released.VideoText | released.VideoClassifier):
        return model.video
    if isinstance(model, video_encoder.FactorizedVideoEncoder):
        return video.VideoTower(lambda key: model, use_pooler=False, key=keys.seeded(0))
    return model


def model_of(towers: Mapping[str, Any]) -> Any:
    """Return the model of a stage's towers; `tower_of` and `towers_of` are its inverse.

    Args:
        towers: name -> tower; that of clips is named "video", or is the only one that reads `video`, and
            likewise for captions.

    Returns:
        VideoText with a tower of captions and a pooler; the encoder alone without a pooler; otherwise the
        tower of clips.

    Raises:
        UserError: no tower, or several, read clips.
    """
    clips, captions = _reading(towers, "video"), _reading(towers, "text_ids")
    if clips is None:
        raise errors.UserError(
            f"expected one tower of clips, got towers {sorted(towers)}; name the one to use 'video'"
        )
    if getattr(clips, "pooler", True) is None:
        return clips.encoder if isinstance(clips, video.VideoTower) else clips
    return clips if captions is None else released.VideoText(clips, captions)


def _reading(towers: Mapping[str, Any], field: str) -> Any:
    found = {name: tower for name, tower in towers.items() if field in tower.inputs}
    usual = {"video": "video", "text_ids": "text"}[field]
    return found.get(usual, next(iter(found.values())) if len(found) == 1 else None)


def towers_of(model: released.Model) -> dict[str, types.Tower]:
    """Return tower name -> tower of a model, with the names that stages use."""
    towers: dict[str, types.Tower] = {"video": tower_of(model)}
    if isinstance(model, released.VideoText):
        towers["text"] = model.text
    return towers


def video_tower(*, model: str, use_pooler: bool = True, key: PRNGKeyArray) -> video.VideoTower:
    """Build the video tower of a released model with fresh weights, for recipe.Stage.towers.

    Args:
        model: see `configuration`.
        use_pooler: False drops the pooler and auxiliary layers, as in stage 2.
        key: a typed JAX key.
    """
    tower = tower_of(released.build(configuration(model), key=key))
    if use_pooler:
        return tower
    return tower_of(tower.encoder)


def text_tower(*, model: str, key: PRNGKeyArray) -> Any:
    """Build the text tower of a released video-text model with fresh weights, for recipe.Stage.towers.

    Args:
        model: see `configuration`.
        key: a typed JAX key.

    Raises:
        UserError: the model has no text tower.
    """
    built = released.build(configuration(model), key=key)
    if not isinstance(built, released.VideoText):
        raise errors.UserError(f"released model {model} has no text tower; name a video-text model (lvt)")
    return built.text


@dataclasses.dataclass(frozen=True)
class Released:
    """Released weights for recipe.Stage.init_from or recipe.Stage.teacher, in place of the name of a stage.

    Args:
        model: see `configuration`.
        weights: path of the weights.
    """

    model: str
    weights: str

    def __str__(self) -> str:
        return f"{self.model} ({pathlib.Path(self.weights).name})"

    def towers(self) -> dict[str, types.Tower]:
        """Return the towers with weights from the file."""
        return towers_of(load(self.model, self.weights))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return path -> array, with the paths of a stage checkpoint."""
        return {name: np.asarray(leaf) for name, leaf in trees.flatten({"towers": self.towers()}).items()}

    def abstract(self) -> dict[str, types.Tower]:
        """Return the abstract towers (shapes and dtypes)."""
        config = configuration(self.model)
        built = eqx.filter_eval_shape(lambda: released.build(config, key=keys.seeded(0, "shapes")))
        return towers_of(built)

    def digest(self) -> str:
        """Return the sha256 of the arrays; it does not depend on the weight format of the file.

        Raises:
            UserError: the file is missing, damaged or belongs to another model.
        """
        path = user_paths.local(self.weights)
        changed = path.stat().st_mtime_ns if path.exists() else 0
        return _digest(self, changed)


@functools.lru_cache(maxsize=16)
def _digest(which: Released, changed: int) -> str:
    del changed  # only a cache key: a modified file is read again
    return trees.digest(which.arrays())
