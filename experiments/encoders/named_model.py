"""The model that a command line or `prismlab.load` names: a stage, a weight file or a released model."""

import dataclasses
import os
from typing import Any

from prismlab.core import errors, setup
from prismlab.core.io import filesystem, user_paths
from prismlab.core.weights import release_config, release_models, released, weight_files
from prismlab.data.loader import tokenizer as tokenizer_module
from prismlab.experiments.encoders import frozen_encoder
from prismlab.experiments.released import released_weights, weights


@dataclasses.dataclass(frozen=True)
class NamedModel:
    """A model with its weights.

    Args:
        name: for messages and tables.
        model: a public model, or the tower of clips of a stage whose towers are of other classes.
        tokenizer: the tokenizer that a stage was trained with; None for a file or a released model.
    """

    name: str
    model: Any
    tokenizer: tokenizer_module.Tokenizer | None = None


def named(model: str, weight_file: str | None = None, *, random_weights: bool = False) -> NamedModel:
    """Return the model of a name.

    Args:
        model: a stage (`WORKDIR/stages/NAME`, or `WORKDIR/NAME`, see `frozen_encoder.find`); a weight file
            that says its sizes or fits one preset; or, with weights, a preset of `prismlab models` or a .json
            file of sizes.
        weight_file: weights of a preset or of a .json file.
        random_weights: draw the weights of a preset or of a .json file, always the same.

    Raises:
        UserError: there is no such model, its weights are missing, damaged or not needed.
    """
    is_preset = model in release_config.CONFIGS or model in release_config.ALIASES
    folder = None if is_preset else frozen_encoder.find(model, "--model")
    is_file = not is_preset and not model.endswith(".json") and user_paths.local(model).exists()
    if folder is None and not is_file:
        if weight_file is None and not random_weights:
            raise errors.UserError(
                f"{model} is neither a stage (WORKDIR/stages/NAME) nor a weight file; for a released model, "
                "give its weights too (--weights FILE, or --random-weights)"
            )
        return NamedModel(model, released_weights.load(model, weight_file))
    if weight_file is not None or random_weights:
        what = "a stage" if folder is not None else "a weight file"
        raise errors.UserError(f"{model} is {what} and has its own weights; leave out the weights")
    if folder is None:
        path = user_paths.local(model)
        return NamedModel(model, released.load(weights.configuration(path, None), path))
    encoder = frozen_encoder.of_stage(folder)
    return NamedModel(encoder.name, released_weights.model_of(encoder.towers), encoder.tokenizer)


def load(model: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None) -> Any:
    """Load a model by name: a stage of your own, a weight file, or a released model with its weights.

    Args:
        model: see `named`.
        weights: weight file of a preset or of a .json file of sizes; None with a stage or a weight file.

    Returns:
        `released.VideoText` with towers of clips and captions; `video.VideoTower` with a pooler alone; the
        encoder without one; a `released.VideoClassifier`; or the tower of clips of a stage whose towers are
        of your own classes. `prismlab.embed_videos` takes any of them.

    Raises:
        UserError: there is no such model, or its weights are missing or damaged.
    """
    setup.hide_hints()
    given = None if weights is None else os.fspath(weights)
    return named(os.fspath(model), given).model


def stage_or_file(path: filesystem.Path) -> filesystem.Path:
    """Return the folder of a stage that is named `WORKDIR/NAME`; other paths stay as they are.

    Args:
        path: weight file, folder of a stage, or `WORKDIR/NAME`.

    Raises:
        UserError: the name fits several stages.
    """
    if filesystem.is_remote(path) or path.exists():
        return path
    return frozen_encoder.find(os.fspath(path), "source") or path


def read(path: filesystem.Path, model: str | None) -> Any:
    """Return the model of a weight file or of a stage.

    Args:
        path: see `stage_or_file`.
        model: preset or .json file of sizes; None takes the sizes from the stage's configuration, or from the
            file (`weights.configuration`).

    Raises:
        UserError: it cannot be read, its sizes are not known, or a stage's towers are of classes that no
            weight format can express.
    """
    source = stage_or_file(path)
    if model is None and not filesystem.is_remote(source) and (source / "stage.json").exists():
        return released_weights.model_of(frozen_encoder.of_stage(source).towers)
    return released.load(weights.configuration(source, model), source)


def sizes(path: filesystem.Path, contents: weight_files.Contents) -> release_config.ReleaseConfig | None:
    """Return the sizes that a weight file states, or that a stage was configured with; None if neither.

    Args:
        path: weight file or folder of a stage.
        contents: the open file.
    """
    if contents.config is not None:
        return release_config.checked(contents.config)
    if contents.step is None or filesystem.is_remote(path) or not (path / "stage.json").exists():
        return None
    try:
        return release_models.describe(read(path, None))
    except errors.UserError:  # a copy of the checkpoints alone, or towers of the user's own
        return None
