"""Determine the model of a weight file from the command line, its metadata or its array shapes."""

import json
import pathlib
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem, user_paths
from prismlab.core.weights import matching, release_config, weight_files


def configuration(source: filesystem.Path, model: str | None) -> release_config.ReleaseConfig:
    """Return the configuration of the model that a weight file belongs to.

    Args:
        source: weight file or folder of a stage, see `weight_files.open_file`.
        model: preset, or path of a .json file with the field names of the release; None infers it: from the
            file, from NAME.json beside NAME.npz, or from the preset that fits.

    Returns:
        A complete configuration.

    Raises:
        UserError: the source cannot be read, or its model cannot be inferred.
    """
    if model is not None:
        return release_config.checked(_mapping(user_paths.local(model)) if model.endswith(".json") else model)
    contents = weight_files.open_file(source)
    if contents.config is not None:
        return release_config.checked(contents.config)
    fit = matching.presets(contents)
    beside = source.with_suffix(".json")
    if len(fit) != 1 and source.suffix == ".npz" and beside.is_file():
        return release_config.checked(_mapping(pathlib.Path(beside)))
    if len(fit) != 1:
        told = f"fits {', '.join(fit)}" if fit else "fits no preset"
        raise errors.UserError(
            f"{source} {told}; specify the model: --model NAME (see `prismlab models`), or --model "
            "FILE.json with the field names of the release"
        )
    return release_config.checked(fit[0])


def _mapping(path: pathlib.Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.UserError(f"--model {path} cannot be read as JSON ({error})") from error
    if not isinstance(read, dict):
        raise errors.UserError(
            f"--model {path}: expected a mapping of field names, got {type(read).__name__}"
        )
    return read
