"""Which model a file of weights belongs to, told by the user, by the file, or by the shapes of its arrays."""

import json
import pathlib
from typing import Any

from prismlab.core import errors
from prismlab.core.io import filesystem
from prismlab.core.weights import matching, release_config, weight_files


def configuration(source: filesystem.Place, model: str | None) -> dict[str, Any]:
    """Return the configuration of the model whose weights a file holds.

    Args:
        source: file or stage's folder, see `weight_files.open_file`.
        model: a preset's name, or the path of a .json file with the release's field names, or None.

    Returns:
        A whole configuration.

    Raises:
        UserError: the source cannot be read, or nothing tells which model it is.
    """
    if model is not None:
        return release_config.checked(_mapping(pathlib.Path(model)) if model.endswith(".json") else model)
    contents = weight_files.open_file(source)
    if contents.config is not None:
        return release_config.checked(contents.config)
    fit = matching.presets(contents)
    if len(fit) != 1:
        told = f"fits {', '.join(fit)}" if fit else "fits no preset"
        raise errors.UserError(
            f"{source} {told}; say which model it is: --model NAME (see `prismlab models`), or --model "
            "FILE.json with the release's field names"
        )
    return release_config.checked(fit[0])


def _mapping(path: pathlib.Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise errors.UserError(f"--model {path} cannot be read as JSON ({error})") from error
    if not isinstance(read, dict):
        raise errors.UserError(f"--model {path}: wanted a mapping of field names, got {type(read).__name__}")
    return read
