"""Released models by name: for commands, and in gin files as init_from, as teacher and as towers.

A model is named by its preset ("videoprism_public_v1_base"), or by the path of a .json file that holds
`kind` and the release's own field names (see core/weights/released.py), for weights of a size of your own.
"""

import dataclasses
import functools
import json
import pathlib
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PRNGKeyArray

from prismlab.core import errors, keys, trees
from prismlab.core.towers import video, video_encoder
from prismlab.core.weights import released


def configuration(model: str) -> str | dict[str, Any]:
    """Return what `released.build` takes: the name itself, or the mapping in a .json file.

    Args:
        model: preset, or path ending in .json.

    Raises:
        UserError: the file is missing or holds no mapping.
    """
    if not model.endswith(".json"):
        return model
    try:
        read = json.loads(pathlib.Path(model).expanduser().read_text())
    except (OSError, ValueError) as error:
        raise errors.UserError(f"released model {model}: wanted JSON, got '{error}'") from error
    if not isinstance(read, dict):
        raise errors.UserError(f"released model {model}: wanted a JSON object with `kind` and sizes")
    return read


def load(model: str, weights: str | None) -> released.Model:
    """Return a released model with the weights of a file, or with random ones.

    Args:
        model: see `configuration`.
        weights: path of the weights; None draws them, the same ones each time.

    Raises:
        UserError: an unknown model; a file that is missing, damaged or of another model.
    """
    config = configuration(model)
    if weights is None:
        return released.build(config, key=keys.seeded(0, "random weights"))
    return released.load(config, pathlib.Path(weights).expanduser())


def tower_of(model: released.Model) -> video.VideoTower:
    """Return a model's video tower; a bare encoder becomes a tower without a pooler."""
    if not isinstance(model, video_encoder.FactorizedVideoEncoder):
        return model.video
    return video.VideoTower(lambda key: model, use_pooler=False, key=keys.seeded(0))


def towers_of(model: released.Model) -> dict[str, Any]:
    """Return a model's towers by the names that stages use."""
    towers: dict[str, Any] = {"video": tower_of(model)}
    if isinstance(model, released.VideoText):
        towers["text"] = model.text
    return towers


def video_tower(*, model: str, use_pooler: bool = True, key: PRNGKeyArray) -> video.VideoTower:
    """Build the video tower of a released model with fresh weights, for recipe.Stage.towers.

    Args:
        model: see `configuration`.
        use_pooler: False leaves pooler and auxiliary layers out, as stage 2 has it.
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
    """Released weights where a stage's name may stand: recipe.Stage.init_from and recipe.Stage.teacher.

    Args:
        model: see `configuration`.
        weights: path of the file with the weights.
    """

    model: str
    weights: str

    def __str__(self) -> str:
        return f"{self.model} ({pathlib.Path(self.weights).name})"

    def towers(self) -> dict[str, Any]:
        """Read the towers from the file."""
        return towers_of(load(self.model, self.weights))

    def arrays(self) -> dict[str, np.ndarray]:
        """Read the arrays by the paths that a checkpoint of a stage would give them."""
        return {name: np.asarray(leaf) for name, leaf in trees.flatten({"towers": self.towers()}).items()}

    def abstract(self) -> dict[str, Any]:
        """Return the towers by shape only."""
        config = configuration(self.model)
        built = eqx.filter_eval_shape(lambda: released.build(config, key=keys.seeded(0, "shapes")))
        return towers_of(built)

    def digest(self) -> str:
        """Return the sha256 of the arrays: one for the same weights, in whatever layout they are kept.

        Raises:
            UserError: the file is missing, damaged or of another model.
        """
        path = pathlib.Path(self.weights).expanduser()
        changed = path.stat().st_mtime_ns if path.exists() else 0
        return _digest(self, changed)


@functools.lru_cache(maxsize=16)
def _digest(which: Released, changed: int) -> str:
    del changed  # a file written anew is read anew
    return trees.digest(which.arrays())
