"""The encoder that `prismlab eval` evaluates: a stage, a weight file or a released model."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from prismlab.core import errors, trees
from prismlab.core.io import filesystem, user_paths
from prismlab.core.train.checkpoints import stage_folder
from prismlab.core.weights import released
from prismlab.data.loader import tokenizer as tokenizer_module
from prismlab.experiments.recipe.addresses import stage_configuration, stage_names
from prismlab.experiments.released import released_weights
from prismlab.experiments.released import weights as file_sizes
from prismlab.experiments.run import initial_state
from prismlab.experiments.store import views, work_directory


@dataclasses.dataclass(frozen=True)
class FrozenEncoder:
    """Towers with trained weights.

    Args:
        name: for tables.
        towers: name -> tower.
        digest: sha256 of the towers' arrays.
        tokenizer: the tokenizer that the stage was trained with; None for a released model.
        resolution: side of the frames that the stage was trained with in pixels; None for a released model.
        frames: number of frames of a clip in training; None for a released model.
    """

    name: str
    towers: Mapping[str, Any]
    digest: str
    tokenizer: tokenizer_module.Tokenizer | None = None
    resolution: int | None = None
    frames: int | None = None


def load(encoder: str, weights: str | None) -> FrozenEncoder:
    """Return the encoder that a command line names.

    Args:
        encoder: folder of a stage (`WORKDIR/stages/NAME`, or `WORKDIR/NAME` with the name of a stage of which
            one seed was trained; one of 0 steps counts only if it is the only one), a weight file that says
            its sizes or fits one preset (.bundle, .safetensors, .npz), the name of a released model, or a
            .json file with its sizes.
        weights: weight file of a released model; None with a stage or a weight file.

    Raises:
        UserError: there is no such encoder, or its weights are missing or damaged.
    """
    folder = find(encoder, "--encoder")
    if folder is None:
        if user_paths.local(encoder).is_dir():
            raise errors.UserError(
                f"--encoder {encoder} is no stage's folder; give WORKDIR/stages/NAME of a work directory"
            )
        model, name = _released(encoder, weights)
        towers = released_weights.towers_of(model)
        return FrozenEncoder(name, towers, trees.digest(trees.flatten({"towers": towers})))
    if weights is not None:
        raise errors.UserError(f"--weights belongs to a released model, but --encoder {encoder} is a stage")
    return of_stage(folder)


def _released(encoder: str, weights: str | None) -> tuple[released.Model, str]:
    """Return a released model, or that of a weight file, and its name for tables."""
    path = user_paths.local(encoder)
    if encoder.endswith(".json") or not path.is_file():
        name = encoder if weights else f"{encoder} (random weights)"
        return released_weights.load(encoder, weights), name
    if weights is not None:
        raise errors.UserError(
            f"--encoder {encoder} is a weight file and has its own weights; leave out --weights"
        )
    return released.load(file_sizes.configuration(path, None), path), path.name


def of_stage(folder: filesystem.Path) -> FrozenEncoder:
    """Return the encoder of a stage.

    Args:
        folder: the stage's folder.

    Raises:
        UserError: its configuration is gone, or its weights are missing or damaged.
    """
    at, arrays = stage_folder.read(folder)
    facts = work_directory.read_json(folder / "stage.json")
    stage = stage_configuration.of(folder, facts)
    trained = initial_state.towers(stage, int(facts["seed"]), arrays, f"stage {folder.name}")
    digest = trees.digest(trees.flatten({"towers": trained}))
    return FrozenEncoder(
        f"{facts['name']} (seed {facts['seed']}, step {at})",
        trained,
        digest,
        stage.data.tokenizer,
        stage.data.resolution,
        stage.data.frames,
    )


def find(name: str, option: str) -> pathlib.Path | None:
    """Return the folder of a stage, or None if the name is none of a stage; arguments as of `stage_names`."""
    return stage_names.find(name, option, views.stage_folders)
